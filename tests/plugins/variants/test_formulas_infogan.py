"""InfoGAN against float64 NumPy written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from written_out import Adam, Net, Tanh, mlp, sigmoid

from gankit import ImageSet, RandomStream, Trainer
from gankit.config import configure

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
N = 5
TINY = {"arch": "mlp", "ngf": 1, "ndf": 1, "nz": 3, "batch_size": N, "steps": 3, "precision": "fp64", "init": "default"}


def tiny_trainer(**flags):
    images = RandomStream(0, "test images").integers(256, 17, 1, 4, 4).to(torch.uint8)
    return Trainer(configure("infogan", {**TINY, **flags}), ImageSet(images))


def arrays(module):
    return [p.detach().numpy() for p in module.parameters()]


class Written:
    """The three networks, D's trunk apart, and the terms with their slopes."""

    def __init__(self, model, normed, deviation=None):
        self.deviation = deviation
        self.generator = mlp(arrays(model.generator), sizes=4, norm=[False, True, True, True], last=Tanh())
        whole = mlp(arrays(model.discriminator), sizes=2, norm=[False, normed], last=None)
        self.trunk, self.head = Net(*whole.layers[:-1]), Net(whole.layers[-1])
        self.q = mlp(arrays(model.q), sizes=1, norm=[normed], last=None)

    def make(self, noise):
        one_hot = np.eye(4)[noise["category"]]
        return self.generator.forward(np.concatenate([noise["z"], one_hot, noise["code"]], 1))

    def information(self, features, noise):
        """(the two weighted terms, the information, the slope at the features), leaving Q's gradients in self.q."""
        out = self.q.forward(features)
        logits, mean, log_variance = out[:, :4], out[:, 4:6], out[:, 6:]
        if self.deviation is not None:
            assert out.shape[1] == 6
            log_variance = np.full((N, 2), 2 * np.log(self.deviation))
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)  # the only softmax
        cross = -np.log(p[np.arange(N), noise["category"]]).mean()
        off = noise["code"] - mean
        nll = (0.5 * np.log(2 * np.pi) + 0.5 * log_variance + off**2 / (2 * np.exp(log_variance))).sum(1).mean()
        d_logits = 2.0 * (p - np.eye(4)[noise["category"]]) / N
        d_mean = 0.3 * -off / np.exp(log_variance) / N
        d_log_variance = 0.3 * (0.5 - off**2 / (2 * np.exp(log_variance))) / N
        slopes = [d_logits, d_mean, *([d_log_variance] if self.deviation is None else [])]
        slope = self.q.backward(np.concatenate(slopes, 1))
        return [2.0 * cross, 0.3 * nll], np.log(4) - cross, slope


@pytest.mark.parametrize("q_trunk", [False, True], ids=["frozen-trunk", "q-trunk"])
@pytest.mark.parametrize("normed", [True, False], ids=["batchnorm", "plain"])
def test_infogan_terms_and_three_steps_equal_the_paper_written_out(normed, q_trunk):
    trainer = tiny_trainer(
        discriminator_norm="batch" if normed else "none",
        categories=4,
        lambda_cat=2.0,
        lambda_con=0.3,
        label_smoothing=0.1,
        q_trunk=q_trunk,
    )
    nets = Written(trainer.model, normed)
    optim_d = Adam(nets.trunk.params + nets.head.params, 2e-4, 0.5, 0.999)
    optim_g = Adam(nets.generator.params + nets.q.params, 1e-3, 0.5, 0.999)
    for step in range(3):
        real = trainer.batches.batch(step).images.numpy().reshape(N, -1)
        noise = {name: value.numpy() for name, value in trainer.batches.noise("discriminator", step, 0).items()}
        fake = nets.make(noise)
        on_real = nets.head.forward(nets.trunk.forward(real))
        nets.trunk.backward(nets.head.backward((sigmoid(on_real) - 0.9) / N))
        grads = nets.trunk.grads + nets.head.grads
        features = nets.trunk.forward(fake)
        on_fake = nets.head.forward(features)
        slope, q_terms = nets.head.backward(sigmoid(on_fake) / N), []
        if q_trunk:
            q_terms, _, q_slope = nets.information(features, noise)
            slope = slope + q_slope
        nets.trunk.backward(slope)
        grads = [a + b for a, b in zip(grads, nets.trunk.grads + nets.head.grads, strict=True)]
        p_real, p_fake = sigmoid(on_real), sigmoid(on_fake)
        terms = [-(0.9 * np.log(p_real) + 0.1 * np.log(1 - p_real)).mean(), -np.log(1 - p_fake).mean(), *q_terms]
        norms = [np.sqrt(sum((g**2).sum() for g in grads)), np.sqrt((grads[0] ** 2).sum())]
        written = [*terms, sum(terms), p_real.mean(), p_fake.mean(), *norms]
        optim_d.step(grads)
        features = nets.trunk.forward(fake)  # the same fakes, judged by the discriminator just moved
        p_fake = sigmoid(nets.head.forward(features))
        slope = nets.head.backward(-(1 - p_fake) / N)
        q_terms, information, q_slope = nets.information(features, noise)
        nets.generator.backward(nets.trunk.backward(slope + q_slope))
        terms = [-np.log(p_fake).mean(), *q_terms]
        written += [*terms, sum(terms), p_fake.mean(), information]
        for net in (nets.generator, nets.q):
            written += [np.sqrt(sum((g**2).sum() for g in net.grads)), np.sqrt((net.grads[0] ** 2).sum())]
        optim_g.step(nets.generator.grads + nets.q.grads)
        trainer.step()
        (row,) = trainer.take_rows()
        assert row.pop("step") == step + 1
        np.testing.assert_allclose(list(row.values()), written, **CLOSE)
    model = trainer.model
    pairs = [(model.generator, nets.generator.params), (model.q, nets.q.params)]
    for module, params in [*pairs, (model.discriminator, nets.trunk.params + nets.head.params)]:
        for ours, theirs in zip(arrays(module), params, strict=True):
            np.testing.assert_allclose(ours, theirs, **CLOSE)


@pytest.mark.parametrize("normed", [True, False], ids=["batchnorm", "plain"])
def test_the_authors_form_in_three_steps_equals_their_code_written_out(normed):
    """openai/InfoGAN: D's loss and G's both have the codes' terms; Q is D's; the deviation is fixed."""
    norm = "batch" if normed else "none"
    form = {"q_with": "discriminator", "code_deviation": 0.5, "lambda_cat": 2.0, "lambda_con": 0.3}
    trainer = tiny_trainer(discriminator_norm=norm, categories=4, **form)
    nets = Written(trainer.model, normed, 0.5)
    optim_d = Adam(nets.trunk.params + nets.head.params + nets.q.params, 2e-4, 0.5, 0.999)
    optim_g = Adam(nets.generator.params, 1e-3, 0.5, 0.999)
    for step in range(3):
        real = trainer.batches.batch(step).images.numpy().reshape(N, -1)
        noise = {name: value.numpy() for name, value in trainer.batches.noise("discriminator", step, 0).items()}
        fake = nets.make(noise)
        p_real = sigmoid(nets.head.forward(nets.trunk.forward(real)))
        nets.trunk.backward(nets.head.backward((p_real - 1) / N))
        grads = nets.trunk.grads + nets.head.grads
        features = nets.trunk.forward(fake)
        p_fake = sigmoid(nets.head.forward(features))
        q_terms, _, q_slope = nets.information(features, noise)
        nets.trunk.backward(nets.head.backward(p_fake / N) + q_slope)
        grads = [a + b for a, b in zip(grads, nets.trunk.grads + nets.head.grads, strict=True)]
        terms = [-np.log(p_real).mean(), -np.log(1 - p_fake).mean(), *q_terms]
        written = [*terms, sum(terms), p_real.mean(), p_fake.mean()]
        for some in (grads, nets.q.grads):
            written += [np.sqrt(sum((g**2).sum() for g in some)), np.sqrt((some[0] ** 2).sum())]
        optim_d.step(grads + nets.q.grads)
        features = nets.trunk.forward(fake)
        p_fake = sigmoid(nets.head.forward(features))
        slope = nets.head.backward(-(1 - p_fake) / N)
        q_terms, information, q_slope = nets.information(features, noise)
        nets.generator.backward(nets.trunk.backward(slope + q_slope))
        terms = [-np.log(p_fake).mean(), *q_terms]
        written += [*terms, sum(terms), p_fake.mean(), information]
        written += [np.sqrt(sum((g**2).sum() for g in nets.generator.grads))]
        written += [np.sqrt((nets.generator.grads[0] ** 2).sum())]
        optim_g.step(nets.generator.grads)
        trainer.step()
        (row,) = trainer.take_rows()
        assert row.pop("step") == step + 1
        np.testing.assert_allclose(list(row.values()), written, **CLOSE)
    pairs = [(trainer.model.generator, nets.generator.params), (trainer.model.q, nets.q.params)]
    for module, params in [*pairs, (trainer.model.discriminator, nets.trunk.params + nets.head.params)]:
        for ours, theirs in zip(arrays(module), params, strict=True):
            np.testing.assert_allclose(ours, theirs, **CLOSE)


def generators_phase(trainer):
    carry = {}
    for part in trainer.phases:
        noise = trainer.batches.noise(part.phase.name, 0, 0)
        terms = trainer.model.terms(
            part.phase.name, trainer.batches.batch(0 if part.phase.data else None), noise, carry
        )
        carry |= terms.carry
    return terms, trainer.batches.noise("discriminator", 0, 0)


def test_softmax_is_taken_once_so_a_sure_and_right_q_has_a_term_of_nothing(monkeypatch):
    trainer = tiny_trainer()
    category = trainer.batches.noise("discriminator", 0, 0)["category"]
    sure = (40 * F.one_hot(category, 10).double(), torch.zeros(N, 2).double(), torch.zeros(N, 2).double())
    monkeypatch.setattr(trainer.model.q, "forward", lambda features: sure)
    terms, _ = generators_phase(trainer)
    # A softmax of the softmax could not fall below log(1 + 9/e) = 1.46.
    assert float(terms.losses["category"]) < 1e-15
    assert float(terms.watch["information"]) == pytest.approx(np.log(10))


def test_the_gaussian_term_at_numbers_worked_out_by_hand():
    from gankit.plugins.variants.infogan import gaussian_nll

    code, mean = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.0, 0.0]])
    log_variance = torch.tensor([[0.0, np.log(4.0)]])
    by_hand = (0.5 * np.log(2 * np.pi) + 0.125) + (0.5 * np.log(2 * np.pi) + np.log(2) + 1 / 8)
    assert float(gaussian_nll(code, mean, log_variance)) == pytest.approx(by_hand, rel=1e-6)


def test_the_discriminators_fakes_are_detached():
    trainer = tiny_trainer(q_trunk=True)
    terms = trainer.model.terms(
        "discriminator", trainer.batches.batch(0), trainer.batches.noise("discriminator", 0, 0), {}
    )
    weights = list(trainer.model.generator.parameters())
    assert set(torch.autograd.grad(sum(terms.losses.values()), weights, allow_unused=True)) == {None}
    assert terms.carry["fake"].requires_grad  # for the generator's phase, which uses it again


@pytest.mark.parametrize("q_trunk", [False, True])
def test_q_trains_with_the_generator_and_its_trunk_only_where_asked(q_trunk):
    trainer = tiny_trainer(q_trunk=q_trunk)
    assert [part.phase.networks for part in trainer.phases] == [("discriminator",), ("generator", "q")]
    terms = trainer.model.terms(
        "discriminator", trainer.batches.batch(0), trainer.batches.noise("discriminator", 0, 0), {}
    )
    assert ("category" in terms.losses) == q_trunk


@pytest.mark.parametrize("ratio", [{"n_critic": 2}, {"n_generator": 2}], ids=str)
def test_every_generator_update_reads_the_codes_its_own_images_were_made_of(ratio, monkeypatch):
    trainer = tiny_trainer(**ratio)
    codes, read = [], []
    generate, information = trainer.model.generate, trainer.model.information
    monkeypatch.setattr(trainer.model, "generate", lambda noise: codes.append(noise["category"]) or generate(noise))
    monkeypatch.setattr(
        trainer.model, "information", lambda h, made: read.append(made["category"]) or information(h, made)
    )
    trainer.step()
    assert len(read) == ratio.get("n_generator", 1)
    assert all(torch.equal(a, b) for a, b in zip(codes[-len(read) :], read, strict=True))


def test_samples_draw_their_codes_and_the_codes_are_in_the_noise():
    trainer = tiny_trainer()
    noise = trainer.model.noise("sample", 500, RandomStream(0, "x"))
    assert noise["category"].bincount(minlength=10).min() > 20
    assert -1 <= noise["code"].min() < -0.98 < 0.98 < noise["code"].max() < 1
    assert noise["code"].shape == (500, 2)
    config = configure("infogan", {})
    assert (config.train.batch_size, config.options.lr_d, config.options.lr_g) == (128, 2e-4, 1e-3)
    assert (config.options.lambda_cat, config.options.lambda_con) == (1.0, 0.1)
