"""`gankit profile step`: its figures are those of the step that is trained."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from paths import ROOT

from gankit import UsageError
from gankit.cli.main import main
from gankit.config import configure
from gankit.cpu import strided_winograd
from gankit.kernels import cpu, prefer_impl
from gankit.profiling.step import Products, floor, phase_times, profile_step
from gankit.training.trainer import Trainer

BENCHMARKS = ROOT / "benchmarks"


def config(tiny, variant="dcgan", **flags):
    options = {**tiny, "steps": 100, **flags}
    options.pop("quiet")
    return configure(variant, options)


def test_the_profile_names_every_phase_and_its_shares_are_shares(tiny):
    found = profile_step(config(tiny, "wgan-gp"), steps=3, rounds=1)
    assert set(found.phases) == {"critic", "generator"}
    assert sum(found.phases.values()) <= 1.2 * found.p80
    assert 0 < found.share < 1
    assert found.floor > 0
    assert found.images_per_s == pytest.approx(5 * 8 / found.seconds)
    assert found.ratios == {}


@pytest.mark.skipif(bool(cpu.REASON), reason=f"plans run in the C extension: {cpu.REASON}")
def test_the_products_of_plans_are_timed_though_pytorch_does_not_see_them(tiny):
    found = profile_step(config(tiny, "wgan-gp", engine="planned"), steps=3, rounds=1)
    assert found.engine == "planned"
    assert 0 < found.share < 1


@pytest.mark.skipif(not cpu.multiplies_well(), reason="needs the C extension, and AVX2")
def test_convolutions_by_winograds_algorithm_are_seen_though_pytorch_does_not_see_them(tiny, monkeypatch):
    flags = {"arch": "dcgan", "size": 32, "channels": 3, "ngf": 64, "ndf": 64, "batch_size": 32, "limit": 40}
    made = []
    whole = strided_winograd.weight_gradient
    monkeypatch.setattr(strided_winograd, "weight_gradient", lambda *args: made.append(args) or whole(*args))
    with prefer_impl("cpu"):
        found = profile_step(config(tiny, "dcgan", **flags), steps=2, rounds=1)
    assert made
    assert found.share > 0.4  # 0.75 here; without them less than 0.2


def test_the_floor_holds_every_product_of_a_step_and_nothing_else(tiny):
    products = Products()
    weight, x = torch.randn(3, 4), torch.randn(2, 4, requires_grad=True)
    with products:
        torch.autograd.grad((torch.nn.functional.linear(x, weight).tanh() * 2).sum(), x)
    assert [func.overloadpacket.__name__ for func, _, _ in products.calls] == ["mm", "mm"]
    assert [arg.shape for arg in products.calls[0][1]] == [(2, 4), (4, 3)]
    it = Trainer(config(tiny))
    it.step()
    before = {name: tensor.clone() for name, tensor in it.model.named_parameters()}
    assert floor(it) > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in it.model.named_parameters())


def test_phases_are_timed_once_a_step_however_often_they_repeat(tiny):
    it, found = Trainer(config(tiny, "wgan-gp", n_critic=3)), {}
    with phase_times(it, found):
        for _ in range(4):
            it.step()
    it.step()
    assert {name: len(times) for name, times in found.items()} == {"critic": 4, "generator": 4}


def test_both_baselines_take_turns_with_it_and_a_trace_can_be_had(tiny, tmp_path):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in tiny.items() if name != "quiet"]
    own = [
        "--timed-steps=2",
        "--rounds=2",
        f"--baselines={BENCHMARKS}",
        f"--trace={tmp_path / 'trace.json'}",
        "--json",
    ]
    result = CliRunner().invoke(main, ["profile", "step", "dcgan", *own, *flags], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    assert set(found["ratios"]) == {"careful", "textbook"}
    assert all(ratio > 0 for ratio in found["ratios"].values())
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def test_a_variant_without_a_baseline_is_named_and_so_is_a_folder_without_any(tiny, tmp_path):
    with pytest.raises(UsageError, match="no baseline trains 'infogan'"):
        profile_step(config(tiny, "infogan"), steps=1, rounds=1, baselines=BENCHMARKS)
    with pytest.raises(UsageError, match=r"has no careful\.py"):
        profile_step(config(tiny), steps=1, rounds=1, baselines=tmp_path)
