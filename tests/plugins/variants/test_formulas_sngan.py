"""SNGAN, R3GAN and the projection against float64 NumPy written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from players import N, Player, added, flat, norms, one_hot, same_row, same_weights, tiny_trainer
from written_out import Adam, LeakyReLU, Linear, Net, Spectral, Tanh, sigmoid, slope_penalty

from gankit import ImageSet, Trainer
from gankit.config import configure

NARROW = {"embedding_width": 4}
KINDS = {
    "sngan": {}, "r3gan": {}, "csngan": NARROW, "cr3gan": NARROW, "cgan": {**NARROW, "conditioning": "projection"},
}  # fmt: skip


class Projecting:
    """D(x, y) = d(x) + <V y, h>; where ``spectral``, the largest singular value of every weight is held at 1."""

    def __init__(self, module, *, spectral):
        layers = [module.trunk[1], module.trunk[4], module.head]
        label = module.label.layer if hasattr(module, "label") else None
        one, two, last = (self.layer(each, spectral) for each in layers)
        self.label = None if label is None else self.layer(label, spectral)
        self.body, self.last = Net(one, LeakyReLU(), two, LeakyReLU()), last
        self.whole = Net(*self.body.layers, last)
        self.spectral, self.layers = spectral, [one, two, last, *([self.label] if self.label else [])]

    @staticmethod
    def layer(module, spectral):
        """A layer with the weights of ``module``; a copy, so that it is moved by itself."""
        bias = None if module.bias is None else module.bias.detach().numpy().copy()
        if not spectral:
            return Linear(module.weight.detach().numpy().copy(), bias)
        state = module.parametrizations.weight
        u, v = (vector.numpy().copy() for vector in (state[0]._u, state[0]._v))
        return Spectral(state.original.detach().numpy().copy(), bias, u, v)

    @property
    def params(self):
        """In the order of the module's own: a spectral weight stands behind its bias."""
        return [p for layer in self.layers for p in self.ordered(layer.params)]

    def ordered(self, pair):
        return list(reversed(pair)) if self.spectral else list(pair)

    def update(self):
        for layer in self.layers if self.spectral else []:
            layer.iterate()

    def forward(self, x, y):
        self.h = self.body.forward(x)
        out = self.last.forward(self.h)
        if self.label is not None:
            self.code = self.label.forward(y)
            out = out + (self.code * self.h).sum(1, keepdims=True)
        return out

    def backward(self, slope):
        at_h = self.last.backward(slope)
        if self.label is not None:
            self.label.backward(slope * self.h)
            at_h = at_h + slope * self.code
        at_x = self.body.backward(at_h)
        self.grads = [g for layer in self.layers for g in self.ordered(layer.grads)]
        return at_x

    def penalty(self, x, y):
        """The mean squared slope at ``x`` with its gradients, and the norms."""
        code, weight = (None, None) if self.label is None else (y, self.label.params[0])
        value, grads, by_label, lengths = slope_penalty(self.whole, x, code, weight)
        return value, grads if by_label is None else [*grads, by_label], lengths


def softplus(x):
    return np.log1p(np.exp(x))


def hinge(s):
    return {
        "real": (np.maximum(0, 1 - s), -(s < 1).astype(float)),
        "fake": (np.maximum(0, 1 + s), (s > -1).astype(float)),
        "G": (-s, -np.ones_like(s)),
        "watched": s,
    }


def entropy(s):
    p = sigmoid(s)
    return {"real": (softplus(-s), p - 1), "fake": (softplus(s), p), "G": (softplus(-s), p - 1), "watched": p}


def start(variant, **flags):
    """A tiny trainer, its players in NumPy, and an optimizer for each."""
    trainer = tiny_trainer(variant, **KINDS[variant], arch="mlp", generator_norm="batch", **flags)
    judge = Projecting(trainer.model.discriminator, spectral="sngan" in variant)
    kind, where = ("embedding", "input") if variant.startswith("c") else ("none", "nowhere")
    generator = Player(trainer.model.generator, kind, where, [False, True, True, True], Tanh())
    o = trainer.model.options
    optims = [Adam(p.params, 2e-4, o.beta1, o.beta2) for p in (judge, generator)]
    return trainer, generator, judge, *optims


@pytest.mark.parametrize("variant", ["sngan", "csngan", "cgan"])
def test_terms_and_three_steps_with_a_spectral_or_projecting_discriminator_equal_the_papers(variant):
    trainer, generator, judge, optim_d, optim_g = start(variant)
    losses = entropy if variant == "cgan" else hinge
    for step in range(3):
        batch, z = trainer.batches.batch(step), trainer.batches.noise("discriminator", step, 0)["z"].numpy()
        y = one_hot(batch.labels)
        fake = generator.forward(z, y)
        judge.update()  # once an update: real and fake pass together
        grads, row, watch = None, [], []
        for x, name in ((flat(batch), "real"), (fake, "fake")):
            found = losses(judge.forward(x, y))
            judge.backward(found[name][1] / N)
            grads = judge.grads if grads is None else added(grads, judge.grads)
            row.append(found[name][0].mean())
            watch.append(found["watched"].mean())
        first = next(g for g in grads if g.ndim > 1)
        written = [*row, sum(row), *watch, norms(grads)[0], np.sqrt((first**2).sum())]
        optim_d.step(grads)
        judge.update()
        found = losses(judge.forward(fake, y))
        generator.backward(judge.backward(found["G"][1] / N))
        written += [found["G"][0].mean()] * 2 + [found["watched"].mean(), *norms(generator.grads)]
        optim_g.step(generator.grads)
        same_row(trainer, step, written)
    same_weights([(trainer.model.discriminator, judge.params), (trainer.model.generator, generator.params)])


@pytest.mark.parametrize("n_critic", [1, 2])
@pytest.mark.parametrize("variant", ["r3gan", "cr3gan"])
def test_r3gan_terms_and_three_steps_equal_the_paper_written_out(variant, n_critic):
    trainer, generator, judge, optim_d, optim_g = start(variant, gamma=3.0, n_critic=n_critic)
    draws = n_critic if n_critic == 1 else n_critic + 1  # G's phase draws its own real images where it has own fakes
    for step in range(3):
        rows = []
        for repeat in range(n_critic):
            batch = trainer.batches.batch(draws * step + repeat)
            real, y = flat(batch), one_hot(batch.labels)
            fake = generator.forward(trainer.batches.noise("discriminator", step, repeat)["z"].numpy(), y)
            at_real, grads_real, slope_real = judge.penalty(real, y)
            at_fake, grads_fake, slope_fake = judge.penalty(fake, y)
            grads = [3.0 / 2 * g for g in added(grads_real, grads_fake)]
            on_real, on_fake = judge.forward(real, y), judge.forward(fake, y)
            slope = sigmoid(on_fake - on_real) / N
            judge.backward(slope)
            grads = added(grads, judge.grads)
            judge.forward(real, y)
            judge.backward(-slope)
            grads = added(grads, judge.grads)
            terms = [softplus(on_fake - on_real).mean(), 1.5 * at_real, 1.5 * at_fake]
            watch = [on_real.mean(), on_fake.mean(), slope_real.mean(), slope_fake.mean()]
            rows.append([*terms, sum(terms), *watch, *norms(grads)])
            optim_d.step(grads)
        if n_critic > 1:
            batch = trainer.batches.batch(draws * step + n_critic)
            real, y = flat(batch), one_hot(batch.labels)
            fake = generator.forward(trainer.batches.noise("generator", step, 0)["z"].numpy(), y)
        on_real, on_fake = judge.forward(real, y), judge.forward(fake, y)
        generator.backward(judge.backward(-sigmoid(on_real - on_fake) / N))
        term = softplus(on_real - on_fake).mean()
        optim_g.step(generator.grads)
        written = [*np.mean(rows, 0), term, term, on_real.mean(), on_fake.mean(), *norms(generator.grads)]
        same_row(trainer, step, written)
    same_weights([(trainer.model.discriminator, judge.params), (trainer.model.generator, generator.params)])


def test_a_projection_is_linear_in_the_shares_of_classes():
    trainer = tiny_trainer("csngan", arch="mlp")
    trainer.model.eval()
    images = torch.randn(1, 1, 4, 4, dtype=torch.float64)
    shares = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0.5, 0.5, 0]], dtype=torch.float64)
    one, two, half = (trainer.model.score({"labels": each[None]}, x=images)[0].detach() for each in shares)
    assert float((one - two).abs()) > 1e-4
    torch.testing.assert_close((one + two) / 2, half, rtol=1e-10, atol=1e-12)


def test_penalties_beside_batch_norm_are_warned_of(capsys):
    tiny_trainer("r3gan", discriminator_norm="batch")
    assert "penalties hold each sample" in capsys.readouterr().err


@pytest.mark.parametrize("init", ["dcgan", "default"])
def test_the_initial_weights_of_the_r3gan_networks_survive_init_and_a_block_starts_as_the_identity(init):
    config = configure("r3gan", {"init": init, "ngf": 8, "ndf": 8, "nz": 3, "steps": 1, "precision": "fp64"})
    model = Trainer(config, ImageSet(torch.zeros(4, 1, 8, 12, dtype=torch.uint8))).model
    for block in (model.discriminator.trunk[1], model.generator.blocks[1][-1]):
        # A gain of sqrt(2 / 1.04) for LeakyReLU, 2 blocks, 8 inputs.
        assert float(block.branch[0].weight.detach().std()) == pytest.approx(1.387 * 2**-0.25 * 8**-0.5, rel=0.3)
        x = torch.linspace(-1, 1, 8 * 16, dtype=torch.float64).view(1, 8, 4, 4)
        assert torch.equal(block(x), x)
    assert model.sample({"z": torch.ones(2, 3, dtype=torch.float64)}).shape == (2, 1, 8, 12)
