"""Ink on photographs: planes in perspective, colours, plates, outlines, shadows, distractors."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Plane = NDArray[np.float64]  # (3, 3): the ink's coordinates to the image's, homogeneous
Rgb = NDArray[np.float64]  # (3,) in [0, 255]
Style = Literal["plain", "plate", "outline", "shadow"]
STYLES: tuple[Style, ...] = ("plain", "plate", "outline", "shadow")
LUMA = np.array([0.299, 0.587, 0.114])


def project(plane: Plane, box: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """The corners (4, 2) of a box (left, top, right, bottom), from the top left clockwise."""
    left, top, right, bottom = box
    corners = np.array([(left, top, 1), (right, top, 1), (right, bottom, 1), (left, bottom, 1)])
    found: NDArray[np.float64] = corners @ plane.T
    return found[:, :2] / found[:, 2:]


def shift(x: float, y: float) -> Plane:
    """The plane that moves by (x, y)."""
    return np.array([(1, 0, x), (0, 1, y), (0, 0, 1)], np.float64)


def tilted(rng: np.random.Generator, size: tuple[int, int]) -> Plane:
    """A plane of ink of this (width, height), turned around its middle, which lies at (0, 0).

    Rolled by less than 20 degrees, one in eight by any angle; half of them seen from the side.
    """
    roll = np.clip(rng.normal(0, 7), -20, 20) if rng.random() < 7 / 8 else rng.uniform(-180, 180)
    side = rng.random() < 0.5
    yaw, pitch = np.clip(rng.normal(0, (20, 14)), -45, 45) * side
    a, b, c = np.radians((roll, yaw, pitch))
    across = np.array([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), -np.sin(b)])
    down = np.array(
        [
            np.cos(a) * np.sin(b) * np.sin(c) - np.sin(a) * np.cos(c),
            np.sin(a) * np.sin(b) * np.sin(c) + np.cos(a) * np.cos(c),
            np.cos(b) * np.sin(c),
        ]
    )
    far = 1.3 * max(size)  # of the eye
    plane = np.stack([across, down, np.zeros(3)], axis=1)
    plane[2] = across[2] / far, down[2] / far, 1
    moved: Plane = plane @ shift(-size[0] / 2, -size[1] / 2)
    return moved


def margin(ink: Image.Image) -> int:
    """How far a plate or a shadow reaches beyond the ink."""
    return 2 + round(0.2 * min(ink.size))


def paint(
    canvas: Image.Image,
    ink: Image.Image,
    plane: Plane,
    rng: np.random.Generator,
    *,
    blurred: bool = False,
) -> None:
    """Set ink on an image: plain, on a plate, with an outline or with a shadow."""
    pad = margin(ink)
    sheet = Image.new("L", (ink.width + 2 * pad, ink.height + 2 * pad))
    sheet.paste(ink, (pad, pad))
    if blurred:
        sheet = sheet.filter(ImageFilter.GaussianBlur(max(1.5, 0.12 * min(ink.size))))
    plane = plane @ shift(-pad, -pad)
    corners = project(plane, (0, 0, *sheet.size))
    left, top = (int(v) for v in np.floor(corners.min(axis=0)))
    right, bottom = (int(v) for v in np.ceil(corners.max(axis=0)))
    box = (left, top, right, bottom)
    ground = np.array(canvas.crop(box).resize((1, 1), Image.Resampling.BOX), np.float64)[0, 0]
    style = STYLES[int(rng.choice(4, p=(0.45, 0.25, 0.15, 0.15)))]
    colour = against(rng, ground)
    if style == "plate":
        ground, colour = colour, against(rng, colour)
        plate = Image.new("L", sheet.size)
        inside = (1, 1, sheet.width - 2, sheet.height - 2)  # clear of the rim: a smooth edge
        ImageDraw.Draw(plate).rectangle(inside, fill=int(rng.integers(180, 256)))
        _set(canvas, plate, plane, box, ground)
    elif style == "outline":
        wide = sheet.filter(ImageFilter.MaxFilter(3 if min(ink.size) < 40 else 5))
        _set(canvas, wide, plane, box, against(rng, colour))
    elif style == "shadow":
        far = pad / 2
        soft = sheet.filter(ImageFilter.GaussianBlur(far / 2))
        _set(canvas, soft, shift(far, far) @ plane, box, colour * 0.1)
    _set(canvas, sheet, plane, box, colour)


def seen(sheet: Image.Image, plane: Plane, box: tuple[int, int, int, int]) -> Image.Image:
    """A sheet on its plane, as it looks in a box of the image."""
    left, top, right, bottom = box
    back = np.linalg.inv(shift(-left, -top) @ plane)
    return sheet.transform(
        (right - left, bottom - top),
        Image.Transform.PERSPECTIVE,
        tuple((back / back[2, 2]).ravel()[:8]),
        Image.Resampling.BICUBIC,
    )


def _set(
    canvas: Image.Image,
    sheet: Image.Image,
    plane: Plane,
    box: tuple[int, int, int, int],
    colour: Rgb,
) -> None:
    """Paste one colour through a sheet seen on its plane, within a box of the image."""
    red, green, blue = (int(v) for v in colour)
    canvas.paste((red, green, blue), box, seen(sheet, plane, box))


def against(rng: np.random.Generator, ground: Rgb) -> Rgb:
    """A colour that differs from another in lightness: by 70 to 180, one in seven by 35 to 60."""
    light = float(ground @ LUMA)
    contrast = rng.uniform(35, 60) if rng.random() < 1 / 7 else rng.uniform(70, 180)
    ways = [v for v in (light + contrast, light - contrast) if 0 <= v <= 255]
    wanted = ways[int(rng.integers(len(ways)))] if ways else 0.0 if light > 127 else 255.0
    tint = rng.normal(0, 40, 3)
    tint -= tint @ LUMA
    found: Rgb = wanted + tint * min(1, min(wanted, 255 - wanted) / np.abs(tint).max())
    return found


def distractor(rng: np.random.Generator, size: int) -> Image.Image:
    """What is no text but as dark and as large: the ink of a pattern of about `size` px height."""
    height = max(4, round(size * rng.uniform(0.5, 1.2)))
    width = round(height * rng.uniform(1, 5))
    ink = Image.new("L", (width, height))
    PATTERNS[int(rng.integers(len(PATTERNS)))](ImageDraw.Draw(ink), rng, width, height)
    return ink


def _bars(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    """A barcode, or a fence."""
    x, unit = 0.0, max(1.0, height * rng.uniform(0.05, 0.2))
    while x < width:
        thick = unit * int(rng.integers(1, 4))
        pen.rectangle((x, 0, x + thick - 1, height), fill=255)
        x += thick + unit * int(rng.integers(1, 4))


def _stripes(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    """Lines along the longer side, as of shutters or steps."""
    pitch = max(3.0, height * rng.uniform(0.2, 0.5))
    for y in np.arange(0, height, pitch).tolist():
        pen.rectangle((0, y, width, y + pitch * 0.4), fill=255)


def _grid(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    """Windows: cells with bars between."""
    pitch = max(4.0, height * rng.uniform(0.25, 0.6))
    thick = max(1, round(pitch * 0.15))
    for x in np.arange(0, width, pitch).tolist():
        pen.line((x, 0, x, height), 255, thick)
    for y in np.arange(0, height, pitch).tolist():
        pen.line((0, y, width, y), 255, thick)


def _scribble(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    """A line that wanders to the right, in loops."""
    steps = np.linspace(0, 1, 24 * max(2, width // height))
    turns = rng.uniform(1, 3) * width / height
    x = steps * 0.8 + 0.1 + 0.1 * np.sin(2 * np.pi * turns * steps + rng.uniform(0, 6))
    swing = np.interp(steps, np.linspace(0, 1, 9), rng.uniform(0.2, 1, 9))
    y = 0.5 + 0.45 * np.cos(2 * np.pi * turns * steps) * swing
    line = [(float(a), float(b)) for a, b in zip(x * width, y * height, strict=True)]
    pen.line(line, 255, max(1, height // 12), joint="curve")


def _shapes(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    """A row of discs, rings, boxes and triangles."""
    side = height - 1
    for x in range(0, width - side, round(height * rng.uniform(1.1, 1.5))):
        box, thick = (x, 0, x + side, side), max(1, height // 8)
        kind = int(rng.integers(4))
        if kind == 0:
            pen.ellipse(box, fill=255)
        elif kind == 1:
            pen.ellipse(box, outline=255, width=thick)
        elif kind == 2:
            pen.rectangle(box, outline=255, width=thick)
        else:
            pen.polygon(((x, side), (x + side, side), (x + side / 2, 0)), fill=255)


Pattern = Callable[[ImageDraw.ImageDraw, np.random.Generator, int, int], None]
PATTERNS: tuple[Pattern, ...] = (_bars, _stripes, _grid, _scribble, _shapes)
