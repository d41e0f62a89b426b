"""Measures of scores, time and health, at numbers worked out by hand."""

from __future__ import annotations

import json

import pytest
from made_up import made_up_run, score, steps, timed

from gankit import UsageError
from gankit.lab.measures import MEASURES, take

FID = [score(2, 80.0), score(4, 50.0), score(6, 60.0), score(8, 40.0), score(10, 40.5), score(12, 41.0)]


@pytest.fixture
def judged(tmp_path):
    """Twelve steps of 20 images, half a second each, judged by fid every two steps."""
    timing = [timed(2, 9.0, 20), *(timed(i, 0.5, 20) for i in (4, 6, 8, 10, 12))]
    files = {"evaluations": FID, "timing": timing}
    return made_up_run(tmp_path / "run", steps(discriminator__loss=[1.0] * 12), files=files, evaluate_every=2)


@pytest.mark.parametrize(
    ("parameters", "value"),
    [
        ({}, 41.0),
        ({"at": "best"}, 40.0),
        ({"at": "first"}, 80.0),
        ({"at": "late"}, 40.75),
        ({"share": 0.5}, 60.0),
        ({"share": 0.5, "at": "best"}, 50.0),
        ({"images": 170}, 40.0),
        ({"images": 39}, None),
        ({"metric": "fid", "at": "late", "share": 0.7}, 50.0),
    ],
)
def test_the_score_that_was_asked_for(judged, parameters, value):
    assert take(judged, "score", **parameters) == value


def test_when_a_score_was_reached_and_none_where_it_never_was(judged):
    assert take(judged, "images to score", reach=50) == 80
    assert take(judged, "images to score", reach=45.0) == 160
    assert take(judged, "images to score", reach=10.0) is None
    assert take(judged, "seconds to score", reach=50) == 2 * 9 + 2 * 0.5
    assert take(judged, "seconds to score", reach=10) is None


def test_a_metric_of_which_more_is_better_is_read_that_way(tmp_path):
    scores = [score(i, value, "recall", "higher") for i, value in ((1, 0.1), (2, 0.4), (3, 0.3))]
    rows = steps(discriminator__loss=[1.0] * 3)
    run = made_up_run(tmp_path / "run", rows, files={"evaluations": scores, "timing": [timed(3, 1, 10)]})
    assert take(run, "score", at="best") == 0.4
    assert take(run, "images to score", reach=0.35) == 20
    assert take(run, "stalled") == 1
    assert take(run, "steadily better") == 0.5
    assert take(run, "score slope", start=0.0, end=0.7) == pytest.approx(0.3)


def test_the_slope_is_what_a_doubling_of_the_steps_betters(tmp_path):
    scores = [score(2**i, 100.0 - 7 * i) for i in range(1, 6)]
    run = made_up_run(tmp_path / "run", steps(discriminator__loss=[1.0] * 32), files={"evaluations": scores})
    assert take(run, "score slope", start=0.0) == pytest.approx(7)
    assert take(run, "score slope", start=0.9) is None


def test_a_run_whose_score_is_no_better_at_the_end_has_stalled(judged, tmp_path):
    assert take(judged, "stalled") == 1  # 40 at step 8, not better after it
    assert take(judged, "stalled", start=0.5) == 0  # 50 in the first half, 40 in the second
    assert take(judged, "steadily better") == pytest.approx(2 / 5)
    early = made_up_run(tmp_path / "early", steps(discriminator__loss=[1.0] * 12), files={"evaluations": FID[:2]})
    assert take(early, "stalled") is None


def test_scores_of_evaluate_and_of_another_protocol_are_left_out(tmp_path):
    rows = [score(1, 5.0, fake=50), score(2, 90.0), score(3, 80.0), score(3, 1.0, by="evaluate")]
    run = made_up_run(tmp_path / "run", steps(discriminator__loss=[1.0] * 3), files={"evaluations": rows})
    assert take(run, "score", at="best") == 80


def test_scores_that_are_no_numbers_are_left_out(tmp_path):
    rows = [score(1, 90.0), score(2, None)]
    run = made_up_run(tmp_path / "run", steps(discriminator__loss=[1.0] * 2), files={"evaluations": rows})
    assert take(run, "score") == 90


def test_a_run_that_was_not_judged_says_so_and_one_that_ended_before_has_none(judged, tmp_path):
    with pytest.raises(UsageError, match="--evaluate-every"):
        take(made_up_run(tmp_path / "unjudged"), "score")
    assert take(made_up_run(tmp_path / "early", evaluate_every=5), "score") is None
    with pytest.raises(UsageError, match="not judged by metric 'fidd': did you mean 'fid'"):
        take(judged, "score", metric="fidd")


def test_seconds_leave_out_the_interval_that_warms_up(judged, tmp_path):
    assert take(judged, "seconds per step") == 0.5
    assert take(judged, "seconds per epoch") == pytest.approx(0.5 * 100 / 20)
    # 100 images a step for the first ten steps, then 10, in twice the time each; once something else held it up.
    rows = [timed(10, 1.0, 100), timed(20, 0.2, 1100 / 20), timed(30, 0.2, 1200 / 30), timed(40, 9.0, 1300 / 40)]
    run = made_up_run(tmp_path / "warm", files={"timing": rows})
    assert take(run, "seconds per epoch") == pytest.approx(0.2 * 100 / 10)
    run = made_up_run(tmp_path / "two", files={"timing": rows[:2]})
    assert take(run, "seconds per epoch") == pytest.approx(0.2 * 100 / 10)
    assert take(run, "seconds per step") == 0.2


def test_what_depends_on_the_clock_is_marked_and_nothing_else_is():
    assert {name for name, each in MEASURES.items() if each.timed} == {
        "seconds per step", "seconds per epoch", "seconds to score",
    }  # fmt: skip


def event(step, condition, ended=False, of="samples"):
    return {"step": step, "condition": condition, "of": of, "seen": "x", **({"ended": True} if ended else {})}


def test_events_are_counted_where_they_start(tmp_path):
    health = [
        event(110, "low sample diversity"), event(150, "low sample diversity", ended=True),
        event(190, "gradient norm over 100", of="a"), event(190, "gradient norm over 100", of="b"),
    ]  # fmt: skip
    run = made_up_run(tmp_path / "run", files={"health": health})
    assert take(run, "events") == 3
    assert take(run, "events", condition="gradient norm over 100") == 2
    assert take(run, "collapsed") == 0  # it had recovered, and large gradients are no collapse
    assert take(made_up_run(tmp_path / "unwatched"), "events") is None


def test_a_run_that_ends_in_a_collapse_has_collapsed(tmp_path):
    health = [event(110, "low sample diversity"), event(150, "low sample diversity", ended=True)]
    again = [*health, event(200, "low sample diversity")]
    assert take(made_up_run(tmp_path / "again", files={"health": again}), "collapsed") == 1
    assert take(made_up_run(tmp_path / "well", files={"health": []}), "collapsed") == 0


def test_diversity_is_the_last_grids_unless_another_is_asked_for(tmp_path):
    samples = [{"step": i, "diversity": value, "images": 64} for i, value in ((1, 0.2), (2, 0.9), (3, 0.5))]
    run = made_up_run(tmp_path / "run", files={"samples": samples})
    found = {at: take(run, "diversity", at=at) for at in ("last", "lowest", "highest", "first")}
    assert found == {"last": 0.5, "lowest": 0.2, "highest": 0.9, "first": 0.2}
    assert take(made_up_run(tmp_path / "none"), "diversity") is None


def finish(run):
    (run.root / "checkpoints" / f"{run.config.train.steps:06d}.pt").touch()
    return run


def test_a_run_diverged_where_the_sweep_says_that_a_loss_was_no_number_any_more(tmp_path):
    rows = steps(discriminator__loss=[1.0] * 5)
    runs = {
        seed: made_up_run(tmp_path / "lr_g=1" / f"seed-{seed}", rows, steps=9 if seed < 3 else 5) for seed in range(4)
    }
    failures = [
        {"cell": "lr_g=1", "seed": 0, "folder": "lr_g=1/seed-0", "reason": "discriminator/loss stopped being finite"},
        {"cell": "lr_g=1", "seed": 1, "folder": "lr_g=1/seed-1", "reason": "the disk is full"},
        {"cell": "lr_g=1", "seed": 3, "folder": "lr_g=1/seed-3", "reason": "generator/loss stopped being finite"},
    ]
    (tmp_path / "failures.jsonl").write_text("".join(json.dumps(line) + "\n" for line in failures))
    assert take(runs[0], "diverged") == 1
    assert take(runs[1], "diverged") == 0
    assert take(runs[2], "diverged") is None  # it ended early, and nobody says why
    assert take(finish(runs[3]), "diverged") == 0  # it was tried again, to the end


def test_a_run_diverged_where_a_loss_exploded_and_not_where_it_always_was_large(tmp_path):
    exploded = steps(generator__loss=[2.0] * 150 + [5000.0] * 50)
    large = steps(autoencoder__loss=[5000.0] * 200)
    assert take(finish(made_up_run(tmp_path / "exploded", exploded)), "diverged") == 1
    assert take(finish(made_up_run(tmp_path / "large", large, variant="vae")), "diverged") == 0
    assert take(finish(made_up_run(tmp_path / "exploded2", exploded)), "diverged", limit=1e4) == 0


def test_a_run_that_was_taken_back_has_diverged(tmp_path):
    leg = {"from": 2, "schedule from": 0, "rolled back": 1, "changes": {"lr_g": {"was": 0.1, "now": 0.05}}}
    run = finish(made_up_run(tmp_path / "run", steps(discriminator__loss=[1.0] * 5), legs=[leg], lr_g=0.05))
    assert take(run, "diverged") == 1
