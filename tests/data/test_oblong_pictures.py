"""Pictures become images of --size HEIGHTxWIDTH without loss of shape: cropped, padded or stretched as asked."""

from __future__ import annotations

import gzip
import json
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from gankit import DataOptions, ImageSet, RandomStream, UsageError
from gankit.data.batches import BatchSource
from gankit.data.decoding import Frame, decoded, framed, unwarned
from gankit.plugins.datasets.folder import Folder
from gankit.plugins.datasets.idx import MNIST
from gankit.plugins.datasets.shapes import Shapes
from gankit.plugins.datasets.stripes import Stripes, to_unit, true_mapping

HEIGHT, WIDTH = 96, 160


def drawn(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def read(path, fit="crop", size="96x160", channels=3, **more):
    with unwarned():
        return framed(path, Frame(size, channels, fit, **more))


def saved(tmp_path, pixels, name="some.png"):
    Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path / name


def test_of_a_picture_of_the_very_size_no_pixel_changes(tmp_path):
    pixels = drawn(HEIGHT, WIDTH)
    for fit in ("crop", "pad", "stretch"):
        np.testing.assert_array_equal(read(saved(tmp_path, pixels), fit), pixels)


def test_crop_takes_the_middle_columns_of_wider_and_the_middle_rows_of_higher_pictures(tmp_path):
    wide, high = drawn(HEIGHT, 200), drawn(300, WIDTH)
    np.testing.assert_array_equal(read(saved(tmp_path, wide)), wide[:, 20:180])
    np.testing.assert_array_equal(read(saved(tmp_path, high)), high[102:198])
    twice = np.zeros((HEIGHT * 2, 400, 3), np.uint8)  # larger: the middle 320 of 400 columns, halved
    twice[:, 40:200] = 200
    found = read(saved(tmp_path, twice)).astype(int)
    assert abs(found[:, 4:76] - 200).max() == 0
    assert found[:, 84:].max() == 0


def test_pad_keeps_all_of_the_picture_between_black_bars(tmp_path):
    wide, high = drawn(48, WIDTH), drawn(HEIGHT, 80)
    found = read(saved(tmp_path, wide), "pad")
    np.testing.assert_array_equal(found[24:72], wide)
    assert found[:24].max() == found[72:].max() == 0
    found = read(saved(tmp_path, high), "pad")
    np.testing.assert_array_equal(found[:, 40:120], high)
    assert found[:, :40].max() == found[:, 120:].max() == 0


def test_stretch_keeps_all_of_the_picture_and_fills_the_image(tmp_path):
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:, :10], pixels[:10, 10:] = 200, 100
    found = read(saved(tmp_path, pixels), "stretch").astype(int)
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert (found[:, :60] == 200).all()
    assert (found[:30, 100:] == 100).all()
    assert (found[66:, 100:] == 0).all()


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_jpeg_decoded_small_looks_as_one_decoded_whole_also_where_its_exif_turns_it(tmp_path, fit, turned):
    y, x = np.mgrid[:640, :960]
    pixels = np.stack([127 + 120 * np.sin(x / 40), 127 + 120 * np.cos(y / 30), (x + y) / 7], 2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turned
    Image.fromarray(pixels).save(tmp_path / "some.jpg", quality=95, exif=exif)
    whole = decoded(tmp_path / "some.jpg", 3)
    assert whole.size == ((960, 640) if turned == 1 else (640, 960))
    difference = read(tmp_path / "some.jpg", fit).astype(int) - read(whole, fit)
    assert abs(difference).mean() < 3


def test_a_square_middle_of_the_original_is_cut_to_the_shape_asked_for(tmp_path):
    pixels = drawn(218, 178)
    np.testing.assert_array_equal(read(saved(tmp_path, pixels), size="74x148", crop=148), pixels[72:146, 15:163])


def test_a_folder_is_prepared_in_the_shape_asked_for_and_once_for_each(tmp_path):
    for i, (height, width) in enumerate([(HEIGHT, WIDTH), (200, 100), (50, 300)] * 3):
        saved(tmp_path, drawn(height, width, i), f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for i in range(20):
        saved(tmp_path, drawn(10, 10, i), f"more{i}.png")
    options = DataOptions(data=f"folder:{tmp_path}", size="96x160")
    found = Folder().load(options, 0)
    assert found.images.shape == (29, 3, HEIGHT, WIDTH)
    np.testing.assert_array_equal(found.images[0].movedim(0, -1), drawn(HEIGHT, WIDTH, 0))
    assert found.spec().shape == (3, HEIGHT, WIDTH)
    across = Folder().load(DataOptions(data=f"folder:{tmp_path}", size="160x96"), 0)
    assert across.images.shape == (29, 3, WIDTH, HEIGHT)
    assert found.digest() == Folder().load(options, 0).digest() != across.digest()


def test_published_pixels_are_cut_padded_or_stretched_too(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    for name, head, values in (
        ("train-images-idx3-ubyte.gz", struct.pack(">4B3I", 0, 0, 8, 3, 5, 28, 28), pixels),
        ("train-labels-idx1-ubyte.gz", struct.pack(">4BI", 0, 0, 8, 1, 5), np.arange(5, dtype=np.uint8)),
    ):
        (tmp_path / name).write_bytes(gzip.compress(head + values.tobytes()))
    options = {"data": f"mnist:{tmp_path}", "size": "16x28"}
    dataset = type("Digits", (MNIST,), {"name": "mnist"})()
    cut = dataset.load(DataOptions(**options), 0)
    np.testing.assert_array_equal(cut.images[:, 0], pixels[:, 6:22])
    padded = dataset.load(DataOptions(data=options["data"], size="28x40", fit="pad"), 0)
    np.testing.assert_array_equal(padded.images[:, 0, :, 6:34], pixels)
    assert padded.images[:, 0, :, :6].max() == 0
    assert dataset.load(DataOptions(**options, fit="stretch"), 0).images.shape == (5, 1, 16, 28)


def test_drawn_pictures_are_as_large_as_asked_and_their_shapes_stay_whole_and_round():
    found = Shapes().load(DataOptions(size="32x64", channels=1, limit=200), 0)
    assert found.images.shape == (200, 1, 32, 64)
    lit = found.images[:, 0] > 120
    assert not lit[:, :, 0].any()
    assert not lit[:, :, -1].any()
    circles = lit[found.labels == 0]
    high, wide = circles.any(2).sum(1), circles.any(1).sum(1)
    assert (high - wide).abs().max() <= 1
    centres = (circles.any(1).double() * torch.arange(64)).sum(1) / wide
    assert centres.min() < 20
    assert centres.max() > 44
    stripes = Stripes().load(DataOptions(data="stripes", size="16x24", limit=3), 0)
    assert stripes.images.shape == stripes.other.shape == (3, 3, 16, 24)
    there_and_back = true_mapping(true_mapping(to_unit(stripes.images)), "b2a")
    torch.testing.assert_close(there_and_back, to_unit(stripes.images))


def batches(pixels, size, **more):
    source = BatchSource(
        ImageSet(pixels), lambda phase, n, stream: {}, batch_size=64, size=size, seed=3,
        device=torch.device("cpu"), dtype=torch.float32, **{"flip": False, **more},
    )  # fmt: skip
    return torch.cat([source.batch(i).images for i in range(8)])


@pytest.mark.parametrize("size", ["6x4", 4, "9x16", "12x10"])
def test_windows_lie_anywhere_in_the_image_and_hold_what_is_there(size):
    image = torch.arange(12 * 16, dtype=torch.uint8).reshape(1, 1, 12, 16)
    height, width = ImageSet(image).spec(size).sides
    windows = ((batches(image, size) + 1) * 127.5).round().to(torch.uint8)[:, 0]
    assert windows.shape == (512, height, width)
    tops, lefts = windows[:, 0, 0] // 16, windows[:, 0, 0] % 16
    assert set(tops.tolist()) == set(range(12 - height + 1))
    assert set(lefts.tolist()) == set(range(16 - width + 1))
    for window, top, left in zip(windows, tops.tolist(), lefts.tolist(), strict=True):
        assert torch.equal(window, image[0, 0, top : top + height, left : left + width])


def test_windows_that_leave_the_same_room_either_way_are_drawn_as_those_of_squares_always_were():
    drawn_anew = RandomStream(3, "crop", 0).integers(4, 64, 2)
    image = torch.arange(12 * 16, dtype=torch.uint8).reshape(1, 1, 12, 16)
    windows = ((batches(image, "9x13")[:64] + 1) * 127.5).round().long()
    assert torch.equal(windows[:, 0, 0, 0], drawn_anew[:, 0] * 16 + drawn_anew[:, 1])


def test_the_middle_is_shown_and_a_window_larger_than_the_images_is_refused():
    image = torch.arange(12 * 16, dtype=torch.uint8).reshape(1, 1, 12, 16)
    middle = ((ImageSet(image).pick(2, 0, "6x4").images + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(middle[1, 0], image[0, 0, 3:9, 6:10])
    for crop in ("13x4", "4x17", 14):
        with pytest.raises(UsageError, match=rf"--crop {crop}: the images have 12x16 pixels; give a larger --size"):
            ImageSet(image).spec(crop)


def test_check_says_the_shape_and_the_sheet_keeps_it(cli, tmp_path):
    for i in range(9):
        saved(tmp_path, drawn(HEIGHT, 200, i), f"{i}.png")
    sheet = tmp_path / "out" / "sheet.png"
    sheet.parent.mkdir()
    said = cli("data", "check", f"folder:{tmp_path}", "--size", "96x160", "-o", sheet, "--json")
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["shape"] == [3, HEIGHT, WIDTH]
    with Image.open(sheet) as image:
        assert image.size == (8 * (WIDTH + 2) - 2, 8 * (HEIGHT + 2) - 2)
    refused = cli("data", "prepare", f"folder:{tmp_path}", "--size", "96by160")
    assert refused.exit_code == 2
    assert "--size takes a whole number, or HEIGHTxWIDTH such as 96x160, not '96by160'" in refused.output
