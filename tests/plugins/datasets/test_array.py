"""array:FILE: anyone's arrays, uint8 or with a range, with labels in a .npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from published import load

from gankit import DamagedFile, UsageError

RANDOM = np.random.default_rng(0)
GREY, COLOUR = (RANDOM.integers(0, 256, shape, dtype=np.uint8) for shape in ((6, 8, 8), (6, 3, 8, 8)))


def saved(path, array=None, **arrays):
    np.save(path, array) if path.suffix == ".npy" else np.savez(path, **arrays)
    return f"array:{path}"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY, GREY[:, None]), (GREY[..., None], GREY[:, None]), (GREY[:, None], GREY[:, None]), (COLOUR, COLOUR),
        (np.moveaxis(COLOUR, 1, -1), COLOUR), (np.asfortranarray(COLOUR), COLOUR),
        (GREY > 100, (GREY[:, None] > 100) * np.uint8(255)),
    ],
    ids=["NHW", "NHW1", "N1HW", "NCHW", "NHWC", "Fortran", "bool"],
)  # fmt: skip
def test_arrays_of_any_layout_are_the_pixels_they_hold(array, expected, tmp_path):
    found = load(saved(tmp_path / "a.npy", array))
    np.testing.assert_array_equal(found.images.numpy(), expected)
    packed = load(saved(tmp_path / "a.npz", images=array))
    assert packed.digest() == found.digest()


def test_other_sizes_and_channels_are_made_as_of_pictures(tmp_path):
    wide = np.zeros((3, 8, 16), np.uint8)
    wide[:, :, 4:12] = 200
    name = saved(tmp_path / "a.npy", wide)
    assert load(name, size=8).images.unique().tolist() == [200]
    assert load(name, size=8, channels=3, fit="pad").images.shape == (3, 3, 8, 8)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [(np.float32, -1, 1), (np.float64, 0, 1), (np.float16, 0, 255), (np.uint16, 0, 4095), (np.int16, -1000, 3000)],
)
def test_numbers_are_scaled_from_the_given_range_and_clipped(kind, low, high, tmp_path):
    values = np.linspace(low, high, 64).astype(kind).reshape(1, 8, 8)
    name = saved(tmp_path / "a.npy", np.concatenate([values, values]))
    found = load(name, range=f"{low},{high}").images[0, 0].numpy().reshape(-1)
    expected = np.rint((values.astype(np.float64).reshape(-1) - low) * 255 / (high - low))
    np.testing.assert_array_equal(found, expected)
    middle = (low + high) / 2
    half = load(name, range=f"{low},{middle}").images[0, 0].numpy().reshape(-1)
    assert half[-1] == half[40] == 255
    assert load(name, range=f"{low},{middle}").digest() != load(name, range=f"{low},{high}").digest()


def test_labels_in_a_npz_are_classes_by_number_or_name(tmp_path):
    for labels, classes, expected in (
        (np.array([2, 0, 10, 0, 2, 2]), ("0", "2", "10"), [1, 0, 2, 0, 1, 1]),
        (np.array(["b", "a", "B", "a", "b", "b"]), ("B", "a", "b"), [2, 1, 0, 1, 2, 2]),
        (np.array([True, False] * 3), ("0", "1"), [1, 0] * 3),
    ):
        for key in ("labels", "y"):
            found = load(saved(tmp_path / "a.npz", x=GREY, **{key: labels}))
            assert found.classes == classes
            assert found.labels.tolist() == expected


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("where", ["npy", "npz", "labels"])
def test_nothing_is_unpickled(where, tmp_path):
    trap = np.array([Trap(tmp_path / "sprung")] * 6, dtype=object)
    path = tmp_path / ("a.npy" if where == "npy" else "a.npz")
    name = saved(path, trap, images=GREY if where == "labels" else trap, labels=trap if where == "labels" else [0] * 6)
    with pytest.raises(DamagedFile, match="pickled ones never are"):
        load(name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("arrays", "error", "said"),
    [
        ({"images": GREY.astype(np.float32)}, UsageError, r"float32 from 0 to 25\d; .*--range 0,25"),
        ({"images": GREY.astype(np.uint16)}, UsageError, "holds uint16 from 0 to"),
        ({"images": GREY.astype(complex)}, UsageError, "holds complex128"),
        ({"images": GREY[0]}, UsageError, r"uint8 \(8, 8\); images are \[N,H,W\]"),
        ({"images": GREY[:0]}, UsageError, r"\(0, 8, 8\)"),
        ({"images": np.zeros((2, 4, 8, 8), np.uint8)}, UsageError, "no axis of 1 or 3 channels"),
        ({"images": GREY, "labels": [0] * 5}, DamagedFile, "6 images but 5 labels"),
        ({"images": GREY, "labels": np.eye(6)}, DamagedFile, r"labels is float64 \(6, 6\)"),
        ({"images": GREY, "labels": [0] * 6, "y": [0] * 6}, UsageError, "holds labels and y"),
        ({"one": GREY, "two": GREY}, UsageError, "holds one, two; name that of the images"),
        ({"labels": [0] * 6}, UsageError, "holds no array"),
        ({"images": np.full((2, 8, 8), np.nan)}, DamagedFile, "holds no numbers"),
    ],
)
def test_what_is_no_array_of_images_is_said(arrays, error, said, tmp_path):
    with pytest.raises(error, match=said):
        load(saved(tmp_path / "a.npz", **arrays))


def test_a_file_under_the_other_ending_is_said(tmp_path):
    np.savez(tmp_path / "real.npz", images=GREY)
    np.save(tmp_path / "real.npy", GREY)
    (tmp_path / "real.npz").rename(tmp_path / "a.npy")
    (tmp_path / "real.npy").rename(tmp_path / "b.npz")
    for name in ("a.npy", "b.npz"):
        with pytest.raises(DamagedFile, match="cannot be read"):
            load(f"array:{tmp_path / name}")


def test_a_torn_missing_or_other_file_is_said(tmp_path):
    for name in ("a.npy", "a.npz"):
        saved(tmp_path / name, GREY, images=GREY)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-60])
        with pytest.raises(DamagedFile, match=name):
            load(f"array:{tmp_path / name}")
    for name, said in (("b.npy", "no such file"), ("c.txt", "neither a .npy nor a .npz"), ("", "neither a .npy")):
        (tmp_path / "c.txt").touch()
        with pytest.raises(UsageError, match=said):
            load(f"array:{tmp_path / name}")
    with pytest.raises(UsageError, match="needs a path"):
        load("array")


def test_a_range_has_no_effect_on_bytes_and_values_that_are_no_numbers_are_named(tmp_path):
    with pytest.raises(UsageError, match="which --range does not scale"):
        load(saved(tmp_path / "a.npy", GREY), range="0,9")
    bad = GREY.astype(np.float32)
    bad[4, 0, 0] = np.nan
    with pytest.raises(DamagedFile, match="image 4 holds values that are no numbers"):
        load(saved(tmp_path / "b.npy", bad), range="0,255")
    with pytest.raises(UsageError, match="--split test"):
        load(f"array:{tmp_path / 'a.npy'}", split="test")
