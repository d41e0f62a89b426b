"""The engines: other ways to run the same updates, to the same figures."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
import torch
from recorder import Rerun
from tiny import fitted, options_of
from torch import nn

import gankit
from gankit import Trainer, UsageError
from gankit.config import configure
from gankit.cpu import Unsupported, strided_winograd, winograd
from gankit.kernels import cpu, selected
from gankit.models.interface import Phase
from gankit.registry import registry
from gankit.testing.subject import Retraced
from gankit.training import optimizers
from gankit.training.engines import choose, planned
from gankit.training.engines.cuda_graph import CudaGraphEngine
from gankit.training.engines.inductor import InductorEngine
from gankit.training.schedule import updates

VARIANTS = registry().names("variants")
STEPS = 20
needs_c = pytest.mark.skipif(bool(cpu.REASON), reason=f"plans run in the C extension: {cpu.REASON}")
TOLERANCE = {"fp64": 1e-10, "fp32": 1e-5}


def trainer(variant, tiny, **flags):
    options = fitted(variant, {**tiny, "steps": STEPS, **flags})
    options.pop("quiet")
    return Trainer(configure(variant, options))


@pytest.fixture
def interpreted(monkeypatch):
    """Run traced updates as they were traced: in a moment, where Inductor takes half a minute."""
    monkeypatch.setattr(InductorEngine, "make", Retraced.make)


def assert_agree(one, other, tolerance):
    rows = [it.take_rows() for it in (one, other)]
    assert [list(row) for row in rows[0]] == [list(row) for row in rows[1]]
    tensors = other.tensors()
    differences: dict[str, list[torch.Tensor]] = {}
    for name, tensor in one.tensors().items():
        pair = torch.stack([(tensor.double() - tensors[name].double()).norm(), tensor.double().norm()])
        differences.setdefault(name.partition(".")[0], []).append(pair)
    for network, pairs in differences.items():  # a bias that began at 0 is as wrong as its network is large
        difference, size = torch.stack(pairs).norm(dim=0)
        assert difference <= tolerance * size, network
    for mine, theirs in zip(*rows, strict=True):
        for name in mine:
            assert theirs[name] == pytest.approx(mine[name], rel=100 * tolerance, abs=10 * tolerance), name


RATES = {"vae": 1e-7, "bigan": 1e-3}
"""Where 1e-4 would make 20 steps diverge, or move the weights by less than float32's tolerance."""


def plain(variant):
    """Options for gradient descent by rates at which none diverges and with more features than two: layer norm of two
    leaves little but rounding.

    Adam divides a gradient by its size: where that is rounding alone, it makes steps of full length out of it. Engines
    compute gradients, and those are compared.
    """
    rates = {"lr": RATES.get(variant, 1e-4), "lr_g": RATES.get(variant, 1e-4), "lr_d": RATES.get(variant, 1e-4)}
    wanted = {"optimizer": "sgd", **rates, "ngf": 16, "ndf": 16, "warmup": 7, "warmup_steps": 2}
    return {name: value for name, value in wanted.items() if name in options_of(variant)}


KINKS = {"vae": 3}
"""Seeds other than 0, for variants where an activation of seed 0 lies within rounding of LeakyReLU's kink: there the
slope is a matter of the rounding, and with it the gradient, in float32's third digit.
"""


def descending(variant, tiny, **flags):
    """A trainer by gradient descent: those that know Adam alone are given it, too."""
    it = trainer(variant, tiny, **plain(variant), seed=KINKS.get(variant, 0), **flags)
    for part in it.phases:
        part.optimizer = optimizers.make(replace(part.phase.optimizer, kind="sgd"), part.parameters)
    return it


def run(it, steps=STEPS):
    for _ in range(steps):
        it.step()
    return it


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variants_trace_computes_what_the_variant_computes(variant, arch, precision, tiny, interpreted):
    flags = {"arch": arch, "precision": precision, "channels": 3, "batch_size": 9}
    one = run(descending(variant, tiny, engine="eager", **flags))
    other = run(descending(variant, tiny, engine="compiled", **flags))
    assert_agree(one, other, TOLERANCE[precision])


@needs_c
@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variants_plan_computes_what_the_variant_computes(variant, arch, precision, tiny):
    flags = {"arch": arch, "precision": precision, "channels": 3, "batch_size": 9}
    one = run(descending(variant, tiny, engine="eager", **flags))
    other = run(descending(variant, tiny, engine="planned", **flags))
    assert other.engine.name == "planned"
    assert_agree(one, other, TOLERANCE[precision])


PUBLISHED = {
    "dcgan": {"discriminator_kernel": 5, "first_norm": "features", "bias": "off"},
    "cwgan-gp": {"conditioning": "text", "joint_width": 0, "discriminator_kernel": 5, "first_norm": "features"},
    "acgan": {"embedding_scale": "none"},
    "infogan": {"q_with": "discriminator", "code_deviation": 1.0, "lambda_con": 1.0},
    "bigan": {"joint_width": 0, "latent_layers": 0, "halved": True},
    "vae": {"likelihood": "bernoulli"},
}
"""What networks and losses have as they are published, and the defaults do not. Not --bias on: before batch norm a
bias's gradient is rounding, which no two engines share.
"""


@needs_c
@pytest.mark.parametrize("engine", ["planned", "compiled"])
@pytest.mark.parametrize("variant", PUBLISHED)
def test_published_forms_are_computed_by_other_engines_as_by_the_eager_one(variant, engine, tiny, interpreted):
    flags = {"arch": "dcgan", "precision": "fp64", "batch_size": 9, **PUBLISHED[variant]}
    one = run(descending(variant, tiny, engine="eager", **flags), 5)
    other = run(descending(variant, tiny, engine=engine, **flags), 5)
    assert_agree(one, other, TOLERANCE["fp64"])


@needs_c
@pytest.mark.parametrize("engine", ["planned", "compiled"])
@pytest.mark.parametrize(("variant", "precision"), [("dcgan", "fp32"), ("cwgan-gp", "fp64"), ("cyclegan", "fp64")])
def test_augmented_images_are_the_same_in_every_engine(variant, engine, precision, tiny, interpreted):
    flags = {"arch": "mlp", "precision": precision, "channels": 3, "batch_size": 9, "augment": "diffaug"}
    one = run(descending(variant, tiny, engine="eager", **flags), 3)
    other = run(descending(variant, tiny, engine=engine, **flags), 3)
    assert_agree(one, other, TOLERANCE[precision])


@needs_c
def test_a_plan_in_bfloat16_moves_weights_as_an_eager_update_does(tiny):
    """What is made of still weights once must be made again when their own phase has moved them."""
    flags = {"arch": "mlp", "precision": "bf16", "n_critic": 3, "batch_size": 32}
    one = run(descending("wgan-gp", tiny, engine="eager", **flags), 6)
    other = run(descending("wgan-gp", tiny, engine="planned", **flags), 6)
    assert_agree(one, other, 1e-2)


@needs_c
def test_an_update_that_no_plan_can_hold_runs_op_by_op_and_says_so(tiny, monkeypatch, capsys):
    def refuse(*_):
        raise Unsupported("tensors of torch.float16")

    monkeypatch.setattr(planned, "Plan", refuse)
    one = run(descending("gan", tiny, engine="eager", precision="fp64"), 2)
    other = run(descending("gan", tiny, engine="planned", precision="fp64"), 2)
    assert re.search("runs op by op.*float16", capsys.readouterr().err)
    assert_agree(one, other, TOLERANCE["fp64"])


@pytest.mark.skipif(selected(torch.device("cpu")) != "cpu", reason="needs the C extension, and GANKIT_IMPL to allow it")
@pytest.mark.skipif(not cpu.multiplies_well(), reason="needs AVX2")
@pytest.mark.parametrize(
    ("variant", "flags", "way", "products"),
    [
        # two layers, two generators, two passes a step
        ("cyclegan", {"arch": "resnet", "size": 64, "batch_size": 4, "blocks": 1, "patch_layers": 1}, winograd, 8),
        # two layers of the critic in two updates, each for the loss and twice for the penalty, and the generator's two
        ("wgan-gp", {"arch": "dcgan", "size": 32, "batch_size": 16, "n_critic": 2}, strided_winograd, 14),
    ],
    ids=["3x3", "4x4"],
)
def test_winograds_algorithm_keeps_as_near_to_float64_as_pytorchs_convolutions(
    variant, flags, way, products, tiny, interpreted, monkeypatch
):
    """A trace has PyTorch's convolutions. ReLU's kinks and the signs of L1 magnify any rounding, so the two are held to
    float64 and not to each other.
    """
    made = []
    whole = way.weight_gradient
    monkeypatch.setattr(way, "weight_gradient", lambda *args: made.append(args) or whole(*args))
    exact = run(descending(variant, tiny, engine="eager", precision="fp64", **flags), 5).tensors()
    distances = []
    for name in ("eager", "compiled"):
        found = run(descending(variant, tiny, engine=name, precision="fp32", **flags), 5).tensors()
        names = [key for key in exact if key.startswith("model/generator")]
        parts = [(found[key].double() - exact[key].double()).norm() for key in names]
        distances.append(torch.stack(parts).norm())
    assert len(made) == products * 5
    assert distances[0] <= 3 * distances[1]


def test_spectral_norm_is_the_same_in_a_trace(tiny, interpreted):
    flags = {"arch": "dcgan", "discriminator_norm": "spectral", "precision": "fp64", "size": 16}
    one, other = (run(descending("dcgan", tiny, engine=name, **flags)) for name in ("eager", "compiled"))
    assert_agree(one, other, TOLERANCE["fp64"])


@pytest.mark.parametrize("variant", ["dcgan"])
def test_compiled_updates_compute_what_eager_ones_do(variant, tiny):
    one = run(trainer(variant, tiny, engine="eager", precision="fp64"))
    other = run(trainer(variant, tiny, engine="compiled", precision="fp64"))
    assert_agree(one, other, TOLERANCE["fp64"])


@pytest.mark.slow
@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variants_compiled_updates_compute_what_eager_ones_do(variant, arch, precision, tiny):
    flags = {"arch": arch, "precision": precision}
    one = run(descending(variant, tiny, engine="eager", **flags))
    other = run(descending(variant, tiny, engine="compiled", **flags))
    assert_agree(one, other, TOLERANCE[precision])


def test_updates_that_share_a_graph_are_traced_together_and_others_alone(tiny, interpreted):
    shared = run(trainer("dcgan", tiny, engine="compiled"), 2).engine
    assert [[len(group) for group in groups] for groups in shared.groups.values()] == [[2]]
    apart = run(trainer("dcgan", tiny, engine="compiled", n_critic=2), 2).engine
    assert [[len(group) for group in groups] for groups in apart.groups.values()] == [[1], [1]]


def test_a_trace_reads_the_weights_of_its_step(tiny, interpreted):
    """A traced weight that became a constant would give the first step's gradients for ever."""
    it = run(trainer("dcgan", tiny, engine="compiled", precision="fp64"), 3)
    other = trainer("dcgan", tiny, engine="eager", precision="fp64")
    other.restore({name: tensor.clone() for name, tensor in it.tensors().items()}, it.done, it.drawn)
    for one in (it, other):
        one.rows = []
        one.step()
    (mine,), (theirs,) = it.take_rows(), other.take_rows()
    assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("engine_name", ["compiled", pytest.param("planned", marks=needs_c)])
@pytest.mark.parametrize("variant", ["dcgan", "wgan-gp", "cyclegan"])
def test_a_resumed_traced_run_equals_one_never_interrupted(variant, engine_name, tiny, tmp_path, interpreted):
    flags = {**tiny, "engine": engine_name, "checkpoint_every": 3, "log_every": 3}
    whole = gankit.train(variant, out=tmp_path / "whole", steps=6, **flags)
    gankit.train(variant, out=tmp_path / "half", steps=3, **{**flags, "decay_start": 1.0})
    if variant == "cyclegan":  # its rates fall over the run, so a longer one is another
        whole = gankit.train(variant, out=tmp_path / "again", steps=6, **{**flags, "decay_start": 1.0})
    half = gankit.resume(tmp_path / "half", steps=6, quiet=True)
    assert (half.root / "metrics.jsonl").read_bytes() == (whole.root / "metrics.jsonl").read_bytes()
    one, other = half.latest()[0], whole.latest()[0]
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize(("arch", "expected"), [("dcgan", "eager"), pytest.param("mlp", "planned", marks=needs_c)])
def test_the_engine_is_decided_before_the_run_and_written_down(arch, expected, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(choose, "PLAN_UPDATES", 6)
    monkeypatch.setattr(cpu, "multiplies_well", lambda: True)
    for steps, found in ((2, "eager"), (3, expected)):
        root = gankit.train("dcgan", out=tmp_path / str(steps), **{**tiny, "steps": steps, "arch": arch}).root
        assert json.loads((root / "config.json").read_text())["train"]["engine"] == found


def test_auto_weighs_the_length_of_the_run_the_device_and_the_networks(monkeypatch):
    model, convolving = nn.Linear(2, 2), nn.Sequential(nn.Conv2d(1, 1, 3))
    monkeypatch.setattr(cpu, "multiplies_well", lambda: True)
    few, many = choose.PLAN_UPDATES - 1, choose.PLAN_UPDATES
    assert [choose.choose_engine("cpu", n, model) for n in (few, many)] == ["eager", "planned"]
    assert choose.choose_engine("cpu", many, convolving) == "eager"
    assert [choose.choose_engine("cuda", n, convolving) for n in (choose.CAPTURE_UPDATES - 1, many)] == [
        "eager",
        "graph",
    ]
    monkeypatch.setattr(cpu, "multiplies_well", lambda: False)
    monkeypatch.setattr(choose, "has_compiler", lambda: True)
    few, many = choose.COMPILE_UPDATES - 1, choose.COMPILE_UPDATES
    assert [choose.choose_engine("cpu", n, model) for n in (few, many)] == ["eager", "compiled"]
    assert choose.choose_engine("cpu", many, convolving) == "eager"
    monkeypatch.setattr(choose, "has_compiler", lambda: False)
    assert choose.choose_engine("cpu", many, model) == "eager"


def test_the_length_of_a_run_counts_every_repeat():
    phases = (
        Phase("critic", (), gankit.OptimSpec(), repeat=lambda step: 100 if step < 2 else 5),
        Phase("generator", (), gankit.OptimSpec()),
    )
    assert updates(phases, 4) == 214
    assert updates(phases, 10_000) == 10 * (190 + 6 * 1000)


def test_an_engine_that_cannot_run_here_is_named_with_the_way_out(tiny, monkeypatch):
    with pytest.raises(UsageError, match="use compiled or eager"):
        trainer("dcgan", tiny, engine="graph", device="cpu")
    monkeypatch.setattr(choose, "has_compiler", lambda: False)
    with pytest.raises(UsageError, match="install one"):
        trainer("dcgan", tiny, engine="compiled", device="cpu")
    monkeypatch.setattr(cpu, "REASON", "the C extension is missing")
    with pytest.raises(UsageError, match="the C extension is missing; use compiled or eager"):
        trainer("dcgan", tiny, engine="planned", device="cpu")


@pytest.mark.parametrize("variant", ["wgan", "wgan-gp", "cyclegan"])
def test_replayed_updates_compute_what_eager_ones_do(variant, tiny):
    """Without a GPU this tests what is ours: fixed inputs, carried tensors, and a warm-up that leaves no trace."""
    one = run(trainer(variant, tiny, engine="eager", precision="fp64"))
    other = trainer(variant, tiny, engine="eager", precision="fp64")
    other.engine = CudaGraphEngine(other.model, other.engine.arithmetic, other.batches, recorder=Rerun())
    run(other)
    assert len(other.engine.captured) == 2
    assert_agree(one, other, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures CUDA graphs, and PyTorch sees no GPU here")
@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_captured_updates_compute_what_eager_ones_do(variant, arch, tiny):
    one = run(trainer(variant, tiny, engine="eager", precision="fp64", arch=arch, device="cuda"))
    other = run(trainer(variant, tiny, engine="graph", precision="fp64", arch=arch, device="cuda"))
    assert_agree(one, other, TOLERANCE["fp64"])
