"""Image and mask files as people have them: read as the field expects, or refused by name."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.data import DataConfig, load_splits
from experiments.data import decode as formats
from experiments.data.__main__ import main
from experiments.data.decode import read_image, read_mask, read_pair
from experiments.errors import UserError

H, W = 40, 64
RAMP = np.repeat(np.linspace(0, 255, W).round().astype(np.uint8)[None], H, axis=0)
OBJECT = np.zeros((H, W), np.uint8)
OBJECT[5:30, 10:50] = 255
COLOUR = np.stack([RAMP, RAMP[:, ::-1], OBJECT], axis=2)


def written(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def palette(path: Path, index: np.ndarray, colours: list[int]) -> Path:
    image = Image.fromarray(index)
    image.putpalette(colours)
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.png", {}, 0),
        ("a.BMP", {"format": "BMP"}, 0),
        ("a.tif", {"compression": "tiff_lzw"}, 0),
        ("a.webp", {"lossless": True}, 0),
        ("a.ppm", {}, 0),
        ("a.jpeg", {"quality": 95, "subsampling": 0}, 12),
        ("a.avif", {"quality": 95}, 16),
    ],
)
def test_every_common_format_gives_its_pixels(tmp_path, name, options, tolerance) -> None:
    image = written(tmp_path / name, COLOUR, **options)
    mask = written(tmp_path / "mask.png", OBJECT)
    pixels, read = read_pair(image, mask)
    assert np.abs(pixels.astype(int) - COLOUR).mean() <= tolerance
    assert np.array_equal(read, OBJECT)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, name) -> None:
    file = written(tmp_path / name, RAMP.astype(np.uint16) * 257)
    assert np.array_equal(read_mask(file), RAMP)
    image, _ = read_pair(file, written(tmp_path / "mask.png", OBJECT))
    assert np.array_equal(image, np.repeat(RAMP[..., None], 3, axis=2))


def test_eight_bits_in_a_sixteen_bit_file_stay_as_they_are(tmp_path) -> None:
    assert np.array_equal(read_mask(written(tmp_path / "a.png", RAMP.astype(np.uint16))), RAMP)


def test_floating_point_masks_are_taken_from_0_to_1_and_refused_above(tmp_path) -> None:
    file = tmp_path / "a.tif"
    assert np.array_equal(read_mask(written(file, RAMP.astype(np.float32) / 255)), RAMP)
    with pytest.raises(UserError, match=r"a.tif has floating-point values up to 255"):
        read_mask(written(file, RAMP.astype(np.float32)))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "bool"])
def test_a_mask_of_0_and_1_is_a_mask_of_0_and_255(tmp_path, kind) -> None:
    assert np.array_equal(
        read_mask(written(tmp_path / "a.png", (OBJECT > 0).astype(kind))), OBJECT
    )


@pytest.mark.parametrize("kind", ["uint8", "uint16", "rgb"])
def test_a_grey_mask_of_class_numbers_is_refused_by_name(tmp_path, kind) -> None:
    classes = OBJECT // 255
    classes[10:20, 20:30] = 2
    pixels = np.repeat(classes[..., None], 3, axis=2) if kind == "rgb" else classes.astype(kind)
    with pytest.raises(UserError, match=r"m.png has the values 0, 1, 2 and none above 2 of 255"):
        read_mask(written(tmp_path / "m.png", pixels))


def test_of_a_palette_of_two_colours_the_one_that_is_not_black_is_the_object(tmp_path) -> None:
    index = (OBJECT > 0).astype(np.uint8)
    voc = palette(tmp_path / "voc.png", index * 15, [0, 0, 0] + [0] * 42 + [192, 128, 128])
    assert np.array_equal(read_mask(voc), OBJECT)
    grey = palette(tmp_path / "grey.png", RAMP, [v for k in range(256) for v in (k, k, k)])
    assert np.array_equal(read_mask(grey), RAMP)


def test_channels_that_say_the_same_are_one_mask(tmp_path) -> None:
    three = np.repeat(RAMP[..., None], 3, axis=2)
    opaque = np.full((H, W, 1), 255, np.uint8)
    for pixels in (three, np.concatenate([three, opaque], axis=2)):
        assert np.array_equal(read_mask(written(tmp_path / "a.png", pixels)), RAMP)
    white = np.concatenate([np.full((H, W, 3), 255, np.uint8), RAMP[..., None]], axis=2)
    assert np.array_equal(read_mask(written(tmp_path / "a.png", white)), RAMP)
    grey_alpha = Image.merge("LA", [Image.fromarray(RAMP), Image.fromarray(opaque[..., 0])])
    grey_alpha.save(tmp_path / "la.png")
    assert np.array_equal(read_mask(tmp_path / "la.png"), RAMP)


def test_a_mask_with_more_than_one_reading_is_refused_by_name(tmp_path) -> None:
    with pytest.raises(UserError, match=r"c.png is a mask with colours"):
        read_mask(written(tmp_path / "c.png", COLOUR))
    cutout = np.concatenate([COLOUR, OBJECT[..., None]], axis=2)
    with pytest.raises(UserError, match=r"r.png has both colours and transparency"):
        read_mask(written(tmp_path / "r.png", cutout))
    classes = palette(tmp_path / "p.png", RAMP // 100, [0, 0, 0, 128, 0, 0, 0, 128, 0])
    with pytest.raises(UserError, match=r"p.png has a palette of 3 colours"):
        read_mask(classes)


def test_the_transparency_of_a_palette_is_dropped_without_a_warning(tmp_path) -> None:
    greys = [v for k in range(256) for v in (k, k, k)]
    image = Image.fromarray(RAMP)
    image.putpalette(greys)
    image.save(tmp_path / "a.png", transparency=bytes(range(256)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels, mask = read_pair(tmp_path / "a.png", tmp_path / "a.png")
    assert np.array_equal(pixels[..., 0], RAMP)
    assert np.array_equal(mask, RAMP)


def test_of_an_image_with_alpha_the_colours_count(tmp_path) -> None:
    image = written(tmp_path / "a.png", np.concatenate([COLOUR, OBJECT[..., None]], axis=2))
    pixels, _ = read_pair(image, written(tmp_path / "m.png", OBJECT))
    assert np.array_equal(pixels, COLOUR)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_image_and_mask_lie_on_each_other_whatever_the_exif_says(tmp_path, orientation) -> None:
    upright = np.repeat(OBJECT[..., None], 3, axis=2)
    back = {  # what turns an upright image into the stored one
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = Image.fromarray(upright).transpose(back)
    image = tmp_path / "a.jpg"
    stored.save(image, exif=exif(orientation), quality=100, subsampling=0)
    for mask in (OBJECT, np.array(stored)[..., 0]):  # drawn on the turned and the stored image
        if orientation < 5 and mask is not OBJECT:
            continue  # sizes tell only turns by a quarter
        for size in (None, (20, 32), (16, 10)):
            pixels, read = read_pair(image, written(tmp_path / "m.png", mask), size)
            assert np.abs(pixels[..., 0].astype(int) - read).mean() < 16
    turned = tmp_path / "m.jpg"
    stored.convert("L").save(turned, exif=exif(orientation), quality=100)
    assert np.abs(read_mask(turned).astype(int) - OBJECT).mean() < 4


def test_a_large_jpeg_is_decoded_smaller_and_stays_the_same_picture(tmp_path) -> None:
    big = np.array(Image.fromarray(COLOUR).resize((W * 8, H * 8), Image.Resampling.BICUBIC))
    image = written(tmp_path / "a.jpg", big, quality=95)
    mask = written(tmp_path / "m.png", np.array(Image.fromarray(OBJECT).resize((W * 8, H * 8))))
    small, _ = read_pair(image, mask, (H, W))
    full, _ = read_pair(image, mask)
    assert np.abs(small.astype(int) - formats.resized(full, (H, W))).mean() < 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:-200]), r"cannot read .*a.jpg .*truncated"),
        (lambda f: f.write_bytes(f.read_bytes()[:400]), r"cannot read .*a.jpg .*Truncated"),
        (lambda f: f.write_bytes(b""), r"cannot read .*a.jpg as an image"),
        (lambda f: f.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n"), r"cannot read .*a.jpg"),
        (lambda f: written(f, COLOUR[:10]), r"a.jpg is \(10, 64\) .*mask is \(40, 64\)"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path, spoil, message) -> None:
    image = written(tmp_path / "a.jpg", COLOUR)
    spoil(image)
    with pytest.raises(UserError, match=message):
        read_pair(image, written(tmp_path / "m.png", OBJECT))


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_an_image_whose_exif_is_cut_short_is_refused_by_name(tmp_path, name) -> None:
    image = written(tmp_path / name, COLOUR, exif=b"Exif\0\0MM\0*\0\0\0")
    with pytest.raises(UserError, match=f"cannot read .*{name} as an image"):
        read_image(image, (H, W))


def test_a_damaged_avif_is_refused_by_name(tmp_path) -> None:
    image = written(tmp_path / "a.avif", COLOUR)
    image.write_bytes(image.read_bytes().replace(b"pitm", b"free"))
    with pytest.raises(UserError, match=r"cannot read .*a.avif as an image"):
        read_image(image, (H, W))


def test_a_single_pixel_and_a_black_mask_are_legal(tmp_path) -> None:
    pixel = written(tmp_path / "a.png", COLOUR[:1, :1])
    image, mask = read_pair(pixel, written(tmp_path / "m.png", OBJECT[:1, :1]), (32, 32))
    assert image.shape == (32, 32, 3)
    assert not mask.any()


def folder(root: Path, count: int) -> Path:
    for split, image in (("train", COLOUR), ("test", COLOUR[::-1])):
        for kind, pixels in (("im", image), ("gt", OBJECT)):
            (root / split / kind).mkdir(parents=True)
            for i in range(count):
                written(root / split / kind / f"{i:03d}.png", pixels)
    return root


def test_check_finds_every_problem_of_a_folder_at_once(tmp_path, capsys) -> None:
    root = folder(tmp_path / "set", 20)
    assert main(["check", str(root)]) == 0
    said = capsys.readouterr().out
    assert "train): 20 pairs, 64 x 40 to 64 x 40 px" in said
    assert "no problem" in said
    written(root / "train/gt/000.png", COLOUR)
    (root / "train/im/001.png").write_bytes(b"no image")
    (root / "train/gt/002.png").unlink()
    written(root / "test/gt/003.png", OBJECT * 0)
    written(root / "test/gt/004.png", OBJECT // 255)
    written(root / "test/gt/005.png", OBJECT.astype(np.uint16))
    written(root / "test/gt/006.png", OBJECT.astype(np.uint16) * 257)
    written(root / "test/gt/007.png", OBJECT // 127)
    assert main(["check", str(root)]) == 1
    captured = capsys.readouterr()
    for line in (
        "000.png is a mask with colours",
        "cannot read",
        "1 files have no mask, the first '002.png'",
        "note: 003.png: all black",
        "note: 004.png: values 0 and 1",
        "note: 005.png: 16 bits but no value above 255, read as 8 bits",
        "007.png has the values 0, 2",
        "4 problems",
    ):
        assert line in captured.out
    assert "006.png" not in captured.out
    assert captured.err == "", "no progress bar where nobody sees it"


def test_check_says_what_a_folder_without_images_lacks(tmp_path, capsys) -> None:
    (tmp_path / "set/im").mkdir(parents=True)
    (tmp_path / "set/gt").mkdir()
    assert main(["check", str(tmp_path / "set")]) == 1
    assert "im holds no image" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "nowhere")]) == 1
    assert "no folder" in capsys.readouterr().err


def test_check_fails_where_a_run_would_refuse_the_splits_that_were_named(tmp_path, capsys) -> None:
    train = folder(tmp_path / "set", 30) / "train"
    assert main(["check", str(train)]) == 0, "a part of a set is no problem"
    assert "not usable as --data by itself" in capsys.readouterr().out
    assert main(["check", f"train={train},test={train}"]) == 1
    said = capsys.readouterr().out
    assert "is in both" in said
    assert "no problem" not in said
    assert main(["check", f"train={train},test={tmp_path / 'set/test'}"]) == 0


def test_check_decodes_many_pairs_in_processes_and_finds_the_same(tmp_path, capsys) -> None:
    root = folder(tmp_path / "set", 70)
    written(root / "train/gt/066.png", COLOUR)
    found = []
    for workers in ("1", "2"):
        assert main(["check", str(root), "--workers", workers]) == 1
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    assert "066.png is a mask with colours" in found[0]


def test_a_folder_that_check_passes_is_a_data_set(tmp_path) -> None:
    train, val, test = load_splits(DataConfig(name=str(folder(tmp_path / "set", 30))))
    assert len(train) + len(val) == 30
    assert len(test) == 30
    assert test[0][0].shape == (128, 128, 3)
