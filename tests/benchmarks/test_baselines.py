"""The baselines that gankit's speed is compared with do gankit's work: no more, no less."""

from __future__ import annotations

import copy
import json
from collections import deque

import baseline
import careful
import pytest
import textbook
import torch
from click.testing import CliRunner
from torch import nn

from gankit import ImageSet, RandomStream, Trainer, UsageError
from gankit.config import configure

LOOPS = {"textbook": textbook, "careful": careful}
SMALL = {"limit": 40, "batch_size": 4, "ngf": 1, "ndf": 1, "threads": 1, "device": "cpu"}
SAME = {
    "dcgan": {"size": 16, "ngf": 2, "ndf": 2, "nz": 4},
    "wgan-gp-mlp": {"size": 8, "arch": "mlp", "ngf": 2, "ndf": 2, "nz": 4, "n_critic": 2},
    "wgan-gp": {"size": 16, "ngf": 2, "ndf": 2, "nz": 4, "n_critic": 2},
    "cyclegan": {"size": 12, "ngf": 1, "ndf": 2, "blocks": 2, "patch_layers": 1, "pool": 3, "decay_start": 1.0},
}


class Recorded:
    """What the trainer draws for a step, handed out in the order in which a loop asks."""

    def __init__(self):
        self.waiting = deque()

    def record(self, drawn):
        if "a slot" in drawn:
            for name in "ab":
                pairs = zip(drawn[f"{name} slot"].tolist(), drawn[f"{name} swap"].tolist(), strict=True)
                self.waiting += pairs
        else:
            self.waiting += [drawn[name] for name in ("z", "t") if name in drawn]

    def normal(self, *shape):
        assert self.waiting[0].shape == shape
        return self.waiting.popleft()

    def uniform(self, n):
        return self.normal(n)

    def choice(self, high):
        return self.waiting.popleft()


def set_up(name, **flags):
    """A trainer in float64 on random images, and a job for a loop that starts from the same weights."""
    options = {"precision": "fp64", "batch_size": 8, "steps": 3, "threads": 1, "init": "default", "device": "cpu"}
    config = configure(name.removesuffix("-mlp"), options | SAME[name] | flags)
    size = SAME[name]["size"]
    images = RandomStream(0, "test images").integers(256, 60, 1, size, size).to(torch.uint8)
    trainer = Trainer(config, ImageSet(images[:27], other=images[27:] if name == "cyclegan" else None))
    draws = sum(part.phase.times(0) for part in trainer.phases if part.phase.data)
    model = copy.deepcopy(trainer.model)
    job = baseline.Job(name, config, trainer.images, model, trainer.device, trainer.steps, draws, 0.0)
    return trainer, job


def reals(trainer, draw):
    batch = trainer.batches.batch(draw)
    return (batch.images,) if batch.other is None else (batch.images, batch.other)


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("loop", LOOPS)
def test_three_steps_of_a_baseline_give_gankits_weights(loop, name):
    trainer, job = set_up(name)
    before = copy.deepcopy(job.model.state_dict())
    noise = Recorded()
    it = LOOPS[loop].LOOPS[job.config.variant](job, noise)
    batches = (reals(trainer, draw) for draw in range(3 * job.draws))
    for step in range(3):
        for part in trainer.phases:
            for repeat in range(part.phase.times(step)):
                noise.record(trainer.batches.noise(part.phase.name, step, repeat))
        it.step(batches)
        assert not noise.waiting
        trainer.step()
    assert next(batches, None) is None
    found = job.model.state_dict()
    for key, expected in trainer.model.state_dict().items():
        if not key.startswith("pools."):  # the loops have a list in its place
            torch.testing.assert_close(found[key], expected, rtol=1e-9, atol=1e-9, msg=key)
    moved = [key for key, value in job.model.named_parameters() if (value - before[key]).abs().max() > 1e-6]
    still = {"discriminator.head.bias"} if job.config.variant == "wgan-gp" else set()  # it cancels
    assert set(moved) >= {key for key, _ in job.model.named_parameters()} - still


@pytest.mark.parametrize("name", SAME)
def test_both_baselines_start_with_the_losses_that_gankit_records(name):
    trainer, job = set_up(name)
    trainer.step()
    (row,) = trainer.take_rows()
    judge, repeats = trainer.phases[0 if name != "cyclegan" else 1].phase.name, trainer.phases[0].phase.times(0)
    for module in LOOPS.values():
        noise = Recorded()
        start = baseline.Job(**{**vars(job), "model": copy.deepcopy(job.model)})
        it = module.LOOPS[job.config.variant](start, noise)
        for part in trainer.phases:
            for repeat in range(part.phase.times(0)):
                noise.record(trainer.batches.noise(part.phase.name, 0, repeat))
        it.step(reals(trainer, draw) for draw in range(job.draws))
        it.close()
        on_d, on_g = it.history[0][:2]
        assert on_g == pytest.approx(row["generator/loss"], abs=1e-9)
        if repeats == 1:  # of several repeats gankit records the mean, a loop shows the last
            assert on_d == pytest.approx(row[f"{judge}/loss"], abs=1e-9)


@pytest.mark.parametrize("workload", baseline.WORKLOADS)
@pytest.mark.parametrize("loop", LOOPS)
def test_every_workload_runs_in_both_loops(loop, workload):
    small = SMALL | ({"blocks": 1, "size": 32, "batch_size": 1} if workload.startswith("cyclegan") else {})
    result = LOOPS[loop].run(workload, 2, **small)
    assert result.steps == len(result.data_s) == len(result.step_s) == 2
    assert result.drawn == 2 * small["batch_size"] * (5 if workload.startswith("wgan-gp") else 1)
    assert min(result.data_s) > 0
    assert min(result.step_s) > 0
    assert sum(result.data_s) + sum(result.step_s) == pytest.approx(result.loop_s, rel=0.5)
    assert result.whole_s > result.loop_s
    assert all(abs(loss) < 1e3 for loss in result.losses.values())


@pytest.mark.parametrize("workload", ["dcgan-28", "cyclegan-128"])
def test_a_baseline_has_pytorchs_own_layers_alone(workload):
    job = baseline.prepare(workload, steps=1, **SMALL | {"ngf": 4, "ndf": 4})
    kinds = {
        type(layer).__module__ for layer in job.model.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    }
    assert kinds == {"torch.nn.modules.conv"}


@pytest.mark.parametrize("workload", ["wgan-gp-mlp", "cyclegan-128"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_baselines_batches_are_gankits_images_each_once_an_epoch(loop, workload):
    job = baseline.prepare(workload, **{**SMALL, "size": 16, "steps": 5, "n_critic": 2, "batch_size": 8})
    drawn = LOOPS[loop].batches(job, *([0] if loop == "textbook" else []))
    epoch = [next(drawn) for _ in range(5)]
    for domain, pixels in enumerate([job.images.images, job.images.other][: len(epoch[0])]):
        got = torch.cat([batch[domain] for batch in epoch])
        expected = pixels.float() / 127.5 - 1
        distance = (got[:, None] - expected).abs().amax((2, 3, 4))
        assert distance.amin(1).max() < 1e-6
        if domain == 0 or loop == "careful":  # tutorials pick the second domain's by chance
            assert sorted(distance.argmin(1).tolist()) == list(range(40))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 and later, of fork
def test_textbook_runs_with_workers():
    result = textbook.run("wgan-gp-mlp", 2, workers=2, **SMALL)
    assert result.workers == 2
    assert len(result.step_s) == 2


def test_a_pool_hands_on_what_the_published_one_does():
    noise = Recorded()
    noise.waiting += [(0, True), (1, True), (0, False), (1, True), (1, True)]
    pool = baseline.Pool(2, noise)
    fresh = torch.arange(5.0).view(5, 1, 1, 1)
    assert pool(fresh[:3]).flatten().tolist() == [0, 1, 2]
    assert pool(fresh[3:]).flatten().tolist() == [1, 3]
    assert torch.cat(pool.images).flatten().tolist() == [0, 4]


def test_careful_computes_in_bfloat16_where_asked():
    seen = []
    job = baseline.prepare("wgan-gp-mlp", **{**SMALL, "steps": 2, "precision": "bf16"})
    it = careful.WGANGP(job, baseline.Random(job))
    job.model.discriminator.head.register_forward_hook(lambda module, args, made: seen.append(made.dtype))
    it.step(careful.batches(job))
    assert set(seen) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in job.model.parameters())


def test_the_command_line_prints_one_json_line():
    args = ["wgan-gp-mlp", "--data", "shapes", "--size", "8", "--steps", "1", "--threads", "1", "--json"]
    main = baseline.command(careful.run, "", precisions=("fp32", "bf16"), workers=False)
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["loop"] == "careful"
    assert found["steps"] == 1
    assert found["whole_s"] == pytest.approx(found["setup_s"] + found["loop_s"])


def test_a_wrong_call_of_the_command_line_exits_with_2():
    main = baseline.command(careful.run, "", precisions=("fp32",), workers=False)
    result = CliRunner().invoke(main, ["dcgan-28", "--data", "shapes", "--size", "27"])
    assert result.exit_code == 2
    assert "nearest are 24 and 28" in result.stderr


def test_the_clock_starts_with_the_process():
    assert baseline.process_start() <= baseline.IMPORTED


def test_shapes_take_the_place_of_a_fashion_mnist_that_is_not_there(monkeypatch, capsys):
    load = baseline.load_images

    def without(config):
        if config.data.name == "fashion-mnist":
            raise UsageError("no such files")
        return load(config)

    monkeypatch.setattr(baseline, "load_images", without)
    job = baseline.prepare("dcgan-32", steps=1, **SMALL)
    assert job.config.data.name == "shapes"
    assert job.images.images.shape[1:] == (1, 32, 32)
    assert "no such files" in capsys.readouterr().err
    with pytest.raises(UsageError):
        baseline.prepare("dcgan-32", steps=1, data="fashion-mnist", **SMALL)


def test_an_unknown_workload_is_named_with_those_that_exist():
    with pytest.raises(UsageError, match=r"'gan-1'.*wgan-gp-mlp"):
        baseline.prepare("gan-1", steps=1)
