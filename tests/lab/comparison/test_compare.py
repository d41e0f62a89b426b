"""Comparisons of made-up runs, whose figures were worked out by hand."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from made_runs import add_scores, made_run

import gankit
from gankit.core.errors import UsageError
from gankit.lab.comparison.rankings import Curve
from gankit.lab.spread import holm, interval, welch

A, B = (10.0, 11.0, 12.0), (20.0, 21.0, 25.0)


@pytest.fixture
def two(tmp_path):
    """Two groups of three seeds that end at A and B, evaluated every 20 steps on a straight way from 100."""
    for rate, ends, pace in ((1e-4, A, 0.01), (2e-4, B, 0.02)):
        for seed, end in enumerate(ends):
            scores = [(step, 100 + (end - 100) * step / 100) for step in range(20, 101, 20)]
            made_run(tmp_path / f"{rate}" / f"seed-{seed}", scores, seed=seed, lr_g=rate, pace=pace)
    return f"{tmp_path}/*/*"


def ranking(found, at):
    (one,) = [each for each in found.rankings if each.at == at]
    return one


def test_mean_spread_interval_and_best_at_the_end_are_those_of_the_seeds(two):
    found = ranking(gankit.compare(two), "end")
    first, second = found.standings
    assert (first.group, first.n, first.of, first.mean, first.sd, first.best) == ("lr_g=1e-4", 3, 3, 11, 1, 10)
    assert (first.low, first.high) == interval(A)
    assert (second.group, second.mean, second.best) == ("lr_g=2e-4", 22, 20)
    assert second.sd == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert (first.rank, second.rank) == (1, 2)
    assert (first.better_than, second.better_than) == (("lr_g=2e-4",), ())
    (pair,) = found.pairs
    assert pair.of == welch(A, B)
    assert (pair.p, pair.called) == (pair.of.p, True)


def test_where_more_is_better_the_most_is_best_and_ranked_first(tmp_path):
    for rate, ends in ((1e-4, A), (2e-4, B)):
        for seed, end in enumerate(ends):
            made_run(tmp_path / f"{rate}-{seed}", [(100, end)], seed=seed, lr_g=rate, metric="recall", better="higher")
    first, second = ranking(gankit.compare(f"{tmp_path}/*"), "end").standings
    assert (first.group, first.rank, first.best, second.rank) == ("lr_g=2e-4", 1, 25, 2)
    assert first.better_than == ("lr_g=1e-4",)


def test_at_equal_seconds_scores_lie_on_straight_lines_between_evaluations(two):
    found = gankit.compare(two)
    at = ranking(found, "seconds")
    # the first group ends after 1 s; the second then is at step 50, halfway between its evaluations at 40 and 60
    assert at.x == pytest.approx(1)
    means = {each.group: each.mean for each in at.standings}
    assert means == {"lr_g=1e-4": pytest.approx(11), "lr_g=2e-4": pytest.approx((100 + 22) / 2)}
    assert (ranking(found, "steps").x, ranking(found, "images").x) == (100, 1600)
    assert (ranking(found, "steps").same, ranking(found, "images").same, at.same) == ("end", "end", "")
    assert ranking(found, "steps").standings == ranking(found, "end").standings


def test_what_it_took_to_get_to_a_score_is_where_the_straight_lines_cross_it(two):
    found = gankit.compare(two, to=55.0)
    # a run from 100 to END in 100 steps is at 55 after 45 / (100 - END) of them
    for at, whole in (("reaching images", (1600, 1600)), ("reaching seconds", (1, 2))):
        one = ranking(found, at)
        for figures, ends, size in zip(one.figures, (A, B), whole, strict=True):
            assert figures == pytest.approx([size * 45 / (100 - end) for end in ends])
        assert one.x == 55
        assert one.standings[0].group == "lr_g=1e-4"
    assert ranking(found, "reaching seconds").pairs[0].called


def test_a_group_that_was_first_judged_later_has_no_score_there_and_that_is_said(two, tmp_path):
    for seed in range(3):
        made_run(tmp_path / "c" / f"seed-{seed}", [(50, 9.0), (100, 8.0)], seed=seed, lr_g=3e-4, pace=0.05)
    at = ranking(gankit.compare(two), "seconds")
    assert at.x == pytest.approx(1)
    assert [(each.group, each.n) for each in at.standings][-1] == ("lr_g=3e-4", 0)
    assert [each.rank for each in at.standings] == [1, 2, None]
    assert "not every run of lr_g=3e-4 has a score there: it was first judged later" in str(gankit.compare(two))


def test_without_a_score_it_is_the_best_that_all_runs_got_to(two):
    found = gankit.compare(two)
    assert ranking(found, "reaching images").x == 25
    assert ranking(found, "reaching images").figures[1][2] == 1600
    assert [each.n for each in ranking(found, "reaching images").standings] == [3, 3]


def test_a_score_that_some_seeds_never_reach_is_counted_and_nothing_is_called(two):
    one = ranking(gankit.compare(two, to=20.5), "reaching images")
    assert [(each.n, each.of) for each in one.standings] == [(3, 3), (1, 3)]
    (pair,) = one.pairs
    assert not pair.called
    assert pair.why == "not every run of lr_g=2e-4 got there"
    assert [each.rank for each in one.standings] == [None, None]


def test_a_score_reached_at_the_first_evaluation_was_reached_there(two):
    one = ranking(gankit.compare(two, to=99.0), "reaching images")
    assert one.figures == [[320] * 3, [320] * 3]


def test_scores_of_different_protocols_are_not_ranked_and_the_part_that_differs_is_named(two, tmp_path):
    for seed in range(3):
        made_run(tmp_path / "c" / f"seed-{seed}", [(100, 1.0 + seed)], seed=seed, lr_g=3e-4, protocol={"fake": 50})
    found = gankit.compare(two)
    assert found.refused == (
        "fid of lr_g=1e-4; lr_g=2e-4 and of lr_g=3e-4 is not ranked against each other: the protocols differ in "
        "fake 200, 50",
    )
    ends = [each for each in found.rankings if each.at == "end"]
    assert [[standing.group for standing in each.standings] for each in ends] == [
        ["lr_g=1e-4", "lr_g=2e-4"],
        ["lr_g=3e-4"],
    ]
    assert ends[0].standings[0].rank == 1
    assert ends[1].standings[0].rank is None
    assert all("lr_g=3e-4" not in (pair.a, pair.b) for each in found.rankings for pair in each.pairs)
    assert "refused: fid of lr_g=1e-4" in str(found)


def test_protocols_that_differ_in_a_metrics_constants_are_told_apart(two, tmp_path):
    made_run(tmp_path / "c" / "seed-0", [(100, 1.0)], lr_g=3e-4, protocol={"settings": {"kept": 5}})
    found = gankit.compare(two)
    assert "settings {}, {'kept': 5}" in found.refused[0]
    assert str(found).count("fid (lower is better)") == 2


def test_with_one_seed_nothing_is_called_and_that_is_said(tmp_path):
    for rate in (1e-4, 2e-4):
        made_run(tmp_path / f"{rate}", [(100, rate)], lr_g=rate)
    found = gankit.compare(f"{tmp_path}/*")
    (pair,) = ranking(found, "end").pairs
    assert math.isnan(pair.p)
    assert "one seed has no spread" in pair.why
    text = str(found)
    assert "nothing is called: one seed has no spread" in text
    assert "lr_g=1e-4, lr_g=2e-4: one seed has no spread, so nothing can be called a difference" in text
    assert [each.rank for each in ranking(found, "end").standings] == [None, None]
    assert "nan" not in text


def test_all_pairs_and_metrics_of_a_question_are_corrected_together(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (3, 2, 4)) + np.arange(3)[:, None, None] * 1.5
    for i in range(3):
        for seed in range(4):
            root = made_run(tmp_path / f"{i}-{seed}", [(100, values[i, 0, seed])], seed=seed, ndf=i + 1)
            add_scores(root, [(100, values[i, 1, seed])], metric="swd")
    found = gankit.compare(f"{tmp_path}/*")
    pairs = [pair for each in found.rankings if each.at == "end" for pair in each.pairs]
    raw = [welch(values[i, k], values[j, k]).p for k in (0, 1) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert len(pairs) == 6
    assert [pair.of.p for pair in pairs] == pytest.approx(raw)
    assert [pair.p for pair in pairs] == pytest.approx(holm(raw))
    assert any(pair.p > 1.5 * pair.of.p for pair in pairs)


def test_two_groups_of_one_distribution_are_called_different_about_5_times_in_100(tmp_path):
    rng = np.random.default_rng(4)
    for i in range(2):
        for seed in range(5):
            made_run(tmp_path / f"{i}-{seed}", seed=seed, ndf=i + 1, steps=10, grid=False)
    trials, called = 100, 0
    for _ in range(trials):
        for path in tmp_path.glob("*/evaluations.jsonl"):
            path.unlink()
            add_scores(path.parent, [(10, rng.normal(50, 3))])
        called += ranking(gankit.compare(f"{tmp_path}/*"), "end").pairs[0].called
    assert called / trials < 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_a_run_that_stopped_early_has_no_figure_at_the_end_and_its_group_is_not_called_better(two, tmp_path):
    root = made_run(tmp_path / "0.0001" / "seed-3", [(20, 82.0), (40, 5.0)], seed=3, lr_g=1e-4, steps=40, planned=100)
    found = gankit.compare(two)
    end = ranking(found, "end")
    assert [(each.n, each.of) for each in end.standings] == [(3, 4), (3, 3)]
    assert (end.pairs[0].called, end.pairs[0].why) == (
        False,
        "not every run of lr_g=1e-4 has a finite score at its end",
    )
    assert ranking(found, "steps").x == 100  # it does not hold the others back
    assert "lr_g=1e-4, seed 3 is at step 40 of 100" in found.notes
    assert root.name in "seed-3"


def test_a_score_that_is_not_finite_is_no_figure(two, tmp_path):
    add_scores(tmp_path / "0.0002" / "seed-1", [(100, None)])
    end = ranking(gankit.compare(two), "end")
    assert [(each.n, each.of) for each in end.standings] == [(3, 3), (2, 3)]
    assert not end.pairs[0].called


def test_a_score_beside_one_that_is_not_finite_is_known_and_between_them_none():
    steps = np.array([20.0, 40, 60, 80])
    curve = Curve(steps, 16 * steps, steps * np.nan, np.array([9.0, np.nan, 5.0, 4.0]))
    assert [curve.at("steps", x) for x in (10, 20, 30, 60, 70, 80, 90)] == [None, 9, None, 5, 4.5, 4, None]
    assert curve.at("images", 16 * 70) == 4.5
    assert curve.at("seconds", 1) is None
    assert curve.reached("steps", 6, "lower") == 60  # nobody knows where between 40 and 60
    assert curve.reached("images", 4.5, "lower") == 16 * 70
    assert curve.reached("steps", 3, "lower") is None
    assert curve.reached("steps", 4.5, "higher") == 20
    assert curve.reached("seconds", 6, "lower") is None


def test_of_runs_that_are_all_on_their_way_equal_steps_are_those_of_the_slowest(tmp_path):
    for rate, steps in ((1e-4, 60), (2e-4, 40)):
        for seed in range(2):
            scores = [(step, 100.0 - step - seed) for step in range(20, steps + 1, 20)]
            made_run(tmp_path / f"{rate}-{seed}", scores, seed=seed, lr_g=rate, steps=steps, planned=100)
    found = gankit.compare(f"{tmp_path}/*")
    assert [each.at for each in found.rankings][:3] == ["steps", "images", "seconds"]
    assert ranking(found, "steps").x == 40
    assert [each.mean for each in ranking(found, "steps").standings] == [59.5, 59.5]


def test_seconds_of_different_machines_are_shown_but_not_called(two, tmp_path):
    made_run(tmp_path / "0.0002" / "seed-3", [(100, 23.0)], seed=3, lr_g=2e-4, environment={"processor": "Xeon"})
    found = gankit.compare(two)
    for at in ("reaching seconds", "seconds"):
        (pair,) = ranking(found, at).pairs
        assert not pair.called
        assert "processor AMD EPYC, Xeon" in pair.why
    assert ranking(found, "end").pairs[0].called
    assert any(note.startswith("seconds do not compare") for note in found.notes)


def test_seeds_of_very_different_pace_are_a_sign_of_other_work_and_it_is_said(two, tmp_path):
    made_run(tmp_path / "0.0002" / "seed-3", [(100, 23.0)], seed=3, lr_g=2e-4, pace=0.05)
    notes = gankit.compare(two).notes
    assert [note[:60] for note in notes] == ["a step of lr_g=2e-4 took 2.5 times as long with one seed as "]


def test_health_is_counted_by_condition_over_the_runs_that_were_watched(tmp_path):
    low, zero = ({"condition": name, "of": "samples", "seen": "x"} for name in ("low diversity", "loss at zero"))
    made_run(
        tmp_path / "a", seed=0, events=[{"step": 60, **low}, {"step": 70, **low, "ended": True}, {"step": 90, **low}]
    )
    made_run(tmp_path / "b", seed=1, events=[{"step": 40, **low}, {"step": 30, **zero}])
    (made_run(tmp_path / "c", seed=2) / "health.jsonl").unlink()
    first, second = gankit.compare(f"{tmp_path}/*").health
    assert (first.condition, first.runs, first.of, first.events, first.first) == ("low diversity", 2, 2, 3, 40)
    assert (second.condition, second.runs, second.first) == ("loss at zero", 1, 30)


def test_losses_are_means_over_the_last_tenth_and_their_spread_that_of_the_seeds(tmp_path):
    for seed in range(3):
        made_run(tmp_path / f"{seed}", seed=seed, loss=1 + seed)
    rows = {each.term: each for each in gankit.compare(f"{tmp_path}/*").losses}
    wave = 0.1 * np.sin(np.arange(91, 101))
    assert rows["discriminator/loss"].mean == pytest.approx(2 + wave.mean())
    assert rows["discriminator/loss"].sd == pytest.approx(1)
    assert rows["discriminator/loss"].shakes == pytest.approx(wave.std())
    assert rows["generator/loss"].mean == pytest.approx(0.8)
    assert list(rows) == ["discriminator/real", "discriminator/fake", "discriminator/loss", "generator/loss"]


def test_runs_that_nobody_judged_are_compared_by_the_rest_and_it_is_said(tmp_path):
    for rate in (1e-4, 2e-4):
        made_run(tmp_path / f"{rate}", lr_g=rate)
    found = gankit.compare(f"{tmp_path}/*")
    assert found.table == []
    assert any("no run was judged" in note for note in found.notes)
    assert "discriminator/loss" in str(found)
    assert dict(found.options) == {"lr_g": (1e-4, 2e-4)}


def test_a_later_score_at_a_step_takes_the_place_of_an_earlier_one(two, tmp_path):
    add_scores(tmp_path / "0.0001" / "seed-0", [(100, 4.0)], by="evaluate")
    assert ranking(gankit.compare(two), "end").standings[0].best == 4


def test_json_and_csv_hold_the_table_and_the_differences(two):
    found = gankit.compare(two)
    values = json.loads(found.to_json())
    assert values == json.loads(json.dumps(found.as_dict()))
    assert [group["name"] for group in values["groups"]] == ["lr_g=1e-4", "lr_g=2e-4"]
    assert [run["seed"] for run in values["groups"][0]["runs"]] == [0, 1, 2]
    assert values["options that differ"] == {"lr_g": [1e-4, 2e-4]}
    assert "Welch" in values["test"]
    row = values["differences"][0]
    assert (row["a"], row["b"], row["difference"], row["called"]) == ("lr_g=1e-4", "lr_g=2e-4", -11, True)
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert len(rows) == len(found.table) == 12
    first = rows[0]
    assert (first["metric"], first["at"], first["group"], float(first["mean"]), first["rank"]) == (
        "fid", "end", "lr_g=1e-4", 11, "1",
    )  # fmt: skip
    assert float(first["option lr_g"]) == 1e-4
    assert json.loads(first["better than"]) == ["lr_g=2e-4"]


def test_text_and_notebook_say_what_is_called_and_how(two):
    found = gankit.compare(two)
    text = str(found)
    assert "lr_g=1e-4 is better than lr_g=2e-4 by 11 (" in text
    assert "at the end, at equal steps (100), at equal images (1600)" in text
    assert "differences are called by Welch's t-test, two-sided, at 5%" in text
    shown = found._repr_html_()
    assert "<table>" in shown
    assert "lr_g=1e-4 is better than lr_g=2e-4 by 11" in shown


def test_groups_that_are_not_told_apart_share_a_rank(tmp_path):
    for rate, ends in ((1e-4, (10.0, 20.0, 30.0)), (2e-4, (11.0, 19.0, 33.0))):
        for seed, end in enumerate(ends):
            made_run(tmp_path / f"{rate}-{seed}", [(100, end)], seed=seed, lr_g=rate)
    found = gankit.compare(f"{tmp_path}/*")
    assert [each.rank for each in ranking(found, "end").standings] == [1, 1]
    assert "lr_g=1e-4 and lr_g=2e-4 are not told apart: -1 (" in str(found)


def test_metrics_are_chosen_by_name_and_a_wrong_one_is_named_with_the_closest(two, tmp_path):
    for path in tmp_path.glob("*/*"):
        add_scores(path, [(100, 0.5)], metric="swd a2b")
    assert {each.metric for each in gankit.compare(two, metric="swd").rankings} == {"swd a2b"}
    assert {each.metric for each in gankit.compare(two, metric="fid, swd a2b").rankings} == {"fid", "swd a2b"}
    with pytest.raises(UsageError, match="--metric fidd: no run was judged by it: did you mean 'fid'"):
        gankit.compare(two, metric="fidd")
    with pytest.raises(UsageError, match="--to 50: a score of which metric"):
        gankit.compare(two, to=50)
    assert gankit.compare(two, to=50, metric="fid").rankings


def test_the_command_prints_text_json_or_csv_and_writes_a_page(two, tmp_path, cli):
    text = cli("compare", two)
    assert text.exit_code == 0
    assert text.stdout.rstrip("\n") == str(gankit.compare(two))
    assert json.loads(cli("compare", two, "--json").stdout)["table"][0]["mean"] == 11
    assert cli("compare", two, "--csv", "--to", "30").stdout.startswith("metric,better,protocol,at,x,rank,group")
    both = cli("compare", two, "--csv", "--json")
    assert (both.exit_code, "choose one" in both.stderr) == (2, True)
    page = cli("compare", two, "-o", tmp_path / "new" / "p.html")
    assert f"page: {tmp_path}/new/p.html" in page.stderr
    assert (tmp_path / "new" / "p.html").read_text().startswith("<!DOCTYPE html>")
    wrong = cli("compare", two, "-o", "p.pdf")
    assert (wrong.exit_code, wrong.stderr) == (2, "Error: -o p.pdf: end it with .html\n")
    nothing = cli("compare", tmp_path / "nowhere")
    assert (nothing.exit_code, nothing.stderr.count("\n")) == (2, 1)
    assert "compare" in cli("--help").stdout


def test_real_runs_of_two_seeds_and_rates_are_compared(tmp_path, tiny):
    for rate in (1e-4, 1e-3):
        for seed in (0, 1):
            gankit.train(
                "dcgan", out=tmp_path / f"{rate}-{seed}", steps=4, lr_g=rate, seed=seed, evaluate_every=2, metric="swd",
                evaluate_images=20, **tiny,
            )  # fmt: skip
    found = gankit.compare(f"{tmp_path}/*")
    assert [(group.name, group.seeds) for group in found.groups] == [("lr_g=1e-4", [0, 1]), ("lr_g=1e-3", [0, 1])]
    assert {each.at for each in found.rankings} >= {"end", "steps", "images", "seconds"}
    assert all(each.n == 2 for each in ranking(found, "end").standings)
    assert ranking(found, "images").x == 4 * 8
