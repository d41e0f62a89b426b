"""A size is one number where images are square, HEIGHTxWIDTH where they are not, and kept in one form."""

from __future__ import annotations

import pytest

from gankit import Spec, UsageError
from gankit.config import configure
from gankit.core.sides import as_size, middle, sides
from gankit.models import doublings
from gankit.registry import registry


def test_a_size_is_a_number_where_it_is_square_and_height_times_width_where_it_is_not():
    kept = {given: configure("dcgan", {"size": given}).data.size for given in (64, "64", "64x64", "96x160", "96X160")}
    assert kept == {64: 64, "64": 64, "64x64": 64, "96x160": "96x160", "96X160": "96x160"}
    assert type(configure("dcgan", {"size": "64x64"}).data.size) is int
    assert (sides(64), sides("96x160"), sides((96, 160))) == ((64, 64), (96, 160), (96, 160))
    assert (as_size((64, 64)), as_size((96, 160))) == (64, "96x160")
    assert middle((10, 20), "4x6") == (slice(3, 7), slice(7, 13))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("abc", "--size takes a whole number, or HEIGHTxWIDTH such as 96x160, not 'abc'"),
        ("96x", "--size takes a whole number, or HEIGHTxWIDTH such as 96x160, not '96x'"),
        ("1x2x3", "--size takes a whole number, or HEIGHTxWIDTH such as 96x160, not '1x2x3'"),
        ("9" * 100, f"--size takes a whole number, or HEIGHTxWIDTH such as 96x160, not '{'9' * 56}..."),
        (64.0, "--size takes a whole number, or HEIGHTxWIDTH such as 96x160, not 64.0"),
        (True, "--size takes a whole number, or HEIGHTxWIDTH such as 96x160, not True"),
        (3, "--size 3 is out of range: it takes 4 to 4096"),
        ("5000", "--size 5000 is out of range: it takes 4 to 4096"),
        ("96x2", "--size 96x2 is out of range: it takes 4 to 4096 either way"),
        ("5000x96", "--size 5000x96 is out of range: it takes 4 to 4096 either way"),
    ],
)
def test_what_is_no_size_is_refused_in_one_line(given, said):
    with pytest.raises(UsageError) as refused:
        configure("dcgan", {"size": given})
    assert str(refused.value) == said
    with pytest.raises(UsageError, match="--crop"):
        configure("dcgan", {"crop": given})


def test_a_spec_without_a_width_is_square_and_says_nothing_of_it():
    square, oblong = Spec(3, 64), Spec(3, 96, width=160)
    assert (square.width, square.shape, square.sides) == (64, (3, 64, 64), (64, 64))
    assert (oblong.shape, oblong.sides) == ((3, 96, 160), (96, 160))
    assert "width" not in square.as_dict()
    assert oblong.as_dict()["width"] == 160
    assert Spec(**oblong.as_dict()) == oblong
    assert Spec(**square.as_dict()) == square


@pytest.mark.parametrize(
    ("arch", "size", "said"),
    [
        ("dcgan", "96x160", None),
        ("dcgan", "160x96", None),
        ("dcgan", "16x28", None),
        ("dcgan", 36, r"--size 36 is not b\*2\^k with b from 4 to 7, .* the nearest are 32 and 40"),
        ("dcgan", "36x64", r"--size 36x64's shorter side is not .* the nearest are 32x56 and 40x72"),
        ("dcgan", "64x36", r"--size 64x36's shorter side is not .* the nearest are 56x32 and 72x40"),
        ("dcgan", "32x60", "--size 32x60: the longer side is not a multiple of 8, .* beside 32; the nearest is 32x64"),
        ("mlp", "13x17", None),
    ],
)
def test_networks_take_oblong_images_or_name_the_nearest_size(arch, size, said):
    config = configure("dcgan", {"arch": arch, "ngf": 2, "ndf": 2})
    variant, (height, width) = registry().get("variants", "dcgan")(), sides(size)
    if said is None:
        variant.build(config.options, Spec(1, height, width=width))
        return
    with pytest.raises(UsageError, match=said):
        variant.build(config.options, Spec(1, height, width=width))


def test_the_size_that_is_named_as_nearest_can_be_made():
    for size in ("33x47", "9x500", "130x131", "41x40", "15x16"):
        for _ in range(2):  # the nearest for the shorter side, then for the longer
            with pytest.raises(UsageError) as refused:
                doublings(size)
            size = str(refused.value).rpartition(" ")[2]
            try:
                doublings(size)
                break
            except UsageError:
                continue
        base, k = doublings(size)
        assert (base[0] << k, base[1] << k) == sides(size)
        assert 4 <= min(base) <= 7
