"""The metrics a table may show: their variant, their direction, and what the field reports.

`python -m analysis.metrics` prints both tables.
"""

import argparse
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from analysis.works import TEXT_WORKS, WORKS

Direction = Literal["up", "down"]


@dataclass(frozen=True)
class Metric:
    """One metric: where better lies, its name in LaTeX, how it is computed (`about`, one line,
    of the plain variant), and where the field's published evaluation code differs."""

    direction: Direction
    tex: str
    about: str
    reported: str


# In the order of the tables. Whoever is named in `reported` was read in the code of `works`.
METRICS: dict[str, Metric] = {
    "F_weighted": Metric(
        "up",
        r"$F_\beta^{w}$",
        "weighted F-measure (Margolin 2014), beta^2 = 1; 0 for an image without object",
        "the same formula in BiRefNet, UDUN, MVANet, InSPyReNet, F3Net, SINet-v2, PFNet, ZoomNet",
    ),
    "F_max": Metric(
        "up",
        r"$F_\beta^{\max}$",
        "F-measure, beta^2 = .3: maximum over 256 thresholds of the curve averaged over images",
        "so in BiRefNet, UDUN, InSPyReNet, SINet-v2, ZoomNet; MVANet: 255 thresholds; F3Net and "
        "IS-Net: from precision and recall averaged over the images",
    ),
    "F_mean": Metric(
        "up",
        r"$F_\beta^{\mathrm{mean}}$",
        "F-measure, beta^2 = .3: mean over 256 thresholds",
        "so in BiRefNet, InSPyReNet, SINet-v2, ZoomNet; F3Net, MVANet: adaptive",
    ),
    "S": Metric(
        "up",
        r"$S_\alpha$",
        "structure measure (Fan 2017), alpha = .5",
        "the same formula in BiRefNet, UDUN, MVANet, InSPyReNet, F3Net, SINet-v2, PFNet, ZoomNet",
    ),
    "E_mean": Metric(
        "up",
        r"$E_\phi^{\mathrm{mean}}$",
        "enhanced-alignment measure (Fan 2018): mean over 256 thresholds",
        "so in BiRefNet, UDUN, InSPyReNet, SINet-v2, ZoomNet; F3Net, PFNet, MVANet: adaptive",
    ),
    "E_max": Metric(
        "up",
        r"$E_\phi^{\max}$",
        "enhanced-alignment measure: maximum over 256 thresholds of the curve averaged over "
        "images",
        "so in BiRefNet, InSPyReNet, SINet-v2, ZoomNet",
    ),
    "IoU": Metric(
        "up",
        "IoU",
        "intersection over union, both cut at .5; 1 where both are empty",
        "so in MVANet; CascadePSP adds intersections and unions up over the whole set",
    ),
    "BIoU": Metric(
        "up",
        "BIoU",
        "boundary IoU (Cheng 2021), both cut at .5, band of 2 % of the diagonal",
        "BiRefNet: mean or maximum over 256 thresholds of the grey prediction, eroded as it is",
    ),
    "mBA": Metric(
        "up",
        "mBA",
        "mean boundary accuracy (Cheng 2020), both cut at .5: accuracy in the band around the "
        "mask's outline, mean of the radii 1 + trunc(k ((H + W) / 300 - 1) / 5), k = 0 to 4 "
        "(trunc cuts toward 0: all are 1 where H + W is below 675)",
        "so in CascadePSP, BiRefNet and InSPyReNet",
    ),
    "MAE": Metric(
        "down",
        "MAE",
        "mean absolute error of the soft prediction against the soft mask",
        "P3M: as here, called MAD; IS-Net: stretched prediction; BiRefNet, UDUN, MVANet, "
        "InSPyReNet, F3Net, SINet-v2, PFNet, ZoomNet: stretched prediction against the cut mask",
    ),
    "MSE": Metric(
        "down",
        "MSE",
        "mean squared error of the soft prediction against the soft mask",
        "P3M: as here; BiRefNet: stretched prediction against the cut mask",
    ),
    "HCE": Metric(
        "down",
        "HCE",
        "human correction effort (Qin 2022), both cut at .5, relax = 5, epsilon = 2",
        "so in IS-Net, UDUN, BiRefNet; MVANet cuts the stretched prediction",
    ),
    "G_MAE": Metric(
        "down",
        r"$G_{\mathrm{MAE}}$",
        "mean absolute error of the predicted gradient map inside the object, against one label "
        "for all arms: |Laplacian of the image| over its .99 quantile, clipped at 1, gated by the "
        "dilated mask",
        "this project's own",
    ),
    "G_corr": Metric(
        "up",
        r"$G_{\mathrm{corr}}$",
        "Pearson correlation of the predicted gradient map with the label of G_MAE inside the "
        "object",
        "this project's own",
    ),
    "H_mean": Metric(
        "up",
        r"$H$",
        "harmonic mean of precision and recall, 2 matched / (detections + words), counts summed "
        "over the test images (ICDAR 2015); each run's thresholds are chosen on validation images",
        "so in DB, PaddleOCR and mmocr, and PSENet and PAN on ICDAR 2015 (DetEval on Total-Text); "
        "mmocr: best of seven thresholds on the reported set; DB: thresholds by data set",
    ),
    "P_textfree": Metric(
        "up",
        r"$P_{\mathrm{textfree}}$",
        "share of the test images without a word that counts in which nothing is found",
        "this project's own; in H_mean a detection there weighs as one anywhere",
    ),
    "precision": Metric(
        "up",
        "precision",
        "matched / detections, summed over the test images; 0 where nothing is found at all",
        "so in DB, PaddleOCR, mmocr and, on ICDAR 2015, PSENet and PAN",
    ),
    "recall": Metric(
        "up",
        "recall",
        "matched / words, summed over the test images",
        "so in DB, PaddleOCR, mmocr and, on ICDAR 2015, PSENet and PAN",
    ),
    "H_published": Metric(
        "up",
        r"$H_{\mathrm{published}}$",
        "H_mean at the published thresholds: map cut at .3, least score of a box .6",
        "DB's defaults; it and the others set the least score for each data set",
    ),
    "H_image": Metric(
        "up",
        r"$H_{\mathrm{image}}$",
        "H_mean of each image alone, mean over images; without a word 1 if nothing is found, else "
        "0",
        "computed beside the summed counts in DB, PaddleOCR, PSENet and PAN, not reported",
    ),
    "steps_90": Metric(
        "down",
        r"steps to 90\,\%",
        "training steps until the validation metric, linear between validations, is at 90 % of "
        "the run's own best value (where less is better: of the way from the first validation to "
        "its own best); an upper bound where the first validation is there already",
        "this project's own",
    ),
}
# What the arm table adds to the primary metric and the guards, as far as it was measured.
EXTRA = ("S", "E_mean", "IoU", "P_textfree", "precision", "recall", "H_published")
# What tells how an arm learned, beside how well it does in the end.
OUTCOMES = ("steps_90", "G_MAE", "G_corr")
VARIANTS = {
    "plain": "predictions are taken as they are, masks are cut at .5 where a metric needs them "
    "binary",
    "published": "every prediction is rounded to 8 bits and stretched to its own range, every "
    "mask cut above 128 of 255 (PySODMetrics' default), for HCE and mBA too, which most published "
    "code takes from unstretched predictions (IS-Net, UDUN, CascadePSP, InSPyReNet, BiRefNet)",
}
TEXT = (
    "a detection matches a word above IoU .5, each only once; words to be ignored, and detections "
    "of which more than half lies in one, do not count (ICDAR 2015); where the map is cut and the "
    "least score of a box are chosen for each run on the validation images, and are .3 and .6 for "
    "H_published"
)


def variants_table() -> str:
    """How each metric is computed here and in the field, and what each work reports: Markdown."""
    lines = ["| metric | as computed here | in published evaluation code |", "| - | - | - |"]
    lines += [
        f"| {name} {arrow(name)} | {_cell(m.about)} | {_cell(m.reported)} |"
        for name, m in METRICS.items()
    ]
    lines += ["", "| work | its evaluation code computes | from |", "| - | - | - |"]
    lines += [
        f"| {w.name} | {_cell(w.metrics)} | {_cell(w.prepares)} |" for w in (*WORKS, *TEXT_WORKS)
    ]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def direction(metric: str) -> Direction:
    """Whether more or less of `metric` is better; an unknown metric is a ValueError."""
    if metric in METRICS:
        return METRICS[metric].direction
    raise ValueError(
        f"metric {metric!r} has no direction{nearest(metric, list(METRICS))}; "
        "a new metric is added to analysis/metrics.py with 'up' or 'down'"
    )


def sign(metric: str) -> int:
    """+1 where more is better, -1 where less is."""
    return 1 if direction(metric) == "up" else -1


def arrow(metric: str) -> str:
    """The arrow of a table header: up where more is better."""
    return "↑" if direction(metric) == "up" else "↓"


def nearest(name: str, known: list[str]) -> str:
    """`" (did you mean 'x'?)"` for the closest known name, or nothing."""
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(known)})"


if __name__ == "__main__":
    about = "Each metric's variant here, and what the code of published works computes instead."
    argparse.ArgumentParser(prog="python -m analysis.metrics", description=about).parse_args()
    print(variants_table(), end="")
