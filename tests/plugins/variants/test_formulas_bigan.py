"""BiGAN against float64 NumPy written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from players import (
    N,
    Player,
    added,
    cross_entropy,
    flat,
    norms,
    same_row,
    same_weights,
    tiny_trainer,
)
from torch.nn import functional as F
from written_out import Adam, Tanh, sigmoid

from gankit import RandomStream, Spec
from gankit.config import configure
from gankit.registry import registry


class Joint(Player):
    """BiGAN's D(x, z): a Player whose label is z; ``backward`` gives the slopes at x and at z."""

    def __init__(self, module, normed):
        super().__init__(module, "latent", "features", [False, normed])

    def backward(self, slope):
        return super().backward(slope), self.code.at_input


@pytest.mark.parametrize("half", [1, 0.5], ids=["sums", "halved"])
@pytest.mark.parametrize("ratio", [{}, {"n_critic": 2}], ids=["shared", "two-to-one"])
@pytest.mark.parametrize("normed", [True, False], ids=["batchnorm", "plain"])
def test_bigan_terms_and_three_steps_equal_the_paper_written_out(normed, ratio, half):
    kind = "batch" if normed else "none"
    flags = {"label_smoothing": 0.1, "weight_decay": 0.01, "halved": half == 0.5}
    trainer = tiny_trainer("bigan", discriminator_norm=kind, **flags, **ratio)
    generator = Player(trainer.model.generator, "none", "nowhere", [False, True, True, True], Tanh())
    encoder = Player(trainer.model.encoder, "none", "nowhere", [False, normed])
    judge = Joint(trainer.model.discriminator, normed)
    both = generator.params + encoder.params
    optim_d, optim_g = (Adam(params, 2e-4, 0.5, 0.999) for params in (judge.params, both))
    draw = 0
    for step in range(3):
        rows = []
        for repeat in range(ratio.get("n_critic", 1)):
            x, z = flat(trainer.batches.batch(draw)), trainer.batches.noise("discriminator", step, repeat)["z"].numpy()
            draw += 1
            made, grads, row, watched = [(x, encoder.forward(x, None)), (generator.forward(z, None), z)], None, [], []
            for (image, latent), name in zip(made, ("real", "fake"), strict=True):
                found = cross_entropy(judge.forward(image, latent))
                judge.backward(half * found[name][1] / N)
                grads = judge.grads if grads is None else added(grads, judge.grads)
                row.append(half * found[name][0].mean())
                watched.append(found["watched"].mean())
            rows.append([*row, sum(row), *watched, *norms(grads)])
            optim_d.step(added(grads, [0.01 * p for p in judge.params]))
        if ratio:
            x, z = flat(trainer.batches.batch(draw)), trainer.batches.noise("generator", step, 0)["z"].numpy()
            draw += 1
            made = [(x, encoder.forward(x, None)), (generator.forward(z, None), z)]
        p = sigmoid(judge.forward(*made[0]))
        encoder.backward(judge.backward(half * p / N)[1])  # E makes real pairs look made
        q = sigmoid(judge.forward(*made[1]))
        generator.backward(judge.backward(half * (q - 1) / N)[0])  # G makes made pairs look real
        terms = [-half * np.log(1 - p).mean(), -half * np.log(q).mean()]
        written = [*np.mean(rows, 0), *terms, sum(terms), p.mean(), q.mean()]
        written += [*norms(generator.grads), *norms(encoder.grads)]
        optim_g.step(added(generator.grads + encoder.grads, [0.01 * p for p in both]))
        same_row(trainer, step, written)
    model = trainer.model
    same_weights(
        [(model.discriminator, judge.params), (model.generator, generator.params), (model.encoder, encoder.params)]
    )


def test_bigans_code_turns_the_slope_at_the_image_and_not_only_the_score():
    model = tiny_trainer("bigan").model.eval()
    slopes = []
    for code in (-1.0, 1.0):
        images = RandomStream(0, "x").normal(2, 1, 4, 4).double().requires_grad_()
        scores = model.discriminator(images, model.discriminator.latent(torch.full((2, 3), code).double()))
        slopes.append(torch.autograd.grad(scores.sum(), images)[0])
    assert float((slopes[0] - slopes[1]).norm()) > 1e-3 * float(slopes[0].norm())


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_without_a_joint_layer_a_bigans_score_is_a_sum_of_one_of_x_and_one_of_z(layers):
    """The published head: one linear layer over the features of x and z, or what its own layers make of z."""
    judge = tiny_trainer("bigan", joint_width=0, latent_layers=layers).model.eval().discriminator
    images, z = RandomStream(0, "x").normal(5, 1, 4, 4).double(), RandomStream(0, "z").normal(5, 3).double()
    weight, bias = (p.detach().numpy() for p in judge.head.parameters())
    code = z.numpy()
    for layer in [module for module in judge.latent if hasattr(module, "weight")]:
        code = code @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        code = np.where(code > 0, code, 0.2 * code)
    features = judge.trunk(images).detach().numpy()
    by_hand = np.concatenate([features, code], 1) @ weight[0] + bias[0]
    np.testing.assert_allclose(judge(images, judge.latent(z)).detach().numpy(), by_hand, rtol=1e-10)
    assert len([module for module in judge.latent if hasattr(module, "weight")]) == layers


@pytest.mark.parametrize("arch", ["dcgan", "mlp"])
def test_a_bigans_discriminator_hears_of_z_among_thousands_of_features(arch):
    """Of the variance of the joint layer's sums; of what convolutions find, z joined as it is had 1 to 3 %."""
    config = configure("bigan", {"ngf": 2, "ndf": 16, "arch": arch})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        judge = registry().get("variants", "bigan")().build(config.options, Spec(1, 28)).discriminator
    # Images as smooth as clothes are: noise in every pixel would cancel in a convolution.
    images = F.interpolate(RandomStream(0, "x").normal(100, 1, 4, 4), 28, mode="bilinear").clamp(-1, 1)
    with torch.no_grad():
        found, weight = judge.trunk(images), judge.joint[0].weight
        of_z = judge.latent(2 * RandomStream(0, "z").uniform(100, 50) - 1) @ weight[:, found.shape[1] :].T
        of_x = found @ weight[:, : found.shape[1]].T
    share = float(of_z.var(0).mean() / (of_z.var(0) + of_x.var(0)).mean())
    assert 0.08 < share < 0.5
