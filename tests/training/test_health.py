"""Health: a condition is named once when it starts, on made rows and on provoked runs; healthy ones are silent."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch
from click.testing import CliRunner
from paths import ROOT

import gankit
from gankit.cli import main
from gankit.training import health
from gankit.training import health_monitor as watch
from gankit.training.health import CONDITIONS, Monitor

DOCS = ROOT / "docs"
# Samples that collapse come back and collapse again; these options were chosen for runs with eager's roundings.
SMALL = {
    "arch": "mlp", "engine": "eager", "nz": 8, "batch_size": 16, "size": 8, "channels": 1, "limit": 200, "samples": 16,
    "sample_every": 20, "threads": 1, "quiet": True,
}  # fmt: skip
COLLAPSE = {  # a discriminator that hardly moves: whatever it lets pass, all of the samples become, on any processor
    **SMALL, "ngf": 8, "ndf": 8, "generator_norm": "none", "discriminator_norm": "none", "lr_g": 2e-3, "lr_d": 1e-5,
    "n_generator": 3, "limit": 500,
    "ema_halflife_images": 0,  # samples of an average come and go later
}  # fmt: skip
ALIKE = {"ngf": 4, "generator_norm": "none", "lr_g": 1e-9}
"""A generator that stays as it began, its samples all alike."""


def events(run):
    return [json.loads(line) for line in (run.root / "health.jsonl").read_text().splitlines()]


def fed(values, first=1, monitor=None, name="discriminator/loss", **others):
    """The events of a monitor that is handed one row for each of ``values``."""
    monitor = monitor or Monitor()
    found = []
    for i, value in enumerate(values):
        row = {"step": first + i, name: value, **others}
        found += monitor.row(row)
    return [(event.step, event.condition, event.ended) for event in found]


def quiet_then_bad_then_quiet(good, bad):
    """300 good values, 300 bad, 300 good, 300 bad."""
    return [*good, *bad, *good, *bad]


def noise(level, spread=0.0):
    return [level + spread * math.sin(7 * i) for i in range(300)]


@pytest.mark.parametrize(
    ("condition", "name", "good", "bad", "others"),
    [
        (health.LOSS_AT_ZERO, "discriminator/real", noise(0.6, 0.1), noise(0.005), {"discriminator/fake": 0.001}),
        (health.LOSS_AT_ZERO, "discriminator/real b", noise(0.3, 0.1), noise(0.005), {"discriminator/fake b": 0.001}),
        (
            health.LOSS_SPIKES, "discriminator/loss", noise(1.2, 0.1),
            [9.0 if i % 10 == 0 else 1.2 + 0.1 * math.sin(7 * i) for i in range(300)], {},
        ),
        (health.LARGE_GRADIENTS, "critic/grad norm discriminator", noise(50, 30), noise(160, 30), {}),
        (health.VANISHING_GRADIENTS, "generator/first layer grad norm generator", noise(0.5, 0.3), noise(1e-5), {}),
        (health.SLOPE, "critic/slope", noise(1, 0.3), noise(3, 0.3), {}),
        (health.SLOPE, "critic/slope", noise(1, 0.3), noise(0.2, 0.1), {"critic/penalty": 6.0}),
    ],
    ids=lambda value: value.name if isinstance(value, health.Condition) else None,
)  # fmt: skip
def test_a_condition_is_named_once_when_it_starts_and_again_only_after_it_ended(condition, name, good, bad, others):
    found = fed(quiet_then_bad_then_quiet(good, bad), name=name, **others)
    assert {what for _, what, _ in found} == {condition}
    assert [ended for _, _, ended in found] == [False, True, False]
    assert [300 < found[0][0] <= 400, 600 < found[1][0] <= 720, 900 < found[2][0] <= 1000] == [True] * 3


def test_a_value_between_the_two_thresholds_neither_starts_nor_ends_a_condition():
    norm = "generator/grad norm generator"
    assert fed([85.0] * 500, name=norm) == []
    (started,) = fed([150.0] * 300 + [85.0] * 500, name=norm)
    assert started[1:] == (health.LARGE_GRADIENTS, False)


def test_single_steps_and_the_first_hundred_start_nothing():
    norm = "generator/grad norm generator"
    assert fed([1e6] * 100 + [5.0] * 300, name=norm) == []
    assert fed([5.0] * 250 + [1e6] * 30 + [5.0] * 300, name=norm) == []
    assert fed([1.2 + 0.1 * math.sin(i) + 50 * (i == 300) for i in range(600)]) == []


def test_a_critic_has_no_zero_and_a_lower_slope_counts_only_where_the_penalty_minds_it():
    assert fed([0.001] * 400, name="critic/real", **{"critic/fake": 0.001}) == []
    assert fed([-0.001] * 400, name="discriminator/real", **{"discriminator/fake": 0.001}) == []
    assert fed([0.2] * 400, name="critic/slope", **{"critic/penalty": 0.0}) == []
    assert [what for _, what, _ in fed([0.2] * 400, name="critic/slope", **{"critic/penalty": 3.0})] == [health.SLOPE]


def with_samples(diversities, losses, images=64):
    """The events of a monitor that sees a generator's loss and, every 50 steps, a set of samples."""
    monitor, found = Monitor(), []
    for i, (diversity, loss) in enumerate(zip(diversities, losses, strict=True)):
        for step in range(50 * i + 1, 50 * i + 51):
            found += monitor.row({"step": step, "generator/loss": loss})
        found += monitor.samples(50 * i + 50, diversity, images)
    return [(event.step, event.condition, event.ended) for event in found]


def test_samples_that_become_alike_while_the_generator_wins_are_named_and_their_recovery_recorded():
    good = [0.9] * 6
    low = with_samples([*good, 0.2, 0.2, 0.2, 0.9, 0.9], [2.0] * 11)
    assert low == [(400, health.LOW_DIVERSITY, False), (500, health.LOW_DIVERSITY, True)]
    found = with_samples([*good, 0.4, 0.4, 0.4, 0.9, 0.9], [2, 2, 2, 2, 2, 2, 1.5, 1, 0.5, 0.5, 0.5])
    assert found == [(350, health.COLLAPSING, False), (500, health.COLLAPSING, True)]


def test_a_generator_that_starts_all_alike_is_given_time_and_few_samples_are_not_judged():
    rising = [0.01 * 1.3**i for i in range(15)]
    assert with_samples(rising, [2.0] * 15) == []
    assert [what for _, what, _ in with_samples([0.01] * 15, [2.0] * 15)] == [health.LOW_DIVERSITY]
    assert with_samples([0.01] * 15, [2.0] * 15, images=4) == []


def test_a_monitor_remembers_no_more_after_a_long_run():
    def held(monitor):
        return sum(len(check.values) for check in (*monitor.checks, monitor.collapsing)) + len(monitor._seen)

    monitor = Monitor()
    row = {"discriminator/real": 0.5, "discriminator/fake": 0.5, "discriminator/loss": 1.0, "generator/loss": 1.0}
    for step in range(1, 1001):
        monitor.row({"step": step, **row})
    before = held(monitor)
    for step in range(1001, 20_001):
        monitor.row({"step": step, **row})
    assert held(monitor) == before


PROVOKED = {
    "discriminator loss at zero": ("dcgan", {"ngf": 2, "ndf": 16, "lr_g": 1e-7, "lr_d": 2e-2,
        "discriminator_norm": "none", "steps": 210}),
    "discriminator loss with spikes": ("gan", {"ngf": 8, "ndf": 8, "lr_g": 0.1, "lr_d": 1e-2, "beta2": 0.9,
        "limit": 500, "steps": 210}),
    "gradient norm over 100": ("wgan-gp", {"ngf": 4, "ndf": 4, "n_critic": 2, "gp_weight": 1e4, "steps": 210}),
    "vanishing gradient in the first layer": ("wgan", {"ngf": 4, "ndf": 4, "n_critic": 1, "clip": 1e-5, "warmup": 0,
        "steps": 210}),
    "generator loss falls while samples collapse": ("dcgan", {**COLLAPSE, "steps": 480}),
    "low sample diversity": ("gan", {**ALIKE, "ndf": 4, "steps": 560}),
    "critic slope far from 1": ("wgan-gp", {"ngf": 4, "ndf": 8, "n_critic": 2, "gp_weight": 1e-4, "lr_d": 1e-2,
        "steps": 210}),
}  # fmt: skip


@pytest.mark.parametrize("name", PROVOKED)
def test_a_run_provoked_to_fail_in_one_way_is_told_so_once(name, tmp_path, capsys):
    variant, options = PROVOKED[name]
    run = gankit.train(variant, out=tmp_path / "run", **{**SMALL, **options})
    (condition,) = [each for each in CONDITIONS if each.name == name]
    started = [event for event in events(run) if event["condition"] == name and "ended" not in event]
    assert started
    assert started[0]["means"] == condition.means
    assert started[0]["helps"].startswith(condition.helps)
    said = [line for line in capsys.readouterr().err.splitlines() if f": {name} (" in line]
    assert len(said) == len(started)
    assert f"step {started[0]['step']}: {name}" in said[0]
    assert condition.helps in said[0]


def test_every_condition_is_provoked_here_and_explained_in_the_docs():
    assert [each.name for each in CONDITIONS] == list(PROVOKED)
    text = (DOCS / "report.md").read_text()
    assert [each.name for each in CONDITIONS if each.name not in text] == []


def silent(run, capsys):
    return (events(run), [line for line in capsys.readouterr().err.splitlines() if "Health" in line]) == ([], [])


HEALTHY = {"dcgan": 320, "wgan-gp": 210, "wgan": 210, "infogan": 320, "cyclegan": 210}


@pytest.mark.parametrize("variant", HEALTHY)
def test_a_healthy_run_is_silent(variant, tmp_path, capsys):
    options = {**SMALL, "ngf": 8, "ndf": 8, "limit": 500, "nz": 16, "sample_every": 40}
    if variant == "cyclegan":
        options |= {"arch": "resnet", "blocks": 1, "ngf": 4, "ndf": 4, "batch_size": 1}
    if variant == "wgan":
        options["warmup"] = 10
    run = gankit.train(variant, out=tmp_path / "run", steps=HEALTHY[variant], **options)
    assert silent(run, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("variant", HEALTHY)
def test_the_defaults_are_silent_on_drawn_images_with_three_seeds(variant, seed, tmp_path, capsys):
    options = {"size": 16, "channels": 1, "limit": 2000, "ngf": 16, "ndf": 16, "batch_size": 32}
    if variant == "cyclegan":
        options = {"size": 16, "channels": 1, "limit": 500, "ngf": 8, "ndf": 8, "blocks": 2}
    run = gankit.train(
        variant, out=tmp_path / "run", steps=600, sample_every=50, seed=seed, threads=1, quiet=True, **options
    )
    assert silent(run, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("dcgan", {"ngf": 32, "ndf": 32, "steps": 400}),
        ("wgan-gp", {"arch": "mlp", "ngf": 16, "ndf": 16, "steps": 1500}),
        ("wgan", {"ngf": 16, "ndf": 16, "steps": 300}),
        ("infogan", {"ngf": 16, "ndf": 16, "batch_size": 64, "steps": 400}),
    ],
    ids=["dcgan", "wgan-gp", "wgan", "infogan"],
)
def test_the_defaults_are_silent_on_fashion_mnist_with_three_seeds(variant, options, seed, tmp_path, capsys):
    from gankit.data.catalogue import DataOptions
    from gankit.registry import registry

    try:
        registry().get("datasets", "fashion-mnist")().load(DataOptions(data="fashion-mnist"), 0)
    except gankit.GankitError as error:
        pytest.skip(f"Fashion-MNIST cannot be had here: {error}")
    run = gankit.train(
        variant,
        out=tmp_path / "run",
        data="fashion-mnist",
        sample_every=50,
        seed=seed,
        threads=1,
        quiet=True,
        **options,
    )
    assert silent(run, capsys)


def test_a_collapsed_run_stops_with_a_checkpoint_and_one_line_and_can_be_resumed(tmp_path):
    root = tmp_path / "run"
    options = {name: value for name, value in COLLAPSE.items() if name != "quiet"}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    result = CliRunner().invoke(
        main, ["train", "dcgan", "--out", str(root), "--steps=900", "--stop-on-collapse", "-q", *flags]
    )
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    run = gankit.Run(root)
    stopped = run.latest()[1]["step"]
    assert f"stopped after step {stopped}: generator loss falls while samples collapse since step " in error
    assert "lower --lr-g" in error
    assert f"gankit resume {root}" in error
    assert stopped < 900
    assert [row["step"] for row in run.metrics()] == list(range(1, stopped + 1))
    assert events(run)[0]["step"] < stopped
    result = CliRunner().invoke(main, ["resume", str(root), "-q", "--steps", str(stopped + 5)])
    assert result.exit_code == 0, result.output


def test_health_after_a_resume_is_that_of_a_run_never_interrupted(tmp_path, capsys):
    _, steep = PROVOKED["critic slope far from 1"]
    options = {**SMALL, **steep, **ALIKE, "steps": 600, "checkpoint_every": 150, "log_every": 7}
    whole = gankit.train("wgan-gp", out=tmp_path / "whole", **options)
    told = [event["step"] for event in events(whole)]
    assert min(told) < 450 < max(told)
    capsys.readouterr()
    for kept, damage in ((450, None), (600, "missing"), (450, "torn")):
        again = tmp_path / f"again {kept} {damage}"
        shutil.copytree(whole.root, again)
        if kept < 600:
            (again / "checkpoints" / "000600.pt").unlink()
        if damage == "missing":
            (again / "health.jsonl").unlink()
        if damage == "torn":
            with (again / "health.jsonl").open("a") as file:
                file.write('{"step": 2')
        run = gankit.resume(again, steps=600, quiet=True)
        if kept < 600:
            for name in ("health.jsonl", "samples.jsonl", "metrics.jsonl"):
                assert (run.root / name).read_bytes() == (whole.root / name).read_bytes(), (name, kept, damage)
        told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Health")]
        assert [line for line in told if int(line.split()[2].rstrip(":")) <= kept] == []


def test_what_went_before_a_loss_that_is_not_finite_is_told(tmp_path, capsys, monkeypatch):
    take_rows = gankit.Trainer.take_rows

    def spoiled(self):
        rows = take_rows(self)
        rows[-1]["generator/loss"] = math.nan
        return rows

    monkeypatch.setattr(gankit.Trainer, "take_rows", spoiled)
    options = {**SMALL, "ngf": 4, "ndf": 4, "n_critic": 1, "gp_weight": 1e4, "log_every": 300, "sample_every": 300}
    with pytest.raises(gankit.GankitError, match="stopped being finite at step 220"):
        gankit.train("wgan-gp", out=tmp_path / "run", steps=220, **options)
    assert "Health: step 200: gradient norm over 100" in capsys.readouterr().err


def test_the_spread_of_images_is_their_mean_distance_and_diversity_its_share(tmp_path, tiny):
    one = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    assert watch.spread(torch.cat([one, one + 3])) == pytest.approx(3 * 8)  # 64 pixels, each 3 apart
    assert watch.spread(torch.cat([one, one + 3, one + 9])) == pytest.approx((3 + 6 + 9) / 3 * 8)
    assert watch.spread(torch.cat([one] * 5)) == 0
    assert watch.spread(one) == 0
    fine = torch.arange(32 * 32).remainder(2).mul(255).to(torch.uint8).view(1, 1, 32, 32)
    assert watch.spread(torch.cat([fine, 255 - fine])) == pytest.approx(0, abs=1e-9)  # noise averages out
    run = gankit.train("dcgan", out=tmp_path / "run", steps=1, **{**tiny, "samples": 16})
    trainer = gankit.Trainer(run.config)
    real = trainer.images.pick(16, run.config.train.seed, 8).images
    judge = watch.Watch(run, trainer, print)
    assert judge.diversity(real) == (pytest.approx(1), 16)
    assert judge.diversity(real[:1].expand(16, -1, -1, -1)) == (0, 16)


def test_a_model_that_maps_images_is_judged_by_what_it_makes_in_its_worse_direction(tmp_path, tiny):
    run = gankit.train("cyclegan", out=tmp_path / "run", steps=1, **{**tiny, "samples": 4})
    trainer = gankit.Trainer(run.config)
    judge = watch.Watch(run, trainer, print)
    trainer.sampling_model.translate = lambda images, way, draws: images if way == "a2b" else torch.zeros_like(images)
    assert judge.diversity(torch.rand(4, 1, 8, 8)) == (0, watch.TRANSLATED)
    trainer.sampling_model.translate = lambda images, way, draws: images
    share, _ = judge.diversity(torch.rand(4, 1, 8, 8))
    assert 0.3 < share < 3
    assert trainer.model.training
