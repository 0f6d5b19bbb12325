"""Precision, recall and H-mean of detected words, by the protocol of ICDAR 2015."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from experiments.data.outlines import Polygon, shapes
from experiments.data.text import Word
from experiments.errors import UserError
from experiments.text.boxes import Detection

COVERED = 0.5  # share of a detection within one ignored word above which it does not count
CUTS = (0.2, 0.3, 0.4, 0.5, 0.6)  # of a sweep
LEAST_SCORES = tuple(round(0.05 * i, 2) for i in range(20))  # of a sweep: 0 to .95
PUBLISHED = (0.3, 0.6)  # DB's cut and least score


@dataclass(frozen=True)
class Counts:
    """Of an image, without what is ignored: pairs, detections, and words."""

    matched: int
    detections: int
    words: int


@dataclass(frozen=True)
class Overlaps:
    """What of an image decides how its detections match, whatever least score keeps them."""

    pairs: tuple[tuple[int, int], ...]  # (word, detection) that may match, in the protocol's order
    counting: NDArray[np.bool_]  # of the detections: those that no ignored word covers
    words: int  # that are not ignored

    def counts(self, kept: NDArray[np.bool_] | None = None) -> Counts:
        """Counts with the detections `kept` alone (a mask over all); None keeps all."""
        counting = self.counting if kept is None else self.counting & kept
        free, left = set(np.flatnonzero(counting).tolist()), set()
        for word, detection in self.pairs:
            if word not in left and detection in free:
                left.add(word)
                free.remove(detection)
        return Counts(len(left), int(counting.sum()), self.words)


def overlaps(
    detections: Sequence[Polygon], words: Sequence[Word], *, least: float = 0.5
) -> Overlaps:
    """The pairs of an image whose IoU is above `least`, and the detections that count.

    Raises:
        UserError: a word or detection of fewer than three points.
    """
    found, truth = _shapes(detections), _shapes([word.polygon for word in words])
    ignored = np.array([word.ignored for word in words], bool)
    i, j = shapely.STRtree(found).query(truth)  # pairs whose upright bounds meet
    common = shapely.area(shapely.intersection(truth[i], found[j]))
    own, theirs = shapely.area(found)[j], shapely.area(truth)[i]
    counting = np.ones(len(found), bool)
    counting[j[ignored[i] & (common > COVERED * own)]] = False
    # common / union > least, where a union may be empty
    near = ~ignored[i] & counting[j] & (common > least * (own + theirs - common))
    pairs = sorted(zip(i[near].tolist(), j[near].tolist(), strict=True))
    return Overlaps(tuple(pairs), counting, int((~ignored).sum()))


def match(detections: Sequence[Polygon], words: Sequence[Word], *, least: float = 0.5) -> Counts:
    r"""Matched pairs, detections and words of an image (Karatzas et al., ICDAR 2015, task 4.1).

    As the official script does it:

    - a detection more than half of whose area lies in one ignored word does not count;
    - for each word that is not ignored, in their order, the first detection in theirs that counts,
      is free, and has :math:`|A \cap B| / |A \cup B| > \text{least}` (exactly `least` is none).

    Here coordinates keep their fractions, which the script drops; an outline that crosses itself
    is made valid with all its pieces; one without area matches nothing. No order of detections by
    score is made: `detect` gives them so.

    Args:
        detections: (N, 2) each, N at least 3.
        words: the ignored ones among them.

    Raises:
        UserError: a word or detection of fewer than three points.
    """
    return overlaps(detections, words, least=least).counts()


def of_image(counts: Counts) -> float:
    """H-mean of an image, in [0, 1]; of one without words 1 if nothing is found, else 0."""
    if counts.words == 0:
        return float(counts.detections == 0)
    return 2 * counts.matched / (counts.detections + counts.words)


def pooled(counts: Iterable[Counts]) -> dict[str, float]:
    r"""Precision, recall and H-mean of a set, its counts added; `P_textfree`.

    .. math:: P = S(\text{matched}) / S(\text{detections}), \quad
              R = S(\text{matched}) / S(\text{words}), \quad H = 2 P R / (P + R)

    Each 0 where its denominator is. `P_textfree` is the share of the images without a word (all
    ignored, or none there) in which nothing is found; nan if there is no such image.
    """
    matched = detections = words = silent = textfree = 0
    for one in counts:
        matched += one.matched
        detections += one.detections
        words += one.words
        textfree += one.words == 0
        silent += one.words == one.detections == 0
    return {
        "precision": matched / detections if detections else 0.0,
        "recall": matched / words if words else 0.0,
        "H_mean": _h_mean(matched, detections, words),
        "P_textfree": silent / textfree if textfree else float("nan"),
    }


def _h_mean(matched: int, detections: int, words: int) -> float:
    return 2 * matched / (detections + words) if matched else 0.0


@dataclass(frozen=True)
class Best:
    """The thresholds with the highest pooled H-mean of a set."""

    cut: float
    least_score: float
    H_mean: float


class Sweep:
    """Counts of a set at every cut and least score, each image's overlaps computed once a cut.

    Add each image with what `detect` finds at each of `cuts` with least score 0.
    """

    def __init__(
        self, cuts: Sequence[float] = CUTS, least_scores: Sequence[float] = LEAST_SCORES
    ) -> None:
        self.cuts, self.least_scores = tuple(cuts), tuple(least_scores)
        # matched, detections, words
        self._sums = np.zeros((len(self.cuts), len(self.least_scores), 3), np.int64)

    def add(self, words: Sequence[Word], detections: Mapping[float, Sequence[Detection]]) -> None:
        """Count an image in.

        Raises:
            UserError: a word or detection of fewer than three points.
        """
        for i, cut in enumerate(self.cuts):
            found = overlaps([one.polygon for one in detections[cut]], words)
            scores = np.array([one.score for one in detections[cut]])
            for j, least in enumerate(self.least_scores):
                one = found.counts(scores >= least)
                self._sums[i, j] += one.matched, one.detections, one.words

    def best(self) -> Best:
        """The highest pooled H-mean; of equals, the thresholds nearest to the published ones."""
        choices = [
            Best(cut, least, _h_mean(*self._sums[i, j].tolist()))
            for i, cut in enumerate(self.cuts)
            for j, least in enumerate(self.least_scores)
        ]
        return max(choices, key=lambda b: (b.H_mean, -_distance(b), -b.cut))


def _distance(best: Best) -> float:
    """From the published thresholds; rounded, so that equals stay equal."""
    cut, least = PUBLISHED
    return round(abs(best.cut - cut) + abs(best.least_score - least), 9)


def _shapes(outlines: Sequence[Polygon]) -> NDArray[np.object_]:
    short = [len(one) for one in outlines if len(one) < 3]
    if short:
        raise UserError(f"an outline of {short[0]} points, expected 3 or more")
    return shapes(outlines)
