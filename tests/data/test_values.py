"""Pictures of more than eight bits: one rule for all of a set, measured over it or given, never one for each."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from published import load

from gankit import UsageError
from gankit.data import decode_pool
from gankit.data.decoding import Frame, framed
from gankit.data.sources import value_range

RAMP = np.linspace(0, 1, 16).reshape(4, 4)


def save(root, **arrays):
    root.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        Image.fromarray(array).save(root / f"{name}.tif")
    return root


def values(root, **options):
    return load(f"folder:{root}", size=4, channels=1, **options).images[:, 0].numpy().reshape(-1, 16).astype(int)


def rule(array, low, high):
    return np.rint((np.clip(array, low, high).astype(np.float64) - low) * 255 / (high - low)).reshape(16)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (np.float32, 0, 1), (np.float32, 0, 255), (np.float32, 0, 65535), (np.float32, -1, 1), (np.float32, -3, 7.5),
        (np.int32, 0, 255), (np.int32, 0, 65535), (np.int32, 0, 4000), (np.int32, -1024, 3071), (np.int32, 0, 100_000),
    ],
)  # fmt: skip
def test_numbers_of_32_bits_are_scaled_from_the_range_that_the_set_has(kind, low, high, tmp_path):
    bright, dark = (low + RAMP * (high - low)).astype(kind), (low + RAMP * (high - low) / 20).astype(kind)
    found = values(save(tmp_path / "set", bright=bright, dark=dark))
    np.testing.assert_allclose(found[0], rule(bright, low, high), atol=1)
    np.testing.assert_allclose(found[1], rule(dark, low, high), atol=1)


def test_a_brighter_picture_stays_the_brighter_one(tmp_path):
    save(tmp_path / "set", a=(RAMP * 200).astype(np.int32), b=(RAMP * 4000).astype(np.int32))
    found = values(tmp_path / "set")
    assert found.max(1).tolist() == [13, 255]
    alone = [framed(tmp_path / "set" / f"{name}.tif", Frame(4, 1)).max() for name in "ab"]  # nothing is known of a set
    assert alone[0] < alone[1]


@pytest.mark.parametrize(
    ("extents", "expected"),
    [
        ({"16-bit": (0, 200)}, (0, 65535)),
        ({"16-bit": (0, 4000), "32-bit": (0, 200)}, (0, 4000)),
        ({"32-bit": (0, 1)}, (0, 255)),
        ({"float": (0.2, 0.9)}, (0, 1)),
        ({"float": (-0.5, 0.9)}, (-1, 1)),
        ({"float": (-1e-3, 200.0)}, (-1e-3, 200.0)),
        ({"float": (300.0, 900.0)}, (0, 900)),
        ({"32-bit": (-70, -50)}, (-70, -50)),
        ({"32-bit": (-70, -70)}, (-70, -69)),
        ({"float": (0, 1), "32-bit": (0, 255)}, (0, 255)),
    ],
)
def test_the_range_of_a_set_worked_out_by_hand(extents, expected):
    assert value_range(extents) == expected


def test_a_given_range_clips_what_lies_outside_it_and_is_kept_beside_the_measured_one(tmp_path):
    ct = np.linspace(-1000, 1000, 16).reshape(4, 4).astype(np.int32)
    root = save(tmp_path / "set", a=ct)
    np.testing.assert_array_equal(values(root, range="-200,300")[0], rule(ct, -200, 300))
    np.testing.assert_array_equal(values(root)[0], rule(ct, -1000, 1000))
    one, two = (load(f"folder:{root}", size=4, channels=1, range=given) for given in (None, "-200 300"))
    assert one.prepared[0].folder != two.prepared[0].folder
    assert one.prepared[0].range == (-1000, 1000)
    assert two.prepared[0].range == (-200, 300)


def test_sixteen_bits_go_from_0_to_65535_unless_a_range_is_given_and_little_use_of_it_is_said(tmp_path, capsys):
    dark = (RAMP * 4095).astype(np.uint16)
    (tmp_path / "set").mkdir()
    Image.fromarray(dark).save(tmp_path / "set" / "a.png")
    np.testing.assert_array_equal(values(tmp_path / "set")[0], rule(dark, 0, 65535))
    assert "--range 0,4095 would stretch them" in capsys.readouterr().err
    np.testing.assert_array_equal(values(tmp_path / "set", range="0,4095")[0], rule(dark, 0, 4095))


def test_eight_bits_stay_what_they_are_beside_floats(tmp_path):
    save(tmp_path / "set", a=(RAMP * 900).astype(np.float32), b=(RAMP * 255).astype(np.uint8))
    found = values(tmp_path / "set")
    np.testing.assert_array_equal(found[1], (RAMP * 255).astype(np.uint8).reshape(16))
    assert found[0].max() == 255


def test_what_is_no_number_is_black_or_white_and_does_not_count_for_the_range(tmp_path):
    odd = (RAMP * 1000).astype(np.float32)
    odd.flat[[0, 1, 2]] = np.nan, np.inf, -np.inf
    found = values(save(tmp_path / "set", a=odd))
    assert found[0, :3].tolist() == [0, 255, 0]
    assert found[0, 15] == 255
    assert found[0, 14] == round(14 / 15 * 255)


def test_a_limit_or_a_part_is_scaled_as_the_whole_set(tmp_path):
    for i, part in enumerate(("train", "test")):
        save(tmp_path / "set" / part, a=(RAMP * 1000 * (i + 1)).astype(np.int32), b=(RAMP * 500).astype(np.int32))
    for split, tops in (("train", [128, 64]), ("test", [255, 64])):
        assert values(tmp_path / "set", split=split).max(1).tolist() == tops
    assert values(tmp_path / "set", split="train", limit=1).max() in (64, 128)
    for side, top in (("A", 100), ("B", 1000)):
        save(tmp_path / "pair" / f"train{side}", a=(RAMP * top).astype(np.float32))
    pair = load(f"unpaired:{tmp_path / 'pair'}", size=4, channels=1)
    assert (pair.images.max(), pair.other.max()) == (26, 255)


def test_workers_measure_what_one_process_measures(tmp_path, monkeypatch):
    save(tmp_path / "set", **{f"n{i:03d}": (RAMP * 10 * i).astype(np.float32) for i in range(1, 140)})
    monkeypatch.setattr(decode_pool, "FEW", 0)
    monkeypatch.setattr(decode_pool, "cores", lambda: 2)
    found = load(f"folder:{tmp_path / 'set'}", size=4, channels=1)
    assert found.prepared[0].range == (0, 1390)
    assert found.prepared[0].counts["float"] == 139
    assert found.images[0].max() == round(10 / 1390 * 255)


@pytest.mark.parametrize("given", ["5", "1,0", "0,nan", "a,b", "1,2,3", "", "3,3", "0,inf"])
def test_a_range_is_two_numbers_the_lower_first(given, tmp_path):
    with pytest.raises(UsageError, match="two numbers, the lower first"):
        values(save(tmp_path / "set", a=(RAMP * 900).astype(np.float32)), range=given)


def test_a_range_for_pictures_of_eight_bits_has_no_effect_and_is_refused(tmp_path):
    with pytest.raises(UsageError, match="all pictures have 8 bits"):
        values(save(tmp_path / "set", a=(RAMP * 255).astype(np.uint8)), range="0,9")
