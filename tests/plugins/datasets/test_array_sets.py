"""The data sets published as arrays of pixels: files written in that layout hold what was written."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from published import load, write

from gankit import DamagedFile
from gankit.plugins.datasets import cifar10, mat5


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
    "damage", ["no MAT-file", "cut", "no y", "short y", "no X", "other X", "huge", "long name", "garbage", "label 11"]
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
        "label 11": mat_file(matrix("X", x), matrix("y", np.full_like(y, 11))),
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
