"""Fashion-MNIST's IDX files: the pixels they hold, where they are found, and what is wrong with one is said."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from gankit import DamagedFile, UsageError
from gankit.data.catalogue import DataOptions
from gankit.plugins.datasets.idx import FashionMNIST, read_idx

PACKAGED = Path("/usr/share/datasets/fashion-mnist")


def idx_bytes(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def published(tmp_path):
    """A folder with Fashion-MNIST's file names and known pixels."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 28, 28)), rng.integers(0, 10, 20)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return tmp_path, images, labels


def test_idx_files_gzipped_or_not_hold_the_pixels_that_were_written(published):
    folder, images, labels = published
    found = FashionMNIST().load(DataOptions(data=f"fashion-mnist:{folder}"), 0)
    np.testing.assert_array_equal(found.images.numpy()[:, 0], images)
    np.testing.assert_array_equal(found.labels.numpy(), labels)
    assert len(found.classes) == 10


def test_idx_files_are_found_below_data_root_and_resized(published, tmp_path):
    folder, _, _ = published
    found = FashionMNIST().load(
        DataOptions(data="fashion-mnist", data_root=str(folder), size=32, channels=3, limit=7), 0
    )
    assert found.images.shape == (7, 3, 32, 32)


@pytest.mark.parametrize("damage", ["truncated", "not gzip", "longer", "other kind", "empty"])
def test_a_damaged_idx_file_is_named(damage, tmp_path):
    whole = idx_bytes(np.zeros((3, 4, 4)))
    content = {
        "truncated": gzip.compress(whole)[:-9], "not gzip": b"\x1f\x8bnonsense", "longer": whole + b"x",
        "other kind": b"\x89PNG....", "empty": b"",
    }[damage]  # fmt: skip
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match="train-images-idx3-ubyte"):
        read_idx(path)


def test_labels_that_do_not_fit_the_images_are_refused(published):
    folder, _, _ = published
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(19)))
    with pytest.raises(DamagedFile, match="does not go with"):
        FashionMNIST().load(DataOptions(data=f"fashion-mnist:{folder}"), 0)
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(20, 10)))
    with pytest.raises(DamagedFile, match="label 10"):
        FashionMNIST().load(DataOptions(data=f"fashion-mnist:{folder}"), 0)


def test_missing_files_say_where_to_put_them(tmp_path):
    with pytest.raises(UsageError, match="put the published files there"):
        FashionMNIST().load(DataOptions(data=f"fashion-mnist:{tmp_path}"), 0)


@pytest.mark.skipif(not PACKAGED.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist_is_read_where_debian_puts_it():
    found = FashionMNIST().load(DataOptions(data="fashion-mnist"), 0)
    assert found.images.shape == (60_000, 1, 28, 28)
    assert found.labels.bincount().tolist() == [6000] * 10
