"""CycleGAN against a float64 calculation written out in the test: plain functions for the networks, the terms and the
pool by hand, PyTorch only to convolve and to differentiate.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from written_out import Adam

from gankit import ImageSet, RandomStream, Spec, Trainer, UsageError
from gankit.config import configure
from gankit.models.image_pool import ImagePool
from gankit.registry import registry
from gankit.testing.subject import NoReadBack

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
N = 2
TINY = {
    "arch": "resnet", "ngf": 1, "ndf": 2, "blocks": 2, "patch_layers": 1, "batch_size": N, "steps": 3,
    "precision": "fp64", "init": "default", "pool": 3,
}  # fmt: skip


def tiny_trainer(**flags):
    images = RandomStream(0, "test images").integers(256, 18, 1, 12, 12).to(torch.uint8)
    return Trainer(configure("cyclegan", {**TINY, **flags}), ImageSet(images[:7], other=images[7:]))


def reflected(x, pad):
    rows = list(range(pad, 0, -1)) + list(range(x.shape[2])) + list(range(x.shape[2] - 2, x.shape[2] - 2 - pad, -1))
    return x[:, :, rows][:, :, :, rows]


def normal(x):
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) / ((x - mean) ** 2).mean((2, 3), keepdim=True).add(1e-5).sqrt()


def relu(x, slope=0.0):
    return torch.where(x > 0, x, slope * x)


def generator(weights, x, masks=()):
    w = iter(weights)
    h = relu(normal(F.conv2d(reflected(x, 3), next(w))))
    h = relu(normal(F.conv2d(h, next(w), stride=2, padding=1)))
    h = relu(normal(F.conv2d(h, next(w), stride=2, padding=1)))
    for block in range(2):
        inner = relu(normal(F.conv2d(reflected(h, 1), next(w))))
        inner = inner * masks[block] / 0.5 if masks else inner
        h = h + normal(F.conv2d(reflected(inner, 1), next(w)))
    h = relu(normal(F.conv_transpose2d(h, next(w), stride=2, padding=1, output_padding=1)))
    h = relu(normal(F.conv_transpose2d(h, next(w), stride=2, padding=1, output_padding=1)))
    return torch.tanh(F.conv2d(reflected(h, 3), next(w), next(w)))


def discriminator(weights, x):
    w = iter(weights)
    h = relu(F.conv2d(x, next(w), next(w), stride=2, padding=1), 0.2)
    h = relu(normal(F.conv2d(h, next(w), padding=1)), 0.2)
    return F.conv2d(h, next(w), next(w), padding=1)


class SequentialPool:
    """One image after the other, as in the published util/image_pool.py."""

    def __init__(self, capacity):
        self.capacity, self.images = capacity, []

    def query(self, images, slots, swaps):
        handed = []
        for image, slot, swap in zip(images, slots.tolist(), swaps.tolist(), strict=True):
            if len(self.images) < self.capacity:
                self.images.append(image.clone())
                handed.append(image)
            elif swap:
                handed.append(self.images[slot].clone())
                self.images[slot] = image.clone()
            else:
                handed.append(image)
        return torch.stack(handed)


def weights_of(module):
    return [p.detach().clone().requires_grad_() for p in module.parameters()]


def norms(grads):
    return [np.sqrt(sum(float((g**2).sum()) for g in grads)), np.sqrt(float((grads[0] ** 2).sum()))]


def adam(*nets):
    return Adam([p.detach().numpy() for net in nets for p in net], 2e-4, 0.5, 0.999)


@pytest.mark.parametrize("dropout", [0.0, 0.5], ids=["plain", "dropout"])
@pytest.mark.parametrize("lambda_identity", [0.5, 0.0], ids=["identity", "no-identity"])
def test_cyclegan_terms_gradients_and_three_steps_equal_the_paper_written_out(lambda_identity, dropout):
    trainer = tiny_trainer(lambda_identity=lambda_identity, lambda_cycle=7.0, dropout=dropout)
    model = trainer.model
    ab, ba = weights_of(model.generator["a2b"]), weights_of(model.generator["b2a"])
    of_a, of_b = weights_of(model.discriminator["a"]), weights_of(model.discriminator["b"])
    optim_g, optim_d = adam(ab, ba), adam(of_a, of_b)
    pools = {name: SequentialPool(3) for name in "ab"}
    for step in range(3):
        factor = (1, 1, 2 / 3)[step]
        batch, noise = trainer.batches.batch(step), trainer.batches.noise("generator", step, 0)
        a, b = batch.images, batch.other

        def masks(name, noise=noise):
            return [noise[f"{name} {i}"] for i in range(2)] if dropout else ()

        fake_b, fake_a = generator(ab, a, masks("fake_b")), generator(ba, b, masks("fake_a"))
        cycled_a, cycled_b = generator(ba, fake_b, masks("cycled_a")), generator(ab, fake_a, masks("cycled_b"))
        on_a, on_b = discriminator(of_a, fake_a), discriminator(of_b, fake_b)
        terms = [((on_b - 1) ** 2).mean(), ((on_a - 1) ** 2).mean()]
        terms += [7 * (cycled_a - a).abs().mean(), 7 * (cycled_b - b).abs().mean()]
        if lambda_identity:
            same_a, same_b = generator(ba, a, masks("same_a")), generator(ab, b, masks("same_b"))
            terms += [7 * 0.5 * (same_a - a).abs().mean(), 7 * 0.5 * (same_b - b).abs().mean()]
        grads = [g.numpy() for g in torch.autograd.grad(sum(terms), ab + ba)]
        written = [*terms, sum(terms), on_a.mean(), on_b.mean(), *norms(grads[: len(ab)]), *norms(grads[len(ab) :])]
        optim_g.step(grads, factor)

        noise = trainer.batches.noise("discriminator", step, 0)
        terms, watched = [], []
        for name, net, real, fake in (("a", of_a, a, fake_a), ("b", of_b, b, fake_b)):
            fake = pools[name].query(fake.detach(), noise[f"{name} slot"], noise[f"{name} swap"])
            on_real, on_fake = discriminator(net, real), discriminator(net, fake)
            terms += [((on_real - 1) ** 2).mean() / 2, (on_fake**2).mean() / 2]
            watched += [on_real.mean(), on_fake.mean()]
        grads = [g.numpy() for g in torch.autograd.grad(sum(terms), of_a + of_b)]
        written += [*terms, sum(terms), *watched, *norms(grads[: len(of_a)]), *norms(grads[len(of_a) :])]
        optim_d.step(grads, factor)

        trainer.step()
        (row,) = trainer.take_rows()
        assert row.pop("step") == step + 1
        np.testing.assert_allclose(list(row.values()), [float(torch.as_tensor(v).detach()) for v in written], **CLOSE)
    assert any(not torch.equal(*pair) for pair in itertools.pairwise(pools["a"].images))
    for module, reference in (
        (model.generator["a2b"], ab), (model.generator["b2a"], ba),
        (model.discriminator["a"], of_a), (model.discriminator["b"], of_b),
    ):  # fmt: skip
        for ours, theirs in zip(module.parameters(), reference, strict=True):
            np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), **CLOSE)
    for name in "ab":
        torch.testing.assert_close(model.pools[name].images[:3], torch.stack(pools[name].images), rtol=1e-10, atol=0)


def row_of(**flags):
    trainer = tiny_trainer(**flags)
    trainer.step()
    return trainer.take_rows()[0]


def test_the_identity_weight_is_scaled_by_lambda_cycle():
    one, two = row_of(lambda_cycle=10.0, lambda_identity=0.5), row_of(lambda_cycle=20.0, lambda_identity=0.5)
    half = row_of(lambda_cycle=10.0, lambda_identity=0.25)
    for domain in "ab":
        name = f"generator/identity {domain}"
        assert two[name] == pytest.approx(2 * one[name], rel=1e-12)
        assert half[name] == pytest.approx(one[name] / 2, rel=1e-12)
    assert not any("identity" in name for name in row_of(lambda_identity=0.0))


def test_the_learning_rate_is_not_zero_after_the_first_decay_and_every_step_moves_every_network():
    trainer = tiny_trainer(steps=8)
    assert trainer.options.decay_start == 0.5
    rates = []
    for _ in range(8):
        before = [p.detach().clone() for p in trainer.model.parameters()]
        trainer.step()
        assert all(not torch.equal(p, q) for p, q in zip(before, trainer.model.parameters(), strict=True))
        rates.append([float(part.optimizer.lr) / 2e-4 for part in trainer.phases])
    np.testing.assert_allclose(rates, [[f, f] for f in (1, 1, 1, 1, 1, 0.75, 0.5, 0.25)])


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("capacity", [1, 3, 10])
def test_the_pool_is_filled_first_and_then_swaps_as_the_published_one_does(capacity, n):
    ours, theirs = ImagePool("a", capacity, (1, 2, 2)), SequentialPool(capacity)
    for i in range(40):
        fresh = (torch.arange(n) + i * n + 1.0)[:, None, None, None].expand(n, 1, 2, 2).contiguous()
        noise = ours.draw(n, RandomStream("pool", i))
        expected = theirs.query(fresh, noise["a slot"], noise["a swap"])
        assert torch.equal(ours(fresh, noise), expected)
        kept = torch.stack(theirs.images)
        assert torch.equal(ours.images[: len(kept)], kept)
        assert int(ours.count) == len(kept)


def test_the_first_fifty_images_come_back_as_they_are_and_later_ones_with_probability_one_half():
    pool, unchanged, ages = ImagePool("a", 50, (1, 1, 1)), [], []
    for i in range(2050):
        fresh = torch.full((1, 1, 1, 1), float(i))
        handed = pool(fresh, pool.draw(1, RandomStream("half", i)))
        unchanged.append(bool(handed == fresh))
        ages.append(i - int(handed))
    assert all(unchanged[:50])
    assert abs(np.mean(unchanged[50:]) - 0.5) < 0.04
    assert np.mean([age for age in ages if age]) == pytest.approx(
        100, rel=0.15
    )  # each slot is drawn once in 100 images


def test_a_pool_of_none_hands_on_every_image():
    pool = ImagePool("a", 0, (1, 1, 1))
    fresh = torch.rand(4, 1, 1, 1)
    assert torch.equal(pool(fresh, pool.draw(4, RandomStream("none"))), fresh)
    tiny_trainer(pool=0).step()


def test_the_discriminators_fakes_are_detached():
    trainer = tiny_trainer()
    model = trainer.model
    made = model.terms("generator", trainer.batches.batch(0), trainer.batches.noise("generator", 0, 0), {})
    assert not any(tensor.requires_grad for tensor in made.carry.values())
    judged = model.terms(
        "discriminator", trainer.batches.batch(None), trainer.batches.noise("discriminator", 0, 0), made.carry
    )
    weights = list(model.generator.parameters())
    assert set(torch.autograd.grad(sum(judged.losses.values()), weights, allow_unused=True)) == {None}


def test_both_phases_see_one_batch_a_step_and_the_generators_move_first():
    trainer = tiny_trainer()
    assert [part.phase.name for part in trainer.phases] == ["generator", "discriminator"]
    trainer.step()
    assert trainer.drawn == 1


def build(size, **options):
    config = configure("cyclegan", {"ngf": 1, "ndf": 1, **options})
    return registry().get("variants", "cyclegan")().build(config.options, Spec(3, size, paired_domains=True))


def test_the_networks_are_as_large_as_those_published():
    config = configure("cyclegan", {})
    arch = registry().get("architectures", "resnet")()
    spec = Spec(3, 256, paired_domains=True)
    translator, judge = arch.translator(spec, config.options), arch.discriminator(spec, config.options)
    removed = 2 * 64 + 2 * 128 + 256 + 18 * 256  # biases that the published code keeps before instance norm
    assert round((sum(p.numel() for p in translator.parameters()) + removed) / 1e6, 3) == 11.378
    assert round((sum(p.numel() for p in judge.parameters()) + 128 + 256 + 512) / 1e6, 3) == 2.765


def test_there_are_six_blocks_at_128_and_nine_at_256():
    assert [len(build(size).generator["a2b"].blocks) for size in (128, 252, 256)] == [6, 6, 9]


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_a_score_sees_a_patch_of_the_named_size(layers, patch):
    model = build(128, patch_layers=layers, discriminator_norm="none")
    image = torch.zeros(1, 3, 128, 128, requires_grad=True)
    scores = model.discriminator["a"](image)
    middle = scores.shape[1] // 2
    (seen,) = torch.autograd.grad(scores[0, middle, middle], image)
    rows = seen[0, 0].abs().sum(1).nonzero()
    assert int(rows.max() - rows.min()) + 1 == patch


def test_every_network_of_the_published_code_starts_at_a_deviation_of_002():
    model = build(64, ngf=16, ndf=16)
    for weight in (model.generator["b2a"].blocks[0].first[1].weight, model.discriminator["b"].trunk[3].weight):
        assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.1)


def test_one_domain_is_refused_and_so_is_a_size_the_networks_cannot_make():
    config = configure("cyclegan", {})
    with pytest.raises(UsageError, match="two sets of images"):
        registry().get("variants", "cyclegan")().build(config.options, Spec(3, 32))
    with pytest.raises(UsageError, match="not divisible by 4"):
        build(30)
    with pytest.raises(UsageError, match="too small"):
        build(32, patch_layers=4)


@pytest.mark.parametrize("variant", ["dcgan", "wgan-gp"])
def test_the_resnet_is_refused_to_a_variant_that_does_not_translate(variant):
    with pytest.raises(UsageError, match="cyclegan"):
        registry().get("variants", variant)().build(configure(variant, {"arch": "resnet"}).options, Spec(3, 32))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_resnets_train_on_colour_in_both_precisions_and_their_step_is_static(precision, dropout):
    flags = {"size": 8, "limit": 10, "ngf": 2, "ndf": 2, "blocks": 1, "batch_size": 3, "steps": 4, "pool": 4}
    trainer = Trainer(configure("cyclegan", {**flags, "precision": precision, "dropout": dropout, "crop": 8}))
    for _ in range(2):
        trainer.step()
    carry = {}
    for part in trainer.phases:
        batch, noise = (
            trainer.batches.batch(2 if part.phase.data else None),
            trainer.batches.noise(part.phase.name, 2, 0),
        )
        with NoReadBack():
            terms = trainer.model.terms(part.phase.name, batch, noise, carry)
            torch.autograd.grad(sum(terms.losses.values()), part.parameters)
        assert all(value.dtype == torch.float32 for value in terms.losses.values())
        carry |= terms.carry
    for row in trainer.take_rows():
        assert all(np.isfinite(value) for value in row.values())
    assert trainer.sample(5).shape == (5, 3, 8, 8)


@pytest.mark.parametrize("kind", ["none", "batch", "layer", "instance", "spectral"])
def test_resnets_train_with_every_norm(kind):
    norms = {"discriminator_norm": kind, "generator_norm": "batch" if kind == "spectral" else kind}
    trainer = tiny_trainer(**norms, instance_noise=0.1, label_smoothing=0.1, n_critic=2, n_generator=2)
    for _ in range(2):
        trainer.step()
    assert all(np.isfinite(value) for row in trainer.take_rows() for value in row.values())
