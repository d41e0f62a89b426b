"""Conditional variants in every kind, architecture, precision and size; and a stranger's made conditional."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import pytest
import torch
from paths import ROOT

import gankit
from gankit import Trainer
from gankit.config import configure
from gankit.registry import registry
from gankit.training.engines import tracing
from gankit.training.engines.eager import EagerEngine
from gankit.training.update import Arithmetic

KINDS = ("onehot", "embedding", "text", "projection")
NEW = ("gan", "lsgan", "sngan", "r3gan", "cgan", "cdcgan", "cwgan", "cwgan-gp", "acgan", "csngan", "cr3gan", "bigan")


def trained(variant, tiny, **flags):
    options = {**tiny, "steps": 2, **({"warmup": 2} if variant == "cwgan" else {}), **flags}
    options.pop("quiet")
    it = Trainer(configure(variant, options))
    for _ in range(2):
        it.step()
    for row in it.take_rows():
        assert all(math.isfinite(value) for value in row.values())
    return it


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", ["cdcgan", "cwgan-gp", "acgan"])
def test_any_kind_of_label_goes_with_any_architecture_in_both_precisions(variant, kind, arch, precision, tiny):
    flags = {"conditioning": kind, "arch": arch, "precision": precision}
    it = trained(variant, tiny, channels=3, batch_size=7, n_critic=2, **flags)
    assert it.sample(5).shape == (5, 3, 8, 8)


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "layer", "spectral"])
@pytest.mark.parametrize("variant", ["cdcgan", "bigan"])
def test_what_is_joined_late_goes_with_any_norm(variant, norm, tiny):
    kind = {"conditioning": "embedding"} if variant == "cdcgan" else {}
    it = trained(variant, tiny, arch="dcgan", discriminator_norm=norm, **kind)
    joint = it.model.discriminator.joint[0]
    assert hasattr(joint, "parametrizations") == (norm == "spectral")


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 64, 128])
@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
@pytest.mark.parametrize("variant", NEW)
def test_every_variant_trains_at_its_sizes_in_grey_and_colour(variant, arch, size, channels, tiny):
    it = trained(variant, tiny, arch=arch, size=size, channels=channels, batch_size=6)
    assert it.sample(2).shape == (2, channels, size, size)


@pytest.mark.parametrize("kind", KINDS)
def test_the_layers_of_a_label_are_moved_and_averaged_with_the_network_they_feed(kind, tiny):
    it = trained("cdcgan", tiny, conditioning=kind, ema_halflife_images=50)
    names = [[name for name in part.names if ".label." in name] for part in it.phases]
    count = {"onehot": 0, "embedding": 1, "text": 2, "projection": 1}[kind]
    assert [len(some) for some in names] == [count, count]
    assert all(name.startswith("discriminator.label.") for name in names[0])
    averaged = dict(it.ema.model.named_parameters())
    for name in names[1]:
        assert not torch.equal(averaged[name], it.model.get_parameter(name))


@pytest.mark.parametrize("variant", ["cdcgan", "acgan", "bigan"])
def test_a_step_traced_as_a_graph_holds_the_eager_steps_gradients(variant, tiny):
    it = trained(variant, tiny, precision="fp64", **({"conditioning": "text"} if variant == "cdcgan" else {}))
    assert isinstance(it.engine, EagerEngine)
    updates = it.due(it.done)
    inputs = [it.batches(update.key) for update in updates]
    arithmetic = Arithmetic("cpu", it.dtype, autocast=False)
    traced = tracing.trace(it.model, arithmetic, [update.state for update in updates], inputs, {})
    terms = it.model.terms(updates[0].state.phase.name, *inputs[0], {})
    expected = torch.autograd.grad(sum(terms.losses.values()), updates[0].state.parameters)
    piece, state = traced.pieces[0], tracing.state_of(it.model)
    given = tracing.given_to(0, *inputs[0], {})
    taken = [state[source[2]].detach() if source[1] == "state" else given[source] for source in piece.takes]
    outputs = piece.graph(*taken)
    for ours, theirs in zip(outputs[: len(expected)], expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_strangers_variant_becomes_conditional_by_the_mixin_alone(tiny, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "gankit-hinge"))
    from gankit_hinge import HingeModel

    @dataclass(frozen=True)
    class CHingeOptions(gankit.ConditionalOptions, gankit.AdversarialOptions):
        """Hinge, told the class."""

    class CHingeModel(gankit.ConditionalModel, HingeModel):
        """Nothing but the two."""

    class CHinge(gankit.Variant):
        name, summary, paper, Options = "chinge", "conditional hinge", "none", CHingeOptions

        def build(self, options, spec):
            return CHingeModel(options, spec)

    entries = {**registry().entries["variants"], "chinge": type(registry().entries["variants"]["gan"])(
        "chinge", "conditional hinge", "a test", CHinge
    )}  # fmt: skip
    monkeypatch.setitem(registry().entries, "variants", entries)
    it = trained("chinge", tiny, instance_noise=0.1)
    assert it.model.conditions == {"class": 3}
    sys.modules.pop("gankit_hinge")


def test_images_that_name_classes_but_have_no_labels_are_refused(tiny):
    images = gankit.ImageSet(gankit.RandomStream(0, "x").integers(256, 20, 1, 8, 8).to(torch.uint8), classes=("a", "b"))
    options = {name: value for name, value in tiny.items() if name not in ("quiet", "size", "channels", "limit")}
    it = Trainer(configure("cgan", {**options, "steps": 1}), images)
    with pytest.raises(gankit.UsageError, match="give its ImageSet labels"):
        it.step()


@pytest.mark.parametrize("variant", ["gan", "wgan-gp", "cdcgan", "acgan", "infogan", "bigan"])
def test_instance_noise_is_on_what_the_discriminator_sees_and_on_nothing_else(variant, tiny):
    it = trained(variant, tiny, instance_noise=0.5)
    noise = {"instance_real": torch.full((2, 1, 8, 8), 0.25)}
    images = torch.zeros(2, 1, 8, 8)
    real, fake, between = it.model.shown(noise, real=images, fake=images, between=images)
    assert float(real.min()) == float(real.max()) == 0.25
    assert float(fake.abs().max()) == float(between.abs().max()) == 0
    phase = it.model.critic_name
    batch, drawn = it.batches.batch(0), it.batches.noise(phase, 5, 0)
    silent = {name: value * 0 if name.startswith("instance") else value for name, value in drawn.items()}
    assert {name for name in drawn if name.startswith("instance")} == {"instance_real", "instance_fake"}
    one, two = (it.model.terms(phase, batch, some, {}).losses for some in (drawn, silent))
    assert float(one["real"].detach()) != float(two["real"].detach())
    assert float(one["fake"].detach()) != float(two["fake"].detach())
