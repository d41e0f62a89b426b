"""The data sets published as pictures in folders or archives: which are read, in which order, of which class."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from published import bmp, jpeg, load, write

from gankit import DamagedFile


def face(number):
    """A picture of 178x218 whose middle 148x148 alone is of a colour that tells its number."""
    image = Image.new("RGB", (178, 218), "white")
    image.paste((number % 200, 100, 20), (15, 35, 15 + 148, 35 + 148))
    return image


@pytest.mark.parametrize("how", ["folder", "zip"])
def test_celeba_keeps_the_middle_148_pixels_and_splits_by_number(how, tmp_path):
    numbers = {"train": (1, 162_770), "valid": (162_771, 182_637), "test": (182_638, 202_599)}
    files = {f"img_align_celeba/{n:06d}.jpg": jpeg(face(n)) for some in numbers.values() for n in some}
    write(tmp_path, files, "img_align_celeba.zip" if how == "zip" else None)
    for split, some in numbers.items():
        found = load("celeba", data_root=str(tmp_path), split=split).images
        assert found.shape == (2, 3, 64, 64)
        for image, n in zip(found.numpy(), some, strict=True):
            inner = image[:, 4:-4, 4:-4]  # Lanczos and JPEG reach a little over the border
            assert abs(inner.astype(int) - np.array([n % 200, 100, 20])[:, None, None]).max() <= 3
    assert len(load("celeba", data_root=str(tmp_path), split="all")) == 6
    whole = load("celeba", data_root=str(tmp_path), fit="stretch").images
    assert whole[:, :, 0].min() > 240  # the white border is there


def tiny_imagenet():
    ids = {"n02124075": "Egyptian cat", "n01443537": "goldfish, Carassius auratus"}
    files = {
        "tiny-imagenet-200/wnids.txt": "\n".join(ids).encode(),
        "tiny-imagenet-200/words.txt": "".join(f"{each}\t{word}\n" for each, word in ids.items()).encode(),
        "tiny-imagenet-200/val/val_annotations.txt": b"val_0.JPEG\tn02124075\t0\nval_1.JPEG\tn01443537\t0\n",
    }
    for c, each in enumerate(ids):
        files[f"tiny-imagenet-200/val/images/val_{c}.JPEG"] = jpeg(Image.new("L", (64, 64), 200 + c))
        files[f"tiny-imagenet-200/train/{each}/{each}_boxes.txt"] = b""
        for i in range(3):
            picture = Image.new("L" if i == 2 else "RGB", (64, 64), 10 * c + i if i == 2 else (10 * c + i,) * 3)
            files[f"tiny-imagenet-200/train/{each}/images/{each}_{i}.JPEG"] = jpeg(picture)
    return files


@pytest.mark.parametrize("archive", [None, "tiny-imagenet-200.zip"])
def test_tiny_imagenet_names_its_classes_in_train_and_in_val(archive, tmp_path):
    write(tmp_path, tiny_imagenet(), archive)
    train = load("tiny-imagenet", data_root=str(tmp_path))
    assert train.classes == ("goldfish, Carassius auratus", "Egyptian cat")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.images[:, :, 5, 5].tolist() == [[v] * 3 for v in (10, 11, 12, 0, 1, 2)]  # grey ones are coloured
    val = load("tiny-imagenet", data_root=str(tmp_path), split="val")
    assert val.images[:, 0, 5, 5].tolist() == [200, 201]
    assert val.labels.tolist() == [1, 0]


@pytest.mark.parametrize("name", ["wnids.txt", "val/val_annotations.txt"])
def test_a_tiny_imagenet_that_lacks_a_class_is_named(name, tmp_path):
    files = tiny_imagenet()
    files[f"tiny-imagenet-200/{name}"] = b"n01443537"
    write(tmp_path, files)
    with pytest.raises(DamagedFile, match="not what wnids"):
        load("tiny-imagenet", data_root=str(tmp_path), split="val")


@pytest.mark.parametrize(("top", "archive"), [("afhq/", None), ("", None), ("afhq/", "afhq.zip"), ("", "afhq_v2.zip")])
def test_afhq_is_read_in_either_version(top, archive, tmp_path):
    files = {
        f"{top}{split}/{kind}/{kind}_{i}.png": bmp((50 * c, i, len(split)))
        for split in ("train", "test") for c, kind in enumerate(("cat", "dog", "wild")) for i in range(2)
    }  # fmt: skip
    write(tmp_path, files, archive)
    for split in ("train", "test"):
        found = load("afhq", data_root=str(tmp_path), split=split, size=8)
        assert found.classes == ("cat", "dog", "wild")
        assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
        expected = [(50 * c, i, len(split)) for c in range(3) for i in range(2)]
        assert [tuple(colour) for colour in found.images[:, :, 4, 4].tolist()] == expected


def domains(top=""):
    return {
        f"{top}{split}{domain}/{i}.png": bmp((100 * (domain == "B"), 10 * i, 5 * (split == "test")))
        for split in ("train", "test") for domain, n in (("A", 3), ("B", 4)) for i in range(n)
    }  # fmt: skip


@pytest.mark.parametrize("name", ["horse2zebra", "monet2photo", "summer2winter_yosemite", "cityscapes"])
@pytest.mark.parametrize("as_zip", [False, True], ids=["folder", "zip"])
def test_cyclegans_sets_hold_two_domains(name, as_zip, tmp_path):
    write(tmp_path, domains(f"{name}/"), f"{name}.zip" if as_zip else None)
    for split in ("train", "test"):
        found = load(name, data_root=str(tmp_path), split=split, size=8)
        blue = 5 * (split == "test")
        assert found.images[:, :, 0, 0].tolist() == [[0, 10 * i, blue] for i in range(3)]
        assert found.other[:, :, 0, 0].tolist() == [[100, 10 * i, blue] for i in range(4)]


def test_anyones_two_domains_may_lie_in_a_folder_or_a_zip(tmp_path):
    write(tmp_path, domains())
    write(tmp_path, domains("deep/in/"), "mine.zip")
    one, two = load(f"unpaired:{tmp_path}", size=8), load(f"unpaired:{tmp_path / 'mine.zip'}", size=8)
    assert (one.images == two.images).all()
    assert (one.other == two.other).all()
