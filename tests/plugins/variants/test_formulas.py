"""The terms, gradients and weights of the variants against float64 calculations written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from written_out import Adam, Tanh, gradient_penalty, mlp, sigmoid

from gankit import ImageSet, RandomStream, Trainer
from gankit.config import configure
from gankit.models.losses import bce_fake, bce_real, generator_loss

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
TINY = {"arch": "mlp", "ngf": 1, "ndf": 1, "nz": 3, "batch_size": 5, "steps": 3, "precision": "fp64", "init": "default"}


def tiny_trainer(variant, **flags):
    images = RandomStream(0, "test images").integers(256, 17, 1, 4, 4).to(torch.uint8)
    return Trainer(configure(variant, {"preset": "paper", **TINY, **flags}), ImageSet(images))


def arrays(module):
    return [p.detach().numpy() for p in module.parameters()]


def generator_of(trainer, normed):
    norm = [i > 0 and normed for i in range(4)]
    return mlp(arrays(trainer.model.generator), sizes=4, norm=norm, last=Tanh())


def discriminator_of(trainer, normed):
    return mlp(arrays(trainer.model.discriminator), sizes=2, norm=[False, normed], last=None)


def flat(batch):
    return batch.images.numpy().reshape(len(batch.images), -1)


def test_batches_are_the_images_scaled_to_plus_minus_one():
    trainer = tiny_trainer("dcgan")
    batch = trainer.batches.batch(0)
    chosen = trainer.images.images[trainer.batches.order.batch(0, 5)].numpy()
    np.testing.assert_allclose(batch.images.numpy(), chosen / 127.5 - 1, rtol=0, atol=1e-15)


@pytest.mark.parametrize("decay_start", [1.0, 0.0])
def test_wgan_gp_terms_and_three_steps_equal_the_paper_written_out(decay_start):
    trainer = tiny_trainer(
        "wgan-gp", discriminator_norm="none", generator_norm="batch", n_critic=2, decay_start=decay_start, lr_d=1e-3
    )
    generator, critic = generator_of(trainer, True), discriminator_of(trainer, False)
    optim_d, optim_g = Adam(critic.params, 1e-3, 0.5, 0.9), Adam(generator.params, 1e-4, 0.5, 0.9)
    for step in range(3):
        factor = 1.0 if decay_start == 1 else (3 - step) / 3
        terms = []
        for repeat in range(2):
            real = flat(trainer.batches.batch(2 * step + repeat))
            noise = trainer.batches.noise("critic", step, repeat)
            fake = generator.forward(noise["z"].numpy())
            t = noise["t"].numpy()[:, None]
            penalty, grads, norms = gradient_penalty(critic, fake + t * (real - fake))
            grads = [10 * g for g in grads]
            on_real = critic.forward(real)
            critic.backward(np.full_like(on_real, -1 / 5))
            grads = [a + b for a, b in zip(grads, critic.grads, strict=True)]
            on_fake = critic.forward(fake)
            critic.backward(np.full_like(on_fake, 1 / 5))
            grads = [a + b for a, b in zip(grads, critic.grads, strict=True)]
            norm = np.sqrt(sum((g**2).sum() for g in grads))
            first = np.sqrt((grads[0] ** 2).sum())
            optim_d.step(grads, factor)
            loss = on_fake.mean() - on_real.mean() + 10 * penalty
            terms.append(
                [
                    -on_real.mean(),
                    on_fake.mean(),
                    10 * penalty,
                    loss,
                    on_real.mean(),
                    on_fake.mean(),
                    norms.mean(),
                    norm,
                    first,
                ]
            )
        on_fake = critic.forward(generator.forward(trainer.batches.noise("generator", step, 0)["z"].numpy()))
        generator.backward(critic.backward(np.full_like(on_fake, -1 / 5)))
        norm = np.sqrt(sum((g**2).sum() for g in generator.grads))
        first = np.sqrt((generator.grads[0] ** 2).sum())
        optim_g.step(generator.grads, factor)
        trainer.step()
        (row,) = trainer.take_rows()
        assert row.pop("step") == step + 1
        names = list(row)
        assert names[:4] == ["critic/real", "critic/fake", "critic/penalty", "critic/loss"]
        written = [*np.mean(terms, 0), -on_fake.mean(), -on_fake.mean(), on_fake.mean(), norm, first]
        np.testing.assert_allclose([row[name] for name in names], written, **CLOSE)
    for ours, theirs in zip(arrays(trainer.model.discriminator), critic.params, strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)
    for ours, theirs in zip(arrays(trainer.model.generator), generator.params, strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


@pytest.mark.parametrize("loss", ["non-saturating", "saturating"])
@pytest.mark.parametrize("normed", [True, False], ids=["batchnorm", "plain"])
def test_dcgan_terms_and_three_steps_equal_the_paper_written_out(loss, normed):
    kind = "batch" if normed else "none"
    trainer = tiny_trainer("dcgan", discriminator_norm=kind, loss=loss, label_smoothing=0.1)
    generator, critic = generator_of(trainer, True), discriminator_of(trainer, normed)
    optim_d, optim_g = Adam(critic.params, 2e-4, 0.5, 0.999), Adam(generator.params, 2e-4, 0.5, 0.999)
    for step in range(3):
        real, z = flat(trainer.batches.batch(step)), trainer.batches.noise("discriminator", step, 0)["z"].numpy()
        fake = generator.forward(z)
        on_real = critic.forward(real)
        critic.backward((sigmoid(on_real) - 0.9) / 5)
        grads = critic.grads
        on_fake = critic.forward(fake)
        critic.backward(sigmoid(on_fake) / 5)
        grads = [a + b for a, b in zip(grads, critic.grads, strict=True)]
        p_real, p_fake = sigmoid(on_real), sigmoid(on_fake)
        real_term = -(0.9 * np.log(p_real) + 0.1 * np.log(1 - p_real)).mean()
        fake_term = -np.log(1 - p_fake).mean()
        watched = [p_real.mean(), p_fake.mean()]
        norm = np.sqrt(sum((g**2).sum() for g in grads))
        written = [real_term, fake_term, real_term + fake_term, *watched, norm, np.sqrt((grads[0] ** 2).sum())]
        optim_d.step(grads)
        on_fake = critic.forward(fake)  # the same fakes, judged by the discriminator just moved
        p_fake = sigmoid(on_fake)
        if loss == "non-saturating":
            term, slope = -np.log(p_fake).mean(), -(1 - p_fake) / 5
        else:
            term, slope = np.log(1 - p_fake).mean(), -p_fake / 5
        generator.backward(critic.backward(slope))
        norm = np.sqrt(sum((g**2).sum() for g in generator.grads))
        written += [term, term, p_fake.mean(), norm, np.sqrt((generator.grads[0] ** 2).sum())]
        optim_g.step(generator.grads)
        trainer.step()
        (row,) = trainer.take_rows()
        assert row.pop("step") == step + 1
        np.testing.assert_allclose(list(row.values()), written, **CLOSE)
    for net, reference in ((trainer.model.discriminator, critic), (trainer.model.generator, generator)):
        for ours, theirs in zip(arrays(net), reference.params, strict=True):
            np.testing.assert_allclose(ours, theirs, **CLOSE)


def test_losses_equal_their_definitions_at_numbers_worked_out_by_hand():
    logits = torch.tensor([0.0, 2.0], dtype=torch.float64)
    half, sure = 0.5, 1 / (1 + np.exp(-2))
    assert float(bce_real(logits)) == pytest.approx(-(np.log(half) + np.log(sure)) / 2, rel=1e-12)
    assert float(bce_fake(logits)) == pytest.approx(-(np.log(1 - half) + np.log(1 - sure)) / 2, rel=1e-12)
    assert float(generator_loss(logits, "saturating")) == pytest.approx((np.log(1 - half) + np.log(1 - sure)) / 2)


def test_the_written_out_penalty_agrees_with_a_finite_difference():
    rng = np.random.default_rng(0)
    shapes = [(8, 16), (8,), (4, 8), (4,), (1, 4), (1,)]
    critic = mlp([rng.normal(size=s) for s in shapes], sizes=2, norm=[False, False], last=None)
    x = rng.normal(size=(5, 16))
    value, grads, _ = gradient_penalty(critic, x)
    for parameter, grad in zip(critic.params, grads, strict=True):
        where = tuple(0 for _ in parameter.shape)
        parameter[where] += 1e-6
        assert (gradient_penalty(critic, x)[0] - value) / 1e-6 == pytest.approx(grad[where], rel=1e-3, abs=1e-5)
        parameter[where] -= 1e-6
