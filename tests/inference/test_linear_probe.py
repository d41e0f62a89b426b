"""The linear classifiers of `gankit probe`, against minima that are found in other ways."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from gankit import RandomStream
from gankit.inference import probe
from gankit.inference.linear_probe import FEWEST, LinearProbe


def blobs(seed, n=300, d=6, apart=6.0):
    """Three classes around three corners."""
    labels = RandomStream(seed, "labels").integers(3, n)
    return apart * torch.eye(3, d)[labels] + RandomStream(seed, "blobs").normal(n, d), labels


def latents(n, d, seed=0):
    """Features [n, d] of three classes; few directions vary a thousand times as much as most, as in a VQ-VAE's."""
    spread = 30 / torch.arange(1, d + 1) + 0.03
    turned, _ = torch.linalg.qr(RandomStream(seed, "turned").normal(d, d))
    labels = RandomStream(seed, "labels").integers(3, n)
    x = RandomStream(seed, "x").normal(n, d) * spread
    x[:, 1:4] += 3 * F.one_hot(labels, 3)
    return x @ turned, labels


def weights_of(linear, loss):
    """(weights [classes, d], bias [classes]) on standardised features, float64: read off the scores of unit vectors."""
    d = linear.features.shape[1]
    units = linear.mean + torch.cat([torch.zeros(1, d), torch.eye(d)]) / linear.scale
    scores = linear.scores(units, loss).double()
    return (scores[1:] - scores[0]).T, scores[0]


def losses(labels):
    side = 2.0 * F.one_hot(labels, 3) - 1
    return {
        "logistic": lambda s: F.cross_entropy(s, labels, reduction="sum"),
        "svm": lambda s: F.relu(1 - side * s).square().sum(),
    }


def least(x, y, rounds=200):
    """The least sum of squared hinges + half the squared weights, of two sides ``y``, and the scores of ``x`` there.

    In float64 by Newton's method: where the samples inside the margin are known, the minimum is that of a square.
    """
    x, y = torch.cat([x.double(), torch.ones(len(x), 1).double()], 1), y.double()
    ridge = torch.eye(x.shape[1]).double()
    ridge[-1, -1] = 0
    w = torch.zeros(x.shape[1]).double()

    def total(w):
        return F.relu(1 - y * (x @ w)).square().sum() + 0.5 * (w @ ridge @ w)

    for _ in range(rounds):
        inside = y * (x @ w) < 1
        target = torch.linalg.solve(2 * x[inside].T @ x[inside] + ridge, 2 * x[inside].T @ y[inside])
        if torch.allclose(target, w, rtol=1e-9, atol=1e-12):
            return float(total(w)), x @ w
        w = min((w + 0.7**k * (target - w) for k in range(40)), key=lambda each: float(total(each)))
    raise AssertionError("Newton's method did not arrive")


@pytest.mark.parametrize(
    "classify",
    [
        lambda seen, unseen, labels: LinearProbe(seen, labels, 3).logistic(unseen),
        lambda seen, unseen, labels: LinearProbe(seen, labels, 3).svm(unseen),
        lambda seen, unseen, labels: probe.nearest(seen, unseen, labels, 3, 5),
    ],
    ids=["logistic", "svm", "neighbours"],
)
def test_probes_read_separable_classes_and_nothing_from_noise(classify):
    (seen, labels), (unseen, truth) = blobs(1), blobs(2)
    assert float((classify(seen, unseen, labels) == truth).double().mean()) > 0.97
    noise, more = RandomStream(3).normal(300, 6), RandomStream(4).normal(300, 6)
    assert 0.2 < float((classify(noise, more, labels) == truth).double().mean()) < 0.47


@pytest.mark.parametrize("kind", ["logistic", "svm"])
def test_on_narrow_features_the_derivative_is_0_where_the_classifier_stands(kind):
    x, labels = blobs(1, apart=1.0)
    loss, linear = losses(labels)[kind], LinearProbe(x, labels, 3)
    weight, bias = (each.requires_grad_() for each in weights_of(linear, loss))
    total = loss(linear.features.double() @ weight.T + bias) + 0.5 * weight.square().sum()
    assert max(float(slope.abs().max()) for slope in torch.autograd.grad(total, [weight, bias])) < 0.1


@pytest.mark.parametrize(("n", "d"), [(120, 300), (300, 120)], ids=["wide", "tall"])
def test_squared_errors_give_the_closed_form_of_ridge_regression(n, d):
    x, labels = latents(n, d)
    y = F.one_hot(labels, 3).double()
    linear = LinearProbe(x, labels, 3)
    weight, bias = weights_of(linear, lambda s: 0.5 * (s - y.float()).square().sum())
    z = linear.features.double()
    # In the dual form: the weights are combinations of the samples. The features' mean is 0, so the bias is the mean.
    expected = z.T @ torch.linalg.solve(z @ z.T + torch.eye(n).double(), y - y.mean(0))
    torch.testing.assert_close(weight, expected.T, atol=2e-4, rtol=0)
    torch.testing.assert_close(bias, y.mean(0), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("n", "d"), [(200, 300), (400, 50)], ids=["wide", "tall"])
def test_the_support_vector_machines_are_those_of_newtons_method(n, d):
    x, labels = latents(n, d)
    linear = LinearProbe(x, labels, 3)
    weight, bias = weights_of(linear, losses(labels)["svm"])
    scores = linear.features.double() @ weight.T + bias
    found = [least(linear.features, 2.0 * (labels == k) - 1) for k in range(3)]
    lowest = sum(each for each, _ in found)
    total = float(losses(labels)["svm"](scores)) + 0.5 * float(weight.square().sum())
    assert lowest - 1e-6 < total < 1.001 * lowest
    torch.testing.assert_close(scores, torch.stack([each for _, each in found], 1), atol=0.02, rtol=0)


@pytest.mark.parametrize("kind", ["logistic", "svm"])
def test_the_fewest_iterations_that_wide_features_get_come_near_the_minimum(kind, monkeypatch):
    """Were the widest directions not narrowed, the sums would still be 1.3 and 89 % too large then."""
    x, labels = latents(300, 500)
    loss, linear = losses(labels)[kind], LinearProbe(x, labels, 3)

    def total():
        weight, bias = weights_of(linear, loss)
        return float(loss(linear.features.double() @ weight.T + bias)) + 0.5 * float(weight.square().sum())

    lowest = total()
    monkeypatch.setattr("gankit.inference.linear_probe.PRODUCTS", FEWEST * 2 * x.numel() * 3)
    assert total() < 1.002 * lowest


def test_features_that_are_constant_or_as_they_are_shifted_and_scaled_change_nothing():
    (x, labels), (unseen, _) = blobs(1, apart=1.0), blobs(2)
    plain = LinearProbe(x, labels, 3)
    other = LinearProbe(torch.cat([100 * x + 7, torch.full((300, 1), 5.0)], 1), labels, 3)
    changed = torch.cat([100 * unseen + 7, torch.full((300, 1), 5.0)], 1)
    for kind in ("logistic", "svm"):
        assert torch.equal(getattr(plain, kind)(unseen), getattr(other, kind)(changed))
