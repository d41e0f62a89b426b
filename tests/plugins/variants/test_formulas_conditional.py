"""The variants of two players, with and without labels, against float64 NumPy written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from players import (
    LABELLED,
    N,
    added,
    cross_entropy,
    flat,
    norms,
    one_hot,
    players,
    same_row,
    same_weights,
    tiny_trainer,
)
from torch.nn.modules.batchnorm import _BatchNorm
from written_out import Adam, sigmoid

from gankit.config import configure


def saturating(s):
    p = sigmoid(s)
    return {**cross_entropy(s), "G": (np.log(1 - p), -p)}


def squares(s):
    return {
        "real": (0.5 * (s - 0.9) ** 2, s - 0.9),
        "fake": (0.5 * s**2, s),
        "G": (0.5 * (s - 1) ** 2, s - 1),
        "watched": s,
    }


GAMES = {
    "gan": ("gan", "none", False, cross_entropy, {}),
    "gan saturating": ("gan", "none", False, saturating, {"loss": "saturating"}),
    "lsgan": ("lsgan", "none", True, squares, {}),
    "cgan onehot": ("cgan", "onehot", False, cross_entropy, {}),
    "cgan embedding": ("cgan", "embedding", False, cross_entropy, {"embedding_width": 4}),
    "cgan text": ("cgan", "text", False, cross_entropy, {"text_width": 7}),
    "cgan off": ("cgan", "embedding", False, cross_entropy, {"embedding_width": 4, "discriminator_label": "off"}),
    "cdcgan onehot": ("cdcgan", "onehot", True, cross_entropy, {}),
    "cdcgan text": ("cdcgan", "text", True, saturating, {"text_width": 7, "loss": "saturating"}),
}


@pytest.mark.parametrize("game", GAMES)
def test_terms_and_three_steps_of_two_players_equal_the_paper_written_out(game):
    variant, kind, normed, losses, flags = GAMES[game]
    labelled = {} if kind == "none" else {"conditioning": kind}
    trainer = tiny_trainer(variant, label_smoothing=0.1, **labelled, **flags)
    generator, judge = players(trainer, kind, normed, told=flags.get("discriminator_label") != "off")
    optim_d, optim_g = (Adam(player.params, 2e-4, 0.5, 0.999) for player in (judge, generator))
    for step in range(3):
        batch, z = trainer.batches.batch(step), trainer.batches.noise("discriminator", step, 0)["z"].numpy()
        y = one_hot(batch.labels)
        fake = generator.forward(z, y)
        grads, row, watched = None, [], []
        for x, name in ((flat(batch), "real"), (fake, "fake")):
            found = losses(judge.forward(x, y))
            judge.backward(found[name][1] / N)
            grads = judge.grads if grads is None else added(grads, judge.grads)
            row.append(found[name][0].mean())
            watched.append(found["watched"].mean())
        written = [*row, sum(row), *watched, *norms(grads)]
        optim_d.step(grads)
        found = losses(judge.forward(fake, y))  # the same fakes, judged by the discriminator just moved
        generator.backward(judge.backward(found["G"][1] / N))
        written += [found["G"][0].mean()] * 2 + [found["watched"].mean(), *norms(generator.grads)]
        optim_g.step(generator.grads)
        same_row(trainer, step, written)
    same_weights([(trainer.model.discriminator, judge.params), (trainer.model.generator, generator.params)])


@pytest.mark.parametrize("variant", ["gan", "lsgan", "bigan", *LABELLED])
def test_no_batch_norm_has_the_epsilon_of_0_8_that_tutorials_pass_as_momentum(variant):
    model = tiny_trainer(variant).model
    assert {layer.eps for layer in model.modules() if isinstance(layer, _BatchNorm)} == {1e-5}


@pytest.mark.parametrize("variant", ["gan", "lsgan", "bigan", *LABELLED])
def test_the_discriminators_fakes_are_detached(variant):
    trainer = tiny_trainer(variant)
    phase = trainer.model.critic_name
    terms = trainer.model.terms(phase, trainer.batches.batch(0), trainer.batches.noise(phase, 0, 0), {})
    weights = [p for name in trainer.model.ema_networks for p in trainer.model.get_submodule(name).parameters()]
    assert set(torch.autograd.grad(sum(terms.losses.values()), weights, allow_unused=True)) == {None}


def test_the_defaults_are_those_published():
    found = {name: configure(name, {}) for name in ("gan", "lsgan", "bigan", *LABELLED)}
    o = found["gan"].options
    assert (o.arch, o.nz, o.lr_g, o.lr_d, o.beta1, o.beta2) == ("mlp", 100, 2e-4, 2e-4, 0.5, 0.999)
    o = found["acgan"].options
    assert (o.conditioning, o.embedding_width, o.nz, found["acgan"].train.batch_size) == ("embedding", 100, 100, 128)
    o = found["bigan"].options
    assert (o.nz, o.weight_decay, o.lr_g, found["bigan"].train.batch_size) == (50, 2.5e-5, 2e-4, 128)
    assert found["cgan"].options.arch == "mlp"
    assert {found[name].options.arch for name in ("cdcgan", "cwgan", "cwgan-gp", "acgan", "lsgan")} == {"dcgan"}
    assert (found["cwgan"].options.clip, found["cwgan-gp"].options.gp_weight) == (0.01, 10)
