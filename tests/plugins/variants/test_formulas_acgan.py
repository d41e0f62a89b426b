"""ACGAN against float64 NumPy written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from players import (
    CLASSES,
    N,
    Player,
    added,
    cross_entropy,
    flat,
    norms,
    one_hot,
    same_row,
    same_weights,
    tiny_trainer,
)
from torch.nn import functional as F
from written_out import Adam, Tanh


def named(logits, labels, weight):
    """(the weighted cross-entropy, its slope, the share of right ones) of logits [n, k]; the only softmax."""
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rows = np.arange(N)
    slope = p.copy()
    slope[rows, labels] -= 1
    return weight * -np.log(p[rows, labels]).mean(), weight * slope / N, (logits.argmax(1) == labels).mean()


@pytest.mark.parametrize("fake_class", [False, True], ids=["3-classes", "4-classes"])
def test_acgan_terms_and_three_steps_equal_the_paper_written_out(fake_class):
    trainer = tiny_trainer(
        "acgan", embedding_width=4, label_smoothing=0.1, class_weight_d=0.5, class_weight_g=2.0, fake_class=fake_class
    )
    generator = Player(trainer.model.generator, "embedding", "input", [False, True, True, True], Tanh())
    judge = Player(trainer.model.discriminator, "none", "nowhere", [False, True])
    assert judge.params[-1].shape == (1 + CLASSES + fake_class,)
    optim_d, optim_g = (Adam(player.params, 2e-4, 0.5, 0.999) for player in (judge, generator))
    for step in range(3):
        batch, z = trainer.batches.batch(step), trainer.batches.noise("discriminator", step, 0)["z"].numpy()
        labels, y = batch.labels.numpy(), one_hot(batch.labels)
        fake = generator.forward(z, y)
        grads, source, classes, watched = None, [], [], []
        for x, name in ((flat(batch), "real"), (fake, "fake")):
            out = judge.forward(x, y)
            found = cross_entropy(out[:, :1])
            of = np.full(N, CLASSES) if fake_class and name == "fake" else labels
            term, slope, right = named(out[:, 1:], of, 0.5)
            judge.backward(np.concatenate([found[name][1] / N, slope], 1))
            grads = judge.grads if grads is None else added(grads, judge.grads)
            source.append(found[name][0].mean())
            classes.append(term)
            watched += [found["watched"].mean()] + [right] * (name == "real")
        watched = [watched[0], watched[2], watched[1]]
        written = [*source, *classes, sum(source + classes), *watched, *norms(grads)]
        optim_d.step(grads)
        out = judge.forward(fake, y)
        found, (term, slope, right) = cross_entropy(out[:, :1]), named(out[:, 1:], labels, 2.0)
        generator.backward(judge.backward(np.concatenate([found["G"][1] / N, slope], 1)))
        terms = [found["G"][0].mean(), term]
        written += [*terms, sum(terms), found["watched"].mean(), right, *norms(generator.grads)]
        optim_g.step(generator.grads)
        same_row(trainer, step, written)
    same_weights([(trainer.model.discriminator, judge.params), (trainer.model.generator, generator.params)])


def test_softmax_is_taken_once_so_a_sure_and_right_class_head_has_terms_of_nothing(monkeypatch):
    trainer = tiny_trainer("acgan")
    batch = trainer.batches.batch(0)
    sure = torch.cat([torch.zeros(N, 1), 40 * F.one_hot(batch.labels, CLASSES)], 1).double()
    monkeypatch.setattr(trainer.model, "score", lambda noise, **images: [sure] * len(images))
    noise = trainer.batches.noise("discriminator", 0, 0)
    first = trainer.model.terms("discriminator", batch, noise, {})
    second = trainer.model.terms("generator", batch, trainer.batches.noise("generator", 0, 0), dict(first.carry))
    # A softmax of the softmax could not fall below log(1 + 2/e) = 0.55.
    terms = (first.losses["class real"], first.losses["class fake"], second.losses["class"])
    assert max(float(term) for term in terms) < 1e-15
    assert float(first.watch["accuracy real"]) == 1
