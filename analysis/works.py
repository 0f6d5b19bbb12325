"""What the evaluation code published with papers computes, as it was read there."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """What the evaluation code published with a paper computes (metrics named as here, "adaptive"
    cut at twice the prediction's mean), and how it prepares predictions and masks: what text
    detection finds, with which thresholds."""

    name: str
    metrics: str
    prepares: str


_EIGHT_BITS = "8 bits, each prediction stretched to its own range, mask cut at 128"
WORKS = (  # of masks
    Work(
        "BiRefNet (CAAI AIR 2024)",
        "DIS5K: F_max, F_weighted, MAE, S, E_mean, HCE; camouflage: S, F_weighted, F_mean, "
        "E_mean, E_max, MAE; HRSOD: S, F_max, E_mean, MAE; mattes: S, F_max, E_mean, MSE; "
        "mBA and BIoU beside them",
        f"{_EIGHT_BITS}; HCE and mBA unstretched",
    ),
    Work(
        "MVANet (CVPR 2024)",
        "F_max, adaptive F and E, F_weighted, S, MAE, HCE, IoU",
        "8 bits, stretched, HCE too; mask cut at half its maximum; its first release took F_max "
        "from averaged precision and recall",
    ),
    Work(
        "UDUN (ACM MM 2023)",
        "F_max, F_weighted, MAE, S, E_mean, HCE",
        f"{_EIGHT_BITS}; HCE unstretched",
    ),
    Work(
        "IS-Net (ECCV 2022)",
        "F_max, MAE, HCE",
        "floats, stretched; F_max: 255 thresholds; MAE: mask not cut; HCE: unstretched, both cut "
        "at 128",
    ),
    Work(
        "InSPyReNet (ACCV 2022)",
        "S, MAE, F_weighted, mBA; E and F adaptive, mean and maximum",
        f"{_EIGHT_BITS}; mBA unstretched",
    ),
    Work(
        "ZoomNet (CVPR 2022)",
        "S, F_weighted, MAE; E and F adaptive, mean and maximum (PySODMetrics 1.2.4)",
        _EIGHT_BITS,
    ),
    Work(
        "SINet-v2 (TPAMI 2022)",
        "S, F_weighted, MAE; E and F adaptive, mean and maximum",
        _EIGHT_BITS,
    ),
    Work(
        "PFNet (CVPR 2021)",
        "S, adaptive E, F_weighted, MAE",
        "prediction and mask stretched, mask cut at .5",
    ),
    Work(
        "F3Net (AAAI 2020)",
        "F_max, adaptive F and E, F_weighted, S, MAE",
        "prediction and mask stretched, mask cut at .5; images without object left out",
    ),
    Work("CascadePSP (CVPR 2020)", "IoU of the whole set, mBA", "both cut at 128"),
    Work(
        "P3M (ACM MM 2021)",
        "SAD / 1000, MSE, MAD of the whole image and of the trimap's unknown part",
        "soft prediction against the soft matte",
    ),
)
_ICDAR = "matches above IoU .5, detections in ignored words left out, counts of the whole set"
TEXT_WORKS = (
    Work(
        "DB (AAAI 2020)",
        f"H_mean, precision, recall: {_ICDAR}",
        "map cut at .3; least score .5 to .7, another for each data set and backbone",
    ),
    Work(
        "PaddleOCR (DB)",
        f"H_mean, precision, recall: {_ICDAR} (DB's code)",
        "map cut at .3, least score .7 on ICDAR 2015; the best checkpoint is chosen on the test "
        "images",
    ),
    Work(
        "mmocr 1.x (DB, PSENet, PAN, ...)",
        f"H_mean, precision, recall: {_ICDAR}",
        "best H_mean of seven least scores, .3 to .9, on the set it reports",
    ),
    Work(
        "PSENet (CVPR 2019)",
        "H_mean, precision, recall; ICDAR 2015: the contest's script; CTW1500: IoU .5, no word "
        "ignored; Total-Text: DetEval, a word covered by .7, a detection by .6, splits and merges "
        "counting .8",
        "least score .85 or .87, another for each data set",
    ),
    Work(
        "PAN (ICCV 2019, in PAN++'s code)",
        "as PSENet",
        "least score .85 to .88, another for each data set",
    ),
)
