"""The figures of a grid: each a function of its summary, saved as PNG and PDF.

`FIGURES` maps a file's stem to the function that draws it (None: nothing to draw), `CAPTIONS` to
what is drawn, in the same order; `captions` knows what differs for text detection.
"""

from collections.abc import Callable

from matplotlib.figure import Figure

from analysis.figures.curves import learning_curves
from analysis.figures.forest import differences
from analysis.figures.gradients import histograms
from analysis.figures.maps import kept_maps
from analysis.figures.outcomes import outcomes
from analysis.figures.scatter import paired_scatter
from analysis.figures.strata import by_kind
from analysis.figures.strip import qualitative
from analysis.figures.style import COLUMN, PALETTE, TEXT_WIDTH, add_axes, new_figure, save, style
from analysis.figures.text_maps import text_maps
from analysis.summary import Summary
from analysis.wording import Task

__all__ = ["CAPTIONS", "COLUMN", "FIGURES", "PALETTE", "TEXT_WIDTH", "add_axes", "captions",
           "new_figure", "save", "style"]  # fmt: skip

FIGURES: dict[str, Callable[[Summary], Figure | None]] = {
    "differences": differences,
    "curves": learning_curves,
    "outcomes": outcomes,
    "strata": by_kind,
    "scatter": paired_scatter,
    "strip": qualitative,
    "maps": kept_maps,
    "histograms": histograms,
    "text_maps": text_maps,
}
CAPTIONS: dict[str, str] = {
    "differences": "Paired difference of each contrast by the primary metric: mean (marker), 95 % "
    "interval for this test set (thick bar) and for new images of this kind (thin bar), single "
    "seeds (circles), the margin set before the runs (grey band), verdict and adjusted p.",
    "curves": "The primary metric on the validation images during the training: mean over seeds "
    "(above; 95 % band of the baseline alone if there are more than three arms), and the paired "
    "difference of each arm from the baseline with its 95 % band (below). At the right: excess "
    "BCE (BCE of the predicted gradient minus the entropy of its label, each arm against its "
    "own label, so that arms with other labels, dashed where known, do not compare), the gradient "
    "loss's share (norm of its gradient on the decoder over the pixel loss's), and the learning "
    "rate.",
    "outcomes": "Outcomes beside the final score, by arm: the step at which the validation metric "
    "had made 90 % of its way to its best value, and mean absolute error and correlation of the "
    "predicted gradient inside the object against one label for all arms. Circles: seeds; marker "
    "and bar: mean and 95 % interval.",
    "strata": "Paired difference of each contrast within thirds of the test images by area of the "
    "object and by length of its outline, and by the number of its parts: mean and 95 % interval "
    "over seeds; grey band: the margin. No test is made here.",
    "scatter": "Each test image as a dot: the difference of a contrast's two arms by the primary "
    "metric against their mean, both over seeds (a paired scatter turned by 45 degrees). Above "
    "the line the first arm scores higher. Colour and marker: third of the test images by area "
    "of the object; grey band: the margin. A description, no test: images are no replicates.",
    "strip": "The worst, the median and the best of all test images by the baseline's primary "
    "metric, mean over its seeds, with every arm's prediction of one seed, coloured by error: "
    "white found, black left, vermilion added wrongly, blue missed; soft values are mixtures.",
    "maps": "Maps of the first test images: edge weight, and gradient label and prediction of the "
    "finest decoder stage, of the baseline and of the arm whose label differs most from it.",
    "histograms": "Gradient labels (grey area) and predicted gradients (blue line) by decoder "
    "stage at the last recorded moment of the training, dotted at the first; share of pixels on "
    "a log scale, for the baseline and for the arm whose label differs most from it.",
    "text_maps": "Maps of a few test images, the last of them one without words if there is any: "
    "the image with the outline of its shrink label, and probability map P, threshold map T and "
    "approximate binary map B of the baseline and of the arm furthest from it by the primary "
    "metric, if any differs; no T and B where the threshold branch was not trained.",
}
_OF_TEXT = {
    "curves": "The primary metric on the validation images during the training: mean over seeds "
    "(above; 95 % band of the baseline alone if there are more than three arms), and the paired "
    "difference of each arm from the baseline with its 95 % band (below). At the right: the "
    "gradient share (norm of the gradient of the threshold and binary terms on the decoder over "
    "that of the probability term), and the learning rate.",
    "outcomes": "Beside the final score, by arm: the step at which the validation metric had made "
    "90 % of its way to its best value (no value where that stayed at 0 in some seed). Circles: "
    "seeds; marker and bar: mean and 95 % interval.",
    "strata": "Paired difference of each contrast within thirds of the test images by the mean "
    "area of their words, and by the number of their words (images without a word have no "
    "H-mean): ratio of the counts and 95 % interval over seeds; grey band: the margin. No test is "
    "made here.",
    "scatter": "Each test image as a dot: the difference of a contrast's two arms by the H-mean "
    "of that image alone against their mean, both over seeds (a paired scatter turned by 45 "
    "degrees). Above the line the first arm scores higher. Colour and marker: images "
    "without a word, and those below and above the median of the others by the area that their "
    "words cover; the larger a dot, the more images lie on it. A description, no test: images are "
    "no replicates.",
    "strip": "The worst, the median and the best of all test images by the baseline's H-mean of "
    "each image alone, mean over its seeds, with what every arm found in one seed: white where "
    "words were found, vermilion found outside any word, blue of words and not found, grey to be "
    "ignored. In each corner words matched / detections / words: what counts is whether a "
    "detection has an IoU above .5 with one word, not the colours.",
}


def captions(task: Task) -> dict[str, str]:
    """What is drawn in a grid of this task, in the order of `FIGURES`."""
    return CAPTIONS if task == "masks" else CAPTIONS | _OF_TEXT
