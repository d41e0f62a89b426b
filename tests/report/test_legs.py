"""The legs of a run in its report."""

from __future__ import annotations

import re

import gankit
from gankit.report import write


def test_a_report_marks_where_a_leg_starts_and_lists_what_it_changed(tmp_path, tiny):
    run = gankit.train("dcgan", out=tmp_path / "run", steps=6, decay_start=0.5, preset="paper", **tiny)
    without = write([run.root], tmp_path / "one.html").read_text()
    gankit.resume(run.root, steps=8, lr_g=2e-5, quiet=True)
    text = write([run.root], tmp_path / "two.html").read_text()
    assert "leg 2, from step 7</th><td>steps 8 (was 6), lr_g 2e-05 (was 0.0002)</td>" in text
    assert (len(re.findall(r"> ?leg<", without)), "Legs</h3>" in without) == (0, False)
    drawings = [svg for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL) if ">step<" in svg]
    assert drawings
    assert all(len(re.findall(r"> ?leg<", svg)) == 1 for svg in drawings)


def test_a_report_of_several_runs_shows_the_legs_of_each(tmp_path, tiny):
    one = gankit.train("dcgan", out=tmp_path / "one", steps=4, preset="paper", **tiny)
    two = gankit.train("dcgan", out=tmp_path / "two", steps=4, preset="paper", **tiny)
    gankit.resume(two.root, steps=5, quiet=True)
    gankit.resume(two.root, steps=6, lr_d=1e-5, quiet=True)
    text = write([one.root, two.root], tmp_path / "both.html").read_text()
    assert "leg 2, from step 5</th><td>-</td><td>steps 5 (was 4)</td>" in text
    assert "leg 3, from step 6</th><td>-</td><td>steps 6 (was 5), lr_d 1e-05 (was 0.0002)</td>" in text
