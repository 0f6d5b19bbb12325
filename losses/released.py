"""What BiRefNet was released with: weights by task, the objective's form, its fine-tuning."""

from __future__ import annotations

from .checks import check_choice

__all__ = ["AS_RELEASED", "FINE_TUNING_EPOCHS", "RELEASED", "fine_tuning"]

_DIS: dict[str, float] = {"bce": 30.0, "iou": 0.5, "ssim": 10.0, "mae": 0.0}
RELEASED: dict[str, dict[str, float]] = {
    "DIS5K": _DIS,
    "COD": _DIS,
    "HRSOD": _DIS,
    "General": {**_DIS, "mae": 100.0},
    "Matting": {"bce": 30.0, "iou": 0.0, "ssim": 10.0, "mae": 100.0},
}
AS_RELEASED: dict[str, str] = {
    "iou_reduction": "sum",
    "denominator": "linear",
    "empty": "published",
    "terms": "as_published",
}
FINE_TUNING_EPOCHS = {"DIS5K": 40, "COD": 20, "HRSOD": 20, "General": 20, "Matting": 10}
_FACTORS = {"bce": 0.0, "iou": 0.5, "mae": 0.9}
_MATTING = {"mse": 0.9, "ssim": 0.9}


def fine_tuning(task: str, *, epochs: int, as_published: bool = False) -> dict[str, object]:
    """Weights of ``birefnet_pixel`` for a task, with the fine-tuning of its last epochs.

    In the last 40 epochs (Matting 10, others 20) bce is off, iou halved and mae times .9, which
    leaves a region-level loss; Matting has mse and ssim times .9. They are schedules of progress,
    as plain data, so a resumed run needs no state. ``as_published`` multiplies again at every
    epoch, as the released code does in place: iou ends at .5^40 of its weight. ``epochs`` is that
    of the whole training.

        losses.build("birefnet_pixel", **losses.fine_tuning("DIS5K", epochs=500))

    Raises:
        ValueError: an unknown task, or fewer epochs than the fine-tuning has.
    """
    check_choice("task", task, tuple(RELEASED))
    last = FINE_TUNING_EPOCHS[task]
    if epochs <= last:
        raise ValueError(
            f"epochs={epochs!r}: expected more than the {last} that {task} fine-tunes"
        )
    starts = [(epochs - last + k) / epochs for k in range(last if as_published else 1)]
    weights: dict[str, object] = {**RELEASED[task]}
    for term, factor in (_MATTING if task == "Matting" else _FACTORS).items():
        weight = RELEASED[task].get(term, 0.0)
        if weight:
            values = [weight * factor**k for k in range(len(starts) + 1)]
            weights[term] = {"schedule": "steps", "values": values, "at": starts}
    return weights
