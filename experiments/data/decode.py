"""Image and mask files to pixels: what each format means, and which files are refused.

As the field reads them (BiRefNet's `path_to_image` and most others use OpenCV): alpha channels of
images are dropped, EXIF orientation is applied, masks are grey. Unlike there
- 16 bits are scaled and not clipped, and a mask whose meaning is a guess is refused by name;
- resizing averages what each pixel covers (Pillow's bilinear, and JPEGs decoded smaller), where
  `cv2.INTER_LINEAR` takes the four nearest: a hair one pixel wide of a 4096 px image is faint but
  whole at 1024 px here, broken into dashes and gaps there.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from experiments.errors import UserError

Pixels = NDArray[np.uint8]
Finding = tuple[tuple[int, ...] | None, list[str]]
# By content, whatever the ending says; PostScript, which would run a program, is not among them.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "AVIF", "GIF", "PPM", "JPEG2000")
Image.init()  # given names, `open` does not look further than the five formats that it begins with
# What Pillow raises of damaged files: RuntimeError of an AVIF, struct.error of cut EXIF data.
DAMAGED = (OSError, SyntaxError, ValueError, LookupError, RuntimeError, struct.error)
GREY = 8  # channels of a JPEG of a grey mask differ by no more
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap height and width
FAINT = 32  # a mask that stays below holds class numbers and not an object


def read_pair(
    image_file: Path, mask_file: Path, size: tuple[int, int] | None = None
) -> tuple[Pixels, Pixels]:
    """Image (H, W, 3) and mask (H, W), resized to `size` (H, W) if given, else as stored.

    Of a JPEG that is more than twice as large as `size` a smaller version is decoded.

    Raises:
        UserError: a file that cannot be read or understood; sizes that differ.
    """
    mask = read_mask(mask_file)
    with opened(image_file) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1)
        stored, upright = image.size[::-1], image.size[::-1]
        if turned in SIDEWAYS:
            upright = upright[::-1]
        if mask.shape not in (upright, stored):
            raise UserError(f"{image_file} is {upright} (H, W) but its mask is {mask.shape}")
        # A mask that fits only without was drawn by a program that did not turn the image.
        turn = mask.shape == upright
        if size:
            image.draft(None, size if turn and turned in SIDEWAYS else size[::-1])
        if turn:
            image = ImageOps.exif_transpose(image)
        pixels = _rgb(image, image_file)
    return (resized(pixels, size), resized(mask, size)) if size else (pixels, mask)


def read_image(file: Path, size: tuple[int, int]) -> tuple[Pixels, tuple[int, int]]:
    """An image alone as `read_pair` gives it, upright at `size`, and the (H, W) of its file.

    Raises:
        UserError: a file that cannot be read.
    """
    with opened(file) as image:
        sideways = image.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS
        shape = image.size if sideways else image.size[::-1]
        image.draft(None, size if sideways else size[::-1])
        pixels = _rgb(ImageOps.exif_transpose(image), file)
    return resized(pixels, size), shape


def resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """An image or a mask at `size` (H, W), bilinear."""
    if pixels.shape[:2] == size:
        return pixels
    return np.array(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))


@contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """The image of a file, not decoded yet; errors while it is open name the file."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            yield image
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"cannot read {file} as an image: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{file} is too large: {error}") from error


def _rgb(image: Image.Image, file: Path) -> Pixels:
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        grey = _deep(np.array(image), file)
        return np.repeat(grey[..., None], 3, axis=2)
    return _opaque(image)


def _opaque(image: Image.Image) -> Pixels:
    """The colours alone; of a palette with transparency Pillow would warn."""
    if image.mode == "P":
        image.info.pop("transparency", None)
    return np.array(image.convert("RGB"))


def read_mask(file: Path) -> Pixels:
    """A mask (H, W): 0 ground, 255 object, soft between.

    Masks of 0 and 1 become 0 and 255; of a palette of two colours the one that is not black is
    the object; of an RGBA image of one colour the alpha is the mask.

    Raises:
        UserError: unreadable, or with more than one reading: several colours or classes (values
            of up to 31 of 255).
    """
    with opened(file) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("F", "I") or image.mode.startswith("I;16"):
            mask = _deep(np.array(image), file)
        elif image.mode == "P":
            mask = _palette(image, file)
        elif image.mode in ("L", "1"):
            mask = np.array(image.convert("L"))
        else:
            mask = _channels(image, file)
    top = int(mask.max())
    if 1 < top < FAINT:
        raise UserError(
            f"{file} has the values {_few(mask)} and none above {top} of 255: class numbers? "
            "Save the mask as 8-bit grey, 0 for the ground and 255 where the object is"
        )
    return mask * np.uint8(255) if top == 1 else mask


def _few(mask: Pixels) -> str:
    values = np.unique(mask).tolist()
    return ", ".join(map(str, values[:6])) + (", ..." if len(values) > 6 else "")


def _deep(values: NDArray[np.generic], file: Path) -> Pixels:
    """More than 8 bits, scaled to 8; 8 bits in a larger container stay as they are."""
    x = values.astype(np.float64)
    top = float(x.max())
    if not np.isfinite(x).all() or x.min() < 0 or top > 65535:
        raise UserError(f"{file} has values from {x.min():g} to {top:g}; expected 8 or 16 bits")
    if values.dtype.kind == "f":
        if top > 1:
            raise UserError(f"{file} has floating-point values up to {top:g}; expected 0 to 1")
        x = x * 255
    elif top > 255:
        x = x / 257
    return np.rint(x).astype(np.uint8)


def _palette(image: Image.Image, file: Path) -> Pixels:
    used = np.unique(np.array(image))
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)[used]
    if int(np.ptp(colours, axis=1).max()) <= GREY:
        return np.array(Image.fromarray(_opaque(image)).convert("L"))
    ground = (colours == 0).all(axis=1)
    if len(used) > 2 or int(ground.sum()) != len(used) - 1:
        raise UserError(
            f"{file} has a palette of {len(used)} colours, so what is the object is a guess; "
            "save the mask as 8-bit grey, 255 where the object is"
        )
    return np.where(np.isin(np.array(image), used[~ground]), 255, 0).astype(np.uint8)


def _channels(image: Image.Image, file: Path) -> Pixels:
    """The mask in an image with several channels."""
    bands = np.array(image.convert("RGBA"))
    colour, alpha = bands[..., :3], bands[..., 3]
    if int(np.ptp(alpha)):
        shown = colour[alpha > 0]
        if len(shown) and not (shown == shown[0]).all():
            raise UserError(
                f"{file} has both colours and transparency, so which is the mask is a guess; "
                "save the mask alone as 8-bit grey"
            )
        return alpha
    if int(np.ptp(colour, axis=2).max()) > GREY:
        raise UserError(
            f"{file} is a mask with colours, so what is the object is a guess; "
            "save it as 8-bit grey, 255 where the object is"
        )
    return np.array(image.convert("RGB").convert("L"))


def inspect(files: tuple[Path, Path]) -> Finding:
    """Size (H, W) of an image and mask, and what is worth a look; or None, and what is wrong."""
    try:
        return _inspect(*files)
    except UserError as error:
        return None, [str(error)]


def _inspect(image_file: Path, mask_file: Path) -> Finding:
    image, mask = read_pair(image_file, mask_file)
    found = []
    with opened(image_file) as stored:
        turned = stored.getexif().get(ExifTags.Base.Orientation, 1)
        if turned != 1 and stored.size != mask.shape[::-1]:
            found.append(f"{image_file.name}: turned as its EXIF orientation says")
        elif turned in SIDEWAYS and stored.size[0] != stored.size[1]:
            found.append(f"{image_file.name}: EXIF orientation ignored, as the mask fits without")
        elif turned != 1:
            found.append(
                f"{image_file.name}: EXIF orientation {turned}; see whether its mask fits"
            )
    with opened(mask_file) as stored:
        if stored.mode != "1" and int(np.array(stored).max()) == 1 and mask.any():
            found.append(f"{mask_file.name}: values 0 and 1, read as 0 and 255")
    for file in (image_file, mask_file):
        if 1 < _top_of_deep(file) <= 255:
            found.append(f"{file.name}: 16 bits but no value above 255, read as 8 bits")
    if not mask.any():
        found.append(f"{mask_file.name}: all black, no object")
    if min(image.shape[:2]) < 32:
        found.append(f"{image_file.name}: only {image.shape[1]} x {image.shape[0]} px")
    return mask.shape, found


def _top_of_deep(file: Path) -> int:
    """The largest value of a file with 16 or 32 bits a pixel; 0 of any other."""
    with opened(file) as stored:
        return int(np.array(stored).max()) if stored.mode.startswith("I") else 0
