"""An option is declared once; its flag, check and inheritance follow."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest

from gankit import UsageError, option
from gankit.core.files import append_lines, cut_lines, read_lines
from gankit.core.options import build, fields
from gankit.core.progress import Progress, duration


@dataclass(frozen=True)
class Base:
    lr_g: float = option(2e-4, "rate", above=0, high=10)
    width: int | None = option(None, "width", low=2, high=8, unit="pixels")
    kind: str = option("a", "kind", choices=("a", "b"))
    flip: bool = option(False, "flip")


@dataclass(frozen=True)
class Derived(Base):
    lr_g: float = 1e-4


def test_a_subclass_changes_a_default_and_keeps_the_rest():
    (lr, *_) = fields(Derived)
    assert (lr.default, lr.described.help, lr.flag, lr.described.range()) == (
        1e-4,
        "rate",
        "--lr-g",
        "more than 0, up to 10",
    )
    with pytest.raises(UsageError, match="out of range: it takes more than 0, up to 10"):
        build(Derived, {"lr_g": 11.0})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lr_g": "fast"}, "--lr-g takes a number"),
        ({"lr_g": True}, "--lr-g takes a number"),
        ({"lr_g": float("inf")}, "out of range"),
        ({"lr_g": 10**400}, "too large to be one"),
        ({"width": 10**400}, "2 to 8"),
        ({"width": 9}, "2 to 8"),
        ({"width": 3.0}, "--width takes a whole number"),
        ({"kind": "c"}, "--kind 'c'"),
        ({"flip": 1}, "--flip takes true or false"),
        ({"widht": 3}, "did you mean 'width'"),
    ],
)
def test_a_wrong_value_is_named_by_its_flag(values, words):
    with pytest.raises(UsageError, match=words):
        build(Base, values)


def test_values_win_over_defaults_and_whole_numbers_are_numbers():
    made = build(Base, {"lr_g": 1}, {"lr_g": 0.5, "width": 4})
    assert (made.lr_g, made.width, type(made.lr_g)) == (1.0, 4, float)
    assert build(Base, {"width": None}, {"width": 4}).width is None


def test_a_field_that_no_flag_can_be_made_of_is_a_programming_error():
    @dataclass(frozen=True)
    class Bare:
        x: int = 3

    @dataclass(frozen=True)
    class Odd:
        x: list[int] = option(None, "a list")  # noqa: RUF009

    with pytest.raises(TypeError, match="is not declared with"):
        fields(Bare)
    with pytest.raises(TypeError, match="an option is int, float, str or bool"):
        fields(Odd)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_rewrites_one_line_on_a_terminal_and_prints_lines_elsewhere():
    row = {"step": 50, "critic/loss": -1.5, "critic/penalty": 0.25, "generator/loss": 2.0}
    for stream in (Terminal(), io.StringIO()):
        progress = Progress(200, stream)
        progress.update(row, 1234.5, 0.5)
        progress.close()
        text = stream.getvalue()
        assert "step 50/200  1,234 images/s  critic -1.500  generator 2.000  1 min 15 s left" in text
        assert ("\r" in text) == stream.isatty()
        assert text.endswith("\n")


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "4 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")])
def test_durations_read_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_a_torn_line_is_dropped_and_later_steps_are_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_lines(path, ['{"step": 1}', '{"step": 2}', '{"step": 3}'])
    with path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert [row["step"] for row in read_lines(path)] == [1, 2, 3]
    cut_lines(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
