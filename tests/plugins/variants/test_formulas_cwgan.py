"""The conditional Wasserstein GANs against float64 NumPy written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from players import (
    PIXELS,
    N,
    added,
    flat,
    norms,
    one_hot,
    players,
    same_row,
    same_weights,
    tiny_trainer,
)
from torch.nn.modules.batchnorm import _BatchNorm
from written_out import Adam, RMSprop, gradient_penalty


@pytest.mark.parametrize("variant", ["cwgan", "cwgan-gp"])
def test_conditional_wasserstein_terms_and_three_steps_equal_the_papers_written_out(variant):
    clipped = variant == "cwgan"
    flags = {"warmup": 0, "clip": 0.05} if clipped else {}
    trainer = tiny_trainer(variant, n_critic=2, lr_d=1e-3, lr_g=1e-4, discriminator_norm="none", **flags)
    generator, critic = players(trainer, "onehot", False)
    make = RMSprop if clipped else lambda params, lr: Adam(params, lr, 0.5, 0.9)
    optim_d, optim_g = make(critic.params, 1e-3), make(generator.params, 1e-4)
    for step in range(3):
        rows = []
        for repeat in range(2):
            batch, noise = trainer.batches.batch(2 * step + repeat), trainer.batches.noise("critic", step, repeat)
            assert "labels" not in noise
            real, y = flat(batch), one_hot(batch.labels)
            fake = generator.forward(noise["z"].numpy(), y)
            on_real = critic.forward(real, y)
            critic.backward(np.full_like(on_real, -1 / N))
            grads = critic.grads
            on_fake = critic.forward(fake, y)
            critic.backward(np.full_like(on_fake, 1 / N))
            grads = added(grads, critic.grads)
            terms, watched = [-on_real.mean(), on_fake.mean()], [on_real.mean(), on_fake.mean()]
            if not clipped:
                t = noise["t"].numpy()[:, None]
                between = np.concatenate([fake + t * (real - fake), np.repeat(y, PIXELS, 1)], 1)
                penalty, slopes, lengths = gradient_penalty(critic.net, between, pixels=PIXELS)
                grads = added(grads, [10 * g for g in slopes])
                terms, watched = [*terms, 10 * penalty], [*watched, lengths.mean()]
            rows.append([*terms, sum(terms), *watched, *norms(grads)])
            optim_d.step(grads)
            for weight in critic.params if clipped else []:
                np.clip(weight, -0.05, 0.05, out=weight)
        noise = trainer.batches.noise("generator", step, 0)
        y = one_hot(noise["labels"])
        on_fake = critic.forward(generator.forward(noise["z"].numpy(), y), y)
        generator.backward(critic.backward(np.full_like(on_fake, -1 / N)))
        optim_g.step(generator.grads)
        written = [*np.mean(rows, 0), -on_fake.mean(), -on_fake.mean(), on_fake.mean(), *norms(generator.grads)]
        same_row(trainer, step, written)
    same_weights([(trainer.model.discriminator, critic.params), (trainer.model.generator, generator.params)])


def test_a_penalised_critic_draws_one_t_for_each_sample_and_warns_of_batch_norm(capsys):
    trainer = tiny_trainer("cwgan-gp")
    t = trainer.batches.noise("critic", 0, 0)["t"]
    assert t.shape == (N,)
    assert len(set(t.tolist())) == N
    assert not any(isinstance(layer, _BatchNorm) for layer in trainer.model.discriminator.modules())
    tiny_trainer("cwgan-gp", discriminator_norm="batch")
    assert "penalty holds each sample" in capsys.readouterr().err


def test_the_penalty_is_of_the_norm_of_a_whole_sample_and_not_of_each_pixel(monkeypatch):
    trainer = tiny_trainer("cwgan-gp")

    def quarters(noise, **images):
        return [x.flatten(1).sum(1) / 4 for x in images.values()]

    # Sixteen pixels of slope 1/4 each: of norm 1 together, and 9/16 from 1 if each were held to it alone.
    monkeypatch.setattr(trainer.model, "score", quarters)
    terms = trainer.model.terms("critic", trainer.batches.batch(0), trainer.batches.noise("critic", 0, 0), {})
    assert float(terms.losses["penalty"].detach()) == pytest.approx(0, abs=1e-15)
    assert float(terms.watch["slope"].detach()) == pytest.approx(1)
