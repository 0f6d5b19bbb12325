"""Are gradient labels nearly binary? Pictures and numbers; see `python -m analysis.gradient_maps`.

`label_maps` makes the labels of images under every definition, `binariness` measures them.
"""

from analysis.binariness import Binariness, binariness, of_histogram
from analysis.gradient_maps.figures import (
    label_histograms,
    label_pictures,
    pictures,
    stage_pictures,
)
from analysis.gradient_maps.labels import (
    DEFINITIONS,
    Definition,
    Labels,
    label_maps,
    markdown,
    own_definition,
    table,
)
from analysis.gradient_maps.training import (
    excess_curves,
    prediction_table,
    training_histograms,
)

__all__ = [
    "DEFINITIONS",
    "Binariness",
    "Definition",
    "Labels",
    "binariness",
    "excess_curves",
    "label_histograms",
    "label_maps",
    "label_pictures",
    "markdown",
    "of_histogram",
    "own_definition",
    "pictures",
    "prediction_table",
    "stage_pictures",
    "table",
    "training_histograms",
]
