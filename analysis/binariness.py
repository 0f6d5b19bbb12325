"""How binary a map in [0, 1] is: numbers of values, or of a histogram of them."""

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

Array = NDArray[np.float64]
NEAR = 0.05  # values within this of 0 or of 1 count as black or white
BIMODAL = 5 / 9  # the coefficient of a uniform distribution
NAN = float("nan")


@dataclass(frozen=True)
class Binariness:
    """How near a distribution on [0, 1] is to one on {0, 1}; all NaN without values.

    `near_zero`, `near_one`: shares of the values within .05 of 0 and of 1.
    `bimodality`: Sarle's coefficient (skewness^2 + 1) / kurtosis in (0, 1], kurtosis not in
    excess of 3: 1 iff two values only, 5/9 for the uniform, 1/3 for the normal distribution; NaN
    if constant. Above 5/9 hints at two modes, but a single skewed one can lie there too (the
    exponential distribution has 5/9), so it is read beside the shares (Pfister et al., Frontiers
    in Psychology 2013).
    `floor`: mean of H(y) = -y ln y - (1 - y) ln(1 - y) in nats, in [0, .693]: the BCE that a
    perfect prediction still has.
    `low`, `high`: the 5 % and 95 % quantiles. `count`: how many values.
    """

    near_zero: float
    near_one: float
    bimodality: float
    floor: float
    mean: float
    std: float
    low: float
    high: float
    count: int

    @property
    def near(self) -> float:
        """Share of the values within .05 of 0 or of 1."""
        return self.near_zero + self.near_one

    def as_dict(self) -> dict[str, float]:
        """The numbers by name, `near` among them."""
        names = [field.name for field in fields(self)]
        return {**dict(zip(names, astuple(self), strict=True)), "near": self.near}


def binariness(values: ArrayLike, counts: ArrayLike | None = None) -> Binariness:
    """Measure values in [0, 1], each as often as `counts` says (default: once).

    Population moments: pixels of an image are all there are and no sample.

    Raises:
        ValueError: values outside [0, 1] or NaN, counts below 0 or of another shape.
    """
    y = np.asarray(values, dtype=np.float64).ravel()
    n = np.ones(y.shape) if counts is None else np.asarray(counts, dtype=np.float64).ravel()
    if n.shape != y.shape or (n < 0).any():
        raise ValueError(f"{n.size} counts of {y.size} values: expected one >= 0 for each")
    y, n = y[n > 0], n[n > 0]
    bad = ~((y >= 0) & (y <= 1))
    if bad.any():
        raise ValueError(f"{bad.sum()} values are not in [0, 1], such as {y[bad][0]}")
    if y.size == 0:
        return Binariness(NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, 0)
    share = n / n.sum()
    mean = float(share @ y)
    low, high = np.quantile(y, (0.05, 0.95), weights=n, method="inverted_cdf")
    return Binariness(
        near_zero=float(share @ (y <= NEAR)),
        near_one=float(share @ (y >= 1 - NEAR)),
        bimodality=_bimodality(y - mean, share),
        floor=float(share @ (entr(y) + entr(1 - y))),
        mean=mean,
        std=float(np.sqrt(share @ (y - mean) ** 2)),
        low=float(low),
        high=float(high),
        count=int(n.sum()),
    )


def of_histogram(counts: ArrayLike) -> Binariness:
    """`binariness` of counts in equal bins over [0, 1], each at its bin's centre."""
    n = np.asarray(counts, dtype=np.float64).ravel()
    return binariness((np.arange(n.size) + 0.5) / n.size, n)


def _bimodality(centred: Array, share: Array) -> float:
    """(m3^2 / m2^3 + 1) / (m4 / m2^2) = (m3^2 + m2^3) / (m2 m4)."""
    if np.ptp(centred) < 1e-12:
        return NAN
    unit = centred / np.abs(centred).max()  # powers of narrow distributions would underflow
    m2, m3, m4 = (float(share @ unit**k) for k in (2, 3, 4))
    return (m3**2 + m2**3) / (m2 * m4)
