"""What differs in words between grids of masks and grids of text detection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Task = Literal["masks", "text"]


@dataclass(frozen=True)
class Wording:
    """What a report calls things: `group`, what images share that are no two samples; `means`,
    how a run's numbers come about; `crossed`, how the interval for new images does; `sizes`,
    `kinds` and `titles`, by what images are grouped, and `grouped`, what is measured of a group;
    `further`, a note on the last table; `share`, what grad_share is; `areas`, what the scatter
    colours."""

    group: str
    means: str
    crossed: str
    sizes: str
    grouped: str
    kinds: Mapping[str, str]
    titles: Mapping[str, str]
    further: str
    share: str
    areas: tuple[str, str, str]


WORDING: dict[Task, Wording] = {
    "masks": Wording(
        group="object",
        means="Mean over the test images, then over seeds",
        crossed="seeds × objects table with both crossed (Satterthwaite), images of one object "
        "averaged first",
        sizes="By size of object",
        grouped="differences of the group's mean",
        kinds={
            "area": "by the mask's area as a share of the image, cut at its terciles",
            "outline": "by the length of its outline over the image's diagonal, cut likewise",
            "components": "by its number of connected components",
        },
        titles={
            "area": "area (share of the image)",
            "outline": "outline (image diagonals)",
            "components": "number of parts",
        },
        further="F_max and E_max are maxima of the curve averaged over the images",
        share="norm of the gradient loss's gradient on the decoder over that of the pixel loss, "
        "mean over the recorded moments of a run; it tells how strong the supervision was",
        areas=("small objects", "middle", "large"),
    ),
    "text": Wording(
        group="photograph",
        means="Counts summed over the test images (H_image: mean over them), then mean over seeds",
        crossed="seeds × photographs table with both crossed (Satterthwaite), of what each "
        "photograph adds to the ratio of sums (jackknife)",
        sizes="By size and number of words",
        grouped="differences of the counts' ratio in the group",
        kinds={
            "size": "by the mean area of their words as a share of the image, cut at its "
            "terciles, images without a word left out",
            "words": "by their number of words (P_textfree is of the images without one)",
        },
        titles={"size": "mean area of a word", "words": "number of words"},
        further="H_image is a mean over the images",
        share="norm of the gradient of the threshold and binary terms on the decoder over that "
        "of the probability term, mean over the recorded moments of a run",
        areas=("no word", "little text", "much text"),
    ),
}
