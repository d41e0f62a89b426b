"""The r3gan networks: with every variant that takes them, every kind of label, and as they are at the start."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import fitted, options_of
from torch import nn

from gankit import RandomStream, Spec, Trainer
from gankit.config import configure
from gankit.models import Translator
from gankit.registry import registry

KINDS = ("onehot", "embedding", "text", "projection")
PLAIN = [name for name in registry().names("variants") if {"arch", "ndf"} <= options_of(name) and name != "cyclegan"]
LABELLED = [name for name in PLAIN if "discriminator_label" in options_of(name)]
SMALL = {"arch": "r3gan", "ngf": 4, "ndf": 4, "nz": 3}


def trained(variant, tiny, **flags):
    """After two steps, whose figures must be finite; and the weights that they left as they were. The bias of D's head
    is none: where a loss counts the difference of scores, it has slope 0.
    """
    options = fitted(variant, {**tiny, "arch": "r3gan", "steps": 2, "engine": "eager", **flags})
    if variant in ("wgan", "cwgan"):
        options |= {"warmup": 2, "clip": 1}  # at .01 a critic without norm has slopes that RMSprop rounds to none
    options.pop("quiet")
    it = Trainer(configure(variant, options))
    before = {name: weight.clone() for name, weight in it.model.named_parameters()}
    for _ in range(2):
        it.step()
    for row in it.take_rows():
        assert all(math.isfinite(value) for value in row.values())
    still = {name for name, weight in it.model.named_parameters() if torch.equal(weight, before[name])}
    return it, still - {"discriminator.head.bias"}


def built(variant, spec, **flags):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        options = configure(variant, {**SMALL, **flags}).options
        return registry().get("variants", variant)().build(options, spec)


def test_the_variants_are_all_adversarial_ones_that_do_not_translate():
    told = {"acgan", "bigan", "cr3gan", "csngan", "dcgan", "gan", "infogan", "lsgan", "r3gan", "sngan", "wgan-gp"}
    assert told < set(PLAIN)
    assert {"cgan", "cdcgan", "cwgan", "cwgan-gp", "csngan", "cr3gan"} == set(LABELLED)


@pytest.mark.parametrize("variant", PLAIN)
def test_every_adversarial_variant_takes_these_networks_and_moves_all_of_them(variant, tiny):
    it, still = trained(variant, tiny, channels=3)
    assert any(type(each).__name__ == "Residual" for each in it.model.generator.modules())
    assert any(type(each).__name__ == "Residual" for each in it.model.discriminator.modules())
    assert not isinstance(it.model, Translator)
    assert it.sample(3).shape == (3, 3, 8, 8)
    assert not still


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", LABELLED)
def test_every_kind_of_label_reaches_both_of_these_networks(variant, kind, tiny):
    it, still = trained(variant, tiny, conditioning=kind)
    labels = [name for name, _ in it.model.named_parameters() if ".label." in name]
    assert bool(labels) == (kind != "onehot")
    assert not still
    noise = it.batches.noise("sample", 0, 0)
    one, two = (it.model.sample({**noise, "labels": torch.full_like(noise["labels"], k)}) for k in (0, 1))
    assert not torch.equal(one, two)
    with torch.no_grad():
        score = [it.model.score({"labels": torch.full((8,), k)}, shown=one)[0] for k in (0, 1)]
    assert not torch.equal(*score)


@pytest.mark.parametrize("sides", [(28, 28), (32, 64), (10, 10)], ids=str)
def test_sizes_are_those_of_dcgan_and_oblong_ones_too(sides):
    model = built("r3gan", Spec(3, sides[0], width=sides[1]))
    images = model.generator(RandomStream(0, "z").normal(2, 3))
    assert images.shape == (2, 3, *sides)
    assert model.discriminator(images).shape == (2,)


@pytest.mark.parametrize("init", ["dcgan", "default"])
def test_blocks_start_as_the_identity_whatever_init_says(init):
    """Without norms the depth is trained only because each block adds nothing at first."""
    model = built("r3gan", Spec(1, 16), init=init)
    blocks = [each for each in model.modules() if type(each).__name__ == "Residual"]
    assert len(blocks) == 2 * 3
    for block in blocks:
        x = RandomStream(0, "x").normal(2, block.branch[0].in_channels, 4, 4)
        assert torch.equal(block(x), x)
        assert float(block.branch[0].weight.detach().std()) > 0.1


def test_no_norm_stands_in_them_but_spectral_and_then_no_branch_is_zero():
    norms = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)
    plain, spectral = (built("r3gan", Spec(1, 16), discriminator_norm=norm) for norm in ("none", "spectral"))
    assert not [each for model in (plain, spectral) for each in model.modules() if isinstance(each, norms)]
    for block in (each for each in spectral.discriminator.modules() if type(each).__name__ == "Residual"):
        assert all(hasattr(block.branch[i], "parametrizations") for i in (0, 2, 4))
        assert float(block.branch[4].weight.detach().abs().max()) > 0
