"""The published data sets: files that a test writes in the published layout hold the pixels that were written."""

from __future__ import annotations

import io
import re
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gankit import DamagedFile, UsageError
from gankit.data import DataOptions
from gankit.plugins.datasets import cifar10, mat5
from gankit.registry import registry


def load(data, **options):
    options = DataOptions(data=data, **options)
    return registry().get("datasets", options.name)().load(options, 0)


def bmp(colour, size=(8, 8)):
    """A picture of one colour, as bytes that hold it exactly."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "BMP")
    return buffer.getvalue()


def jpeg(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=100, subsampling=0)
    return buffer.getvalue()


def write(root, files, as_zip=None):
    """Write {name: bytes} below folder ``root``, or into the zip ``as_zip`` in it; returns where."""
    if as_zip:
        with zipfile.ZipFile(root / as_zip, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return root / as_zip
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture
def batches():
    """{name: records uint8 [20, 3073]} of the six batches."""
    rng = np.random.default_rng(0)
    found = {}
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        found[name] = rng.integers(0, 256, (20, 3073), dtype=np.uint8)
        found[name][:, 0] %= 10
    return found


def write_cifar(root, batches, how):
    files = {f"cifar-10-batches-bin/{name}": records.tobytes() for name, records in batches.items()}
    files["cifar-10-batches-bin/readme.html"] = b"<html>"
    if how == "folder":
        return write(root, files)
    with tarfile.open(root / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return root


@pytest.mark.parametrize("how", ["folder", "tar.gz"])
@pytest.mark.parametrize(("split", "count"), [("train", 100), ("test", 20), ("all", 120)])
def test_cifar10_holds_the_records_in_the_order_of_the_batches(how, split, count, batches, tmp_path):
    write_cifar(tmp_path, batches, how)
    found = load("cifar10", data_root=str(tmp_path), split=split)
    names = [name for name in sorted(batches) if split == "all" or name.startswith("test") == (split == "test")]
    records = np.concatenate([batches[name] for name in names])
    assert len(found) == count
    np.testing.assert_array_equal(found.images.numpy(), records[:, 1:].reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(found.labels.numpy(), records[:, 0])
    assert found.classes[3] == "cat"


def test_cifar10_is_read_from_the_folder_of_batches_itself(batches, tmp_path):
    write_cifar(tmp_path, batches, "folder")
    assert len(load(f"cifar10:{tmp_path / 'cifar-10-batches-bin'}", limit=30)) == 30


@pytest.mark.parametrize("name", ["../data_batch_1.bin", "/cifar-10-batches-bin/data_batch_1.bin", "link"])
def test_cifar10_takes_from_an_archive_only_what_is_published(name, batches, tmp_path):
    (tmp_path / "deep" / "in").mkdir(parents=True)
    path = tmp_path / "deep" / "in" / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin" if name == "link" else name)
        if name == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member, io.BytesIO())
    with pytest.raises(DamagedFile, match="none of the batches of train"):
        load(f"cifar10:{path}")
    assert list(tmp_path.rglob("data_batch*")) == []


@pytest.mark.parametrize("damage", ["half a record", "label 10", "missing", "cut archive", "bomb"])
def test_cifar10_names_a_damaged_file(damage, batches, tmp_path, monkeypatch):
    if damage == "missing":
        del batches["data_batch_3.bin"]
    if damage == "label 10":
        batches["data_batch_2.bin"][3, 0] = 10
    if damage == "half a record":
        batches["data_batch_5.bin"] = batches["data_batch_5.bin"].reshape(-1)[:-9]
    if damage == "bomb":
        monkeypatch.setattr(cifar10, "MOST", 20_000)
    write_cifar(tmp_path, batches, "tar.gz")
    path = tmp_path / "cifar-10-binary.tar.gz"
    if damage == "cut archive":
        path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(DamagedFile, match=r"cifar-10-binary\.tar\.gz"):
        load(f"cifar10:{tmp_path}")


def element(kind, data):
    return np.array([kind, len(data)], "<u4").tobytes() + data + bytes(-len(data) % 8)


def matrix(name, array, kind=2, mx_class=9, small_name=True):
    """A MAT-5 array element with the values of ``array`` in Fortran's order."""
    head = element(6, np.array([mx_class, 0], "<u4").tobytes()) + element(5, np.array(array.shape, "<i4").tobytes())
    if small_name and len(name) <= 4:  # up to four bytes lie in the tag
        named = np.array([len(name) << 16 | 1], "<u4").tobytes() + name.encode().ljust(4, b"\0")
    else:
        named = element(1, name.encode())
    return element(14, head + named + element(kind, array.tobytes("F")))


def mat_file(*elements, compress=True):
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    if compress:
        packed = [zlib.compress(each) for each in elements]
        elements = [np.array([15, len(each)], "<u4").tobytes() + each for each in packed]
    return head + b"".join(elements)


@pytest.fixture
def digits():
    """(X uint8 [32,32,3,N], y uint8 [N,1] of 1 to 10) as published."""
    rng = np.random.default_rng(1)
    return {
        part: (rng.integers(0, 256, (32, 32, 3, n), dtype=np.uint8), rng.integers(1, 11, (n, 1), dtype=np.uint8))
        for part, n in (("train", 30), ("test", 20), ("extra", 2100))
    }


@pytest.mark.parametrize("compress", [True, False], ids=["compressed", "plain"])
@pytest.mark.parametrize("split", ["train", "test", "extra", "all"])
def test_svhn_holds_the_pictures_and_writes_label_10_as_0(split, compress, digits, tmp_path):
    for part, (x, y) in digits.items():
        y_element = matrix("y", y.astype("<f8"), 9, 6) if part == "test" else matrix("y", y)  # as either is published
        (tmp_path / f"{part}_32x32.mat").write_bytes(mat_file(matrix("X", x), y_element, compress=compress))
    found = load("svhn", data_root=str(tmp_path), split=split)
    parts = ("train", "test", "extra") if split == "all" else (split,)
    x = np.concatenate([digits[part][0] for part in parts], 3).transpose(3, 2, 0, 1)
    y = np.concatenate([digits[part][1] for part in parts])[:, 0]
    np.testing.assert_array_equal(found.images.numpy(), x)
    np.testing.assert_array_equal(found.labels.numpy(), np.where(y == 10, 0, y))


@pytest.mark.parametrize(
    "damage", ["no MAT-file", "cut", "no y", "short y", "no X", "other X", "huge", "long name", "garbage"]
)
def test_svhn_names_a_damaged_file(damage, digits, tmp_path):
    x, y = digits["train"]
    huge = matrix("X", x).replace(np.array(x.shape, "<i4").tobytes(), np.array([32, 32, 3, 2**30], "<i4").tobytes())
    whole = mat_file(matrix("X", x), matrix("y", y))
    content = {
        "no MAT-file": b"MATLAB 7.3", "cut": whole[:-20], "no y": mat_file(matrix("X", x)),
        "short y": mat_file(matrix("X", x), matrix("y", y[:-1])), "no X": mat_file(matrix("y", y)),
        "other X": mat_file(matrix("X", x.astype("<u2"), 4, 11), matrix("y", y)), "huge": mat_file(huge),
        "long name": mat_file(matrix("X" * 100, x)), "garbage": whole[:140] + bytes(60) + whole[200:],
    }[damage]  # fmt: skip
    (tmp_path / "train_32x32.mat").write_bytes(content)
    with pytest.raises(DamagedFile, match=r"train_32x32\.mat"):
        load("svhn", data_root=str(tmp_path))


def test_a_compressed_array_is_unpacked_no_further_than_it_is_read(tmp_path):
    path = tmp_path / "bomb.mat"
    path.write_bytes(mat_file(matrix("X", np.zeros((32, 32, 3, 20_000), np.uint8))))
    tracemalloc.start()
    try:
        (array,) = (each for each in mat5.arrays(path) if len(each.read(10)) == 10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert array.shape[3] == 20_000
    assert peak < 3_000_000


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


class Trap:
    """Unpickling this leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def write_sprites(path, sprites, classes, **more):
    np.savez_compressed(path, imgs=sprites, latents_classes=classes, **more)


def test_dsprites_hold_the_sprites_and_their_factors_and_nothing_is_unpickled(tmp_path):
    rng = np.random.default_rng(0)
    sprites = rng.integers(0, 2, (50, 64, 64), dtype=np.uint8)
    classes = rng.integers(0, [1, 3, 6, 40, 32, 32], (50, 6))
    path = tmp_path / "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
    trap = np.array(Trap(tmp_path / "sprung"), dtype=object)
    write_sprites(path, sprites, classes, metadata=trap, latents_values=classes / 7.0)
    found = load("dsprites", data_root=str(tmp_path))
    np.testing.assert_array_equal(found.images.numpy()[:, 0], sprites * 255)
    np.testing.assert_array_equal(found.labels.numpy(), classes[:, 1])
    np.testing.assert_array_equal(found.factors.numpy(), classes)
    assert found.factor_names[2] == "scale"
    assert not (tmp_path / "sprung").exists()
    np.load(path, allow_pickle=True)["metadata"]
    assert (tmp_path / "sprung").exists()  # the trap works


@pytest.mark.parametrize("damage", ["pickled", "grey", "shape", "classes", "missing", "cut", "floats"])
def test_dsprites_names_a_damaged_file(damage, tmp_path):
    sprites, classes = np.zeros((9, 64, 64), np.uint8), np.zeros((9, 6), np.int64)
    path = tmp_path / "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
    if damage == "pickled":
        sprites = np.array([Trap(tmp_path / "sprung")] * 9, dtype=object)
    if damage == "grey":
        sprites[3, 4, 5] = 2
    if damage == "floats":
        sprites = sprites.astype(np.float32)
    if damage == "classes":
        classes[2, 1] = 3
    write_sprites(path, sprites, classes[:-1] if damage == "shape" else classes)
    if damage == "missing":
        np.savez(path, imgs=sprites)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DamagedFile, match="dsprites_ndarray"):
        load("dsprites", data_root=str(tmp_path))
    assert not (tmp_path / "sprung").exists()


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


def test_a_set_that_is_nowhere_and_cannot_be_downloaded_says_where_to_get_it(tmp_path):
    with pytest.raises(UsageError, match=r"no img_align_celeba .*mmlab\.ie\.cuhk"):
        load("celeba", data_root=str(tmp_path))
    with pytest.raises(UsageError, match="put the published files there"):
        load("cifar10", data_root=str(tmp_path))


@pytest.mark.parametrize("name", [n for n, e in registry().entries["datasets"].items() if n not in ("stripes",)])
def test_every_set_refuses_a_part_it_does_not_have(name):
    with pytest.raises(UsageError, match=r"--split middle|needs a path"):
        load(name, split="middle")


@pytest.mark.parametrize("evil", ["../out.png", "/out.png", "a/../../out.png", "C:/out.png", "a\\out.png", "link"])
def test_an_archive_whose_names_lead_out_of_it_is_refused(evil, tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("good.png", bmp("red"))
        info = zipfile.ZipInfo("link.png" if evil == "link" else "x")
        info.filename = "link.png" if evil == "link" else evil
        info.external_attr = (0o120777 if evil == "link" else 0o100644) << 16
        archive.writestr(info, bmp("red"))
    with pytest.raises(DamagedFile, match="do not trust"):
        load(f"folder:{tmp_path / 'evil.zip'}")


def test_an_archive_that_unpacks_to_far_more_than_it_holds_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bmp", bytes(50_000_000))
    with pytest.raises(DamagedFile, match="no archive of images"):
        load(f"folder:{tmp_path / 'bomb.zip'}")


def test_a_picture_whose_bytes_are_damaged_in_an_archive_is_left_out_by_name(tmp_path, capsys):
    path = write(tmp_path, {f"{i:02d}.png": bmp((i, 0, 0)) for i in range(30)}, "some.zip")
    data = bytearray(path.read_bytes())
    data[data.index(bmp((7, 0, 0))) + 100] ^= 255
    path.write_bytes(data)
    found = load(f"folder:{path}", size=8)
    assert found.images[:, 0, 0, 0].tolist() == [i for i in range(30) if i != 7]
    assert "07.png is left out: BadZipFile" in capsys.readouterr().err


@pytest.mark.parametrize("archive", [None, "birds.zip"])
def test_the_data_set_in_the_manual_works(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path))
    manual = (Path(__file__).parent.parent / "docs" / "plugins.md").read_text()
    (code,) = (part for part in re.findall(r"```python\n(.*?)```", manual, re.S) if "class Birds" in part)
    names = {}
    exec(code, names)
    with pytest.raises(UsageError, match=r"birds\.zip from"):
        names["Birds"]().load(DataOptions(data="birds"), 0)
    (tmp_path / "birds").mkdir()
    top = "" if archive else "birds/"
    write(tmp_path / "birds", {f"{top}train/{i}.png": bmp((i, 0, 0)) for i in range(5)}, archive)
    found = names["Birds"]().load(DataOptions(data="birds", size=8), 0)
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_no_reader_can_unpickle():
    folder = Path(mat5.__file__).parent
    for path in folder.glob("*.py"):
        text = path.read_text()
        assert "import pickle" not in text
        assert "allow_pickle=True" not in text
