"""Pictures as people have them become the pixels they hold, and what is wrong with a file is said."""

from __future__ import annotations

import io
import os
import shutil
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit import DamagedFile, UsageError
from gankit.data.catalogue import DataOptions
from gankit.data.decoding import UNREADABLE, Frame, framed, unwarned
from gankit.plugins.datasets.folder import Folder
from gankit.registry import registry


def write(path, array, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **how)


def test_a_folder_of_class_folders_gives_labels(tmp_path):
    for i, name in enumerate(("cat", "dog")):
        for j in range(3):
            write(tmp_path / name / f"{j}.png", np.full((8, 8, 3), 50 * i + j, np.uint8))
    found = Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 2, 50, 51, 52]


def test_loose_images_have_no_labels(tmp_path):
    write(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    write(tmp_path / "sub" / "b.png", np.zeros((8, 8), np.uint8))
    assert Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0).labels is None


def test_images_as_people_have_them_become_eight_bit_squares(tmp_path):
    grey16 = np.full((8, 8), 257 * 100, np.uint16)
    write(tmp_path / "0-grey16.png", grey16)
    write(tmp_path / "1-grey.png", np.full((8, 8), 100, np.uint8))
    Image.new("P", (8, 8), 1).save(tmp_path / "2-palette.png")
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[..., 0] = 200  # red, but wholly transparent
    write(tmp_path / "3-alpha.png", clear)
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(tmp_path / "4-cmyk.jpg")
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 90
    write(tmp_path / "5-wide.png", wide)
    turned = Image.new("RGB", (8, 8))
    turned.paste((255, 255, 255), (0, 0, 8, 4))  # white above, but the EXIF says: turn by a half
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.save(tmp_path / "6-exif.png", exif=exif)
    found = Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8, channels=3), 0).images
    assert found.shape == (7, 3, 8, 8)
    assert found[0].unique().tolist() == [100]
    assert found[1].unique().tolist() == [100]
    assert found[3].max() == 0
    assert found[4].max() <= 3
    assert found[5].unique().tolist() == [90]
    assert found[6, 0, 0, 0] == 0
    assert found[6, 0, 7, 0] == 255


def test_other_shapes_are_cropped_padded_or_stretched_as_asked(tmp_path):
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, :8] = 200
    write(tmp_path / "wide.png", wide)
    got = {
        fit: Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8, fit=fit), 0).images[0, 0]
        for fit in ("crop", "pad", "stretch")
    }
    assert got["crop"][:, :4].min() == 200
    assert got["crop"][:, 4:].max() == 0
    assert got["pad"][0].max() == 0
    assert got["pad"][3:5, 0].min() > 150
    assert got["stretch"][0, 1] > 180
    assert got["stretch"][7, 6] < 20


def test_corrupt_images_are_named_and_too_many_are_an_error(tmp_path, capsys):
    for i in range(99):
        write(tmp_path / f"{i:02d}.png", np.full((8, 8), i, np.uint8))
    (tmp_path / "bad.png").write_bytes((tmp_path / "00.png").read_bytes()[:40])
    found = Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)
    assert len(found) == 99
    assert found.prepared[0].skipped[0][0] == "bad.png"
    assert "bad.png is left out" in capsys.readouterr().err
    (tmp_path / "worse.jpg").write_bytes(b"no image")
    with pytest.raises(DamagedFile, match="2 of 101"):
        Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)


def read(path, size=8, channels=3, **how):
    with unwarned():
        return framed(path, Frame(size, channels, **how)).astype(int)


def test_sixteen_bits_are_scaled_to_eight_however_dark_the_picture_is(tmp_path):
    values = np.array([[0, 128, 129, 200], [255, 256, 1000, 65535]] * 2, np.uint16)
    for name in ("a.png", "a.tif"):
        write(tmp_path / name, values)
        np.testing.assert_array_equal(read(tmp_path / name, 4, 1)[..., 0], np.rint(values / 257))
    (tmp_path / "a.pgm").write_bytes(b"P5 4 4 65535\n" + values.astype(">u2").tobytes())
    np.testing.assert_array_equal(read(tmp_path / "a.pgm", 4, 1)[..., 0], np.rint(values / 257))
    dark = np.minimum(values, 255)
    write(tmp_path / "dark.png", dark)
    assert read(tmp_path / "dark.png", 4, 1).max() == 1


def test_transparent_parts_are_black_in_palettes_too(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([200, 100, 50, 10, 20, 30])
    image.paste(1, (0, 0, 4, 8))
    image.save(tmp_path / "clear.gif", transparency=0)
    image.save(tmp_path / "clear.png", transparency=0)
    image.save(tmp_path / "opaque.png")
    for name in ("clear.gif", "clear.png"):
        assert read(tmp_path / name)[0, 7].tolist() == [0, 0, 0]
        assert read(tmp_path / name)[0, 0].tolist() == [10, 20, 30]
    assert read(tmp_path / "opaque.png")[0, 7].tolist() == [200, 100, 50]
    half = np.full((8, 8, 4), 128, np.uint8)
    write(tmp_path / "half.png", half)
    assert np.unique(read(tmp_path / "half.png")).tolist() == [64]


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tif"])
def test_of_an_animation_the_first_picture_is_taken(ending, tmp_path):
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (250, 10)]
    lossless = {"lossless": True} if ending == "webp" else {}
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], **lossless)
    assert np.unique(read(tmp_path / f"a.{ending}")[..., 0]).tolist() == [250]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says_also_where_a_jpeg_is_decoded_smaller(orientation, tmp_path):
    upright = Image.new("RGB", (128, 128), (0, 0, 0))
    upright.paste((255, 255, 255), (0, 0, 64, 32))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how a camera that was held so stores it
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    found = read(tmp_path / "a.jpg", 16, 1)[..., 0]
    assert found[:3, :7].min() > 230
    assert found[6:].max() < 30
    assert found[:, 10:].max() < 30


def test_broken_exif_does_not_cost_the_picture(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert read(tmp_path / "a.jpg")[0, 0, 0] > 250


def test_tiny_pictures_grow_and_huge_ones_are_left_out_by_name(tmp_path, capsys):
    write(tmp_path / "tiny.png", np.full((1, 1), 77, np.uint8))
    assert np.unique(read(tmp_path / "tiny.png", 8)).tolist() == [77]
    for i in range(30):
        write(tmp_path / f"{i:02d}.png", np.zeros((8, 8), np.uint8))
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    found = Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)
    assert len(found) == 31
    assert "huge.png is left out: DecompressionBombError" in capsys.readouterr().err


def test_a_jpeg_decoded_smaller_is_close_to_one_decoded_whole(tmp_path):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (14, 11, 3), dtype=np.uint8)).resize(
        (178, 218), Image.Resampling.BICUBIC
    )
    image.save(tmp_path / "a.jpg", quality=95)
    image.save(tmp_path / "a.png")
    for how in ({}, {"fit": "pad"}, {"fit": "stretch"}, {"crop": 148}):
        difference = read(tmp_path / "a.jpg", 64, **how) - read(tmp_path / "a.png", 64, **how)
        assert abs(difference).mean() < 3, how


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "tif", "bmp"])
def test_whatever_is_wrong_with_a_file_it_is_unreadable_and_no_more(ending, tmp_path):
    rng = np.random.default_rng(0)
    write(tmp_path / f"a.{ending}", rng.integers(0, 256, (40, 30), dtype=np.uint8))
    whole = (tmp_path / f"a.{ending}").read_bytes()
    for i in range(150):
        data = bytearray(whole[: rng.integers(1, len(whole))] if i % 3 == 0 else whole)
        for _ in range(i % 3):
            data[rng.integers(len(data))] = rng.integers(256)
        with suppress(*UNREADABLE), unwarned():
            framed(io.BytesIO(data), Frame(16, 3))


def test_names_that_are_no_text_and_files_that_systems_leave_are_no_trouble(tmp_path):
    write(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    (tmp_path / "._a.png").write_bytes(b"Mac")
    path = os.fsencode(tmp_path) + b"/\xff.png"
    shutil.copy(tmp_path / "a.png", path)
    assert len(Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)) == 2


def test_an_empty_or_missing_folder_is_an_error_that_says_so(tmp_path):
    with pytest.raises(UsageError, match="no images in it"):
        Folder().load(DataOptions(data=f"folder:{tmp_path}"), 0)
    with pytest.raises(UsageError, match="no such folder"):
        Folder().load(DataOptions(data=f"folder:{tmp_path / 'nowhere'}"), 0)
    with pytest.raises(UsageError, match="needs a path"):
        Folder().load(DataOptions(data="folder"), 0)


@pytest.mark.parametrize("labels", [[0, 1, 2], [-1, 0, 1]], ids=["too many", "negative"])
def test_labels_outside_the_classes_are_refused(labels):
    images = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(gankit.UsageError, match=f"labels from {min(labels)} to {max(labels)}, but there are 2 classes"):
        gankit.ImageSet(images, torch.tensor(labels), ("a", "b"))


@pytest.mark.parametrize("name", ["shapes", "stripes", "fashion-mnist", "celeba", "horse2zebra"])
def test_a_range_for_images_of_eight_bits_is_refused_before_anything_is_looked_for(name):
    dataset = registry().get("datasets", name)()
    with pytest.raises(gankit.UsageError, match=f"--range 0,9: the values of {name} have 8 bits; leave it out"):
        dataset.load(gankit.DataOptions(data=name, range="0,9"), 0)
