"""WGAN against float64 NumPy written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from written_out import RMSprop, Tanh, mlp

from gankit import ImageSet, RandomStream, Spec, Trainer
from gankit.config import configure
from gankit.registry import registry

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
# Not seed 0: its first layer has a unit of one sign over a whole batch. Batch norm then cancels the unit's bias, whose
# exact gradient is 0, and RMSprop divides the rounding error in it by itself.
TINY = {
    "arch": "mlp", "ngf": 1, "ndf": 1, "nz": 3, "batch_size": 5, "steps": 3, "precision": "fp64", "init": "default",
    "seed": 1,
}  # fmt: skip


def tiny_trainer(**flags):
    images = RandomStream(0, "test images").integers(256, 17, 1, 4, 4).to(torch.uint8)
    return Trainer(configure("wgan", {**TINY, **flags}), ImageSet(images))


def arrays(module):
    return [p.detach().numpy() for p in module.parameters()]


@pytest.mark.parametrize("normed", [True, False], ids=["batchnorm", "plain"])
@pytest.mark.parametrize("decay_start", [1.0, 0.0])
def test_wgan_terms_and_three_steps_equal_algorithm_1_written_out(normed, decay_start):
    kind = "batch" if normed else "none"
    trainer = tiny_trainer(
        discriminator_norm=kind, n_critic=2, warmup=4, warmup_steps=1, lr_d=1e-3, clip=0.05, decay_start=decay_start
    )
    generator = mlp(arrays(trainer.model.generator), sizes=4, norm=[False, True, True, True], last=Tanh())
    critic = mlp(arrays(trainer.model.discriminator), sizes=2, norm=[False, normed], last=None)
    optim_d, optim_g = RMSprop(critic.params, 1e-3), RMSprop(generator.params, 5e-5)
    draw = 0
    for step in range(3):
        factor = 1.0 if decay_start == 1 else (3 - step) / 3
        terms = []
        for repeat in range(4 if step == 0 else 2):
            real = trainer.batches.batch(draw).images.numpy().reshape(5, -1)
            draw += 1
            fake = generator.forward(trainer.batches.noise("critic", step, repeat)["z"].numpy())
            on_real = critic.forward(real)
            critic.backward(np.full_like(on_real, -1 / 5))
            grads = critic.grads
            on_fake = critic.forward(fake)
            critic.backward(np.full_like(on_fake, 1 / 5))
            grads = [a + b for a, b in zip(grads, critic.grads, strict=True)]
            norms = [np.sqrt(sum((g**2).sum() for g in grads)), np.sqrt((grads[0] ** 2).sum())]
            real_term, fake_term = -on_real.mean(), on_fake.mean()
            terms.append([real_term, fake_term, real_term + fake_term, on_real.mean(), on_fake.mean(), *norms])
            optim_d.step(grads, factor)
            for weight in critic.params:
                np.clip(weight, -0.05, 0.05, out=weight)
        on_fake = critic.forward(generator.forward(trainer.batches.noise("generator", step, 0)["z"].numpy()))
        generator.backward(critic.backward(np.full_like(on_fake, -1 / 5)))
        norms = [np.sqrt(sum((g**2).sum() for g in generator.grads)), np.sqrt((generator.grads[0] ** 2).sum())]
        optim_g.step(generator.grads, factor)
        trainer.step()
        (row,) = trainer.take_rows()
        assert row.pop("step") == step + 1
        written = [*np.mean(terms, 0), -on_fake.mean(), -on_fake.mean(), on_fake.mean(), *norms]
        np.testing.assert_allclose(list(row.values()), written, **CLOSE)
    for net, reference in ((trainer.model.discriminator, critic), (trainer.model.generator, generator)):
        for ours, theirs in zip(arrays(net), reference.params, strict=True):
            np.testing.assert_allclose(ours, theirs, **CLOSE)


def critic_updates(**options):
    config = configure("wgan", {"arch": "mlp", "ngf": 1, "ndf": 1, **options})
    model = registry().get("variants", "wgan")().build(config.options, Spec(1, 8))
    return model.phases[0].times


def test_the_critic_is_trained_longer_at_the_start_and_every_500th_step():
    times = critic_updates()
    assert [times(step) for step in (0, 24, 25, 26, 499, 500, 501, 1000)] == [100, 100, 5, 5, 5, 100, 5, 100]
    assert critic_updates(warmup=0)(0) == 5


def test_the_defaults_are_those_published():
    config = configure("wgan", {})
    o = config.options
    assert (o.optimizer, o.lr_g, o.lr_d, o.clip, o.n_critic) == ("rmsprop", 5e-5, 5e-5, 0.01, 5)
    assert config.train.batch_size == 64


def test_every_weight_of_the_critic_and_none_of_the_generator_is_clipped():
    trainer = tiny_trainer(warmup=0, clip=0.003)
    trainer.step()
    assert max(float(p.detach().abs().max()) for p in trainer.model.discriminator.parameters()) <= 0.003
    assert max(float(p.detach().abs().max()) for p in trainer.model.generator.parameters()) > 0.003


def test_the_critics_fakes_are_detached():
    trainer = tiny_trainer(warmup=0)
    terms = trainer.model.terms("critic", trainer.batches.batch(0), trainer.batches.noise("critic", 0, 0), {})
    weights = list(trainer.model.generator.parameters())
    assert set(torch.autograd.grad(sum(terms.losses.values()), weights, allow_unused=True)) == {None}
    assert dict(terms.carry) == {}


def test_the_critics_score_has_no_sigmoid():
    trainer = tiny_trainer()
    with torch.no_grad():
        trainer.model.discriminator.head.bias.fill_(7.0)
        scores = trainer.model.discriminator(torch.zeros(2, 1, 4, 4, dtype=torch.float64))
    assert float(scores.min()) > 5
