"""The trainer's words: step, phase, epoch, batch, average, schedule; and what a variant may not do."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from tiny import fitted, options_of
from torch import nn

import gankit
from gankit import ImageSet, RandomStream, Trainer
from gankit.config import configure
from gankit.cpu import Conv2d
from gankit.data.order import Order
from gankit.models.interface import Phase
from gankit.registry import registry
from gankit.training.schedule import rate, total_steps
from gankit.training.update import PhaseState, Update

VARIANTS = registry().names("variants")


def trainer(variant, tiny, **flags):
    options = fitted(variant, tiny)
    options.pop("quiet")
    return Trainer(configure(variant, {**options, "steps": 4, **flags}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("variant", "networks"),
    [(name, {"arch": arch}) for name in VARIANTS if "arch" in options_of(name) for arch in ("mlp", "dcgan")]
    + [(name, {}) for name in VARIANTS if "arch" not in options_of(name)],
    ids=str,
)
def test_every_variant_trains_with_every_architecture_in_both_precisions(variant, networks, precision, tiny):
    it = trainer(variant, tiny, precision=precision, channels=3, batch_size=7, **networks)
    for _ in range(2):
        it.step()
    for row in it.take_rows():
        assert all(math.isfinite(value) for value in row.values())
    assert it.sample(3).shape == (3, 3, 8, 8)


@pytest.mark.parametrize("size", [8, 10, 12, 14, 28, 32, 48, 56, 96])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel": 5},
        {"upsample": "shuffle", "downsample": "average"},
        {"generator_norm": "layer", "critic_norm": "spectral"},
    ],
    ids=str,
)
def test_dcgan_networks_make_and_judge_images_of_their_size(size, options):
    options = {name.replace("critic_norm", "discriminator_norm"): value for name, value in options.items()}
    spec = gankit.Spec(channels=2, size=size)
    config = configure("wgan-gp", {"arch": "dcgan", "ngf": 2, "ndf": 2, "nz": 3, **options})
    model = registry().get("variants", "wgan-gp")().build(config.options, spec)
    images = model.generator(torch.zeros(2, 3))
    assert images.shape == (2, 2, size, size)
    assert model.discriminator(images).shape == (2,)


def test_batches_are_consecutive_slices_of_the_epochs_permutations():
    order = Order(10, seed=1)
    joined = torch.cat([order.batch(i, 4) for i in range(10)])
    for epoch in joined.split(10):
        assert epoch.sort().values.tolist() == list(range(10))
    assert not torch.equal(joined[:10], joined[10:20])
    assert torch.equal(Order(10, seed=1).batch(7, 4), joined[28:32])
    assert not torch.equal(Order(10, seed=2).batch(0, 10), joined[:10])


def test_a_batch_may_be_larger_than_the_data():
    assert Order(3, seed=0).batch(1, 8).bincount(minlength=3).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_an_epoch_is_every_image_drawn_once_counting_all_critic_updates(tiny):
    it = trainer("wgan-gp", {**tiny, "limit": 80}, steps=None, epochs=2, n_critic=5)
    assert it.steps == 4
    for _ in range(4):
        it.step()
    assert it.drawn * 8 == 2 * 80
    assert trainer("wgan-gp", {**tiny, "limit": 80}, steps=None, epochs=2, same_batch=True).steps == 20


def test_epochs_count_a_phase_whose_repeats_change():
    phase = Phase("critic", (), gankit.OptimSpec(), repeat=lambda step: 3 if step == 0 else 1)
    options = configure("wgan-gp", {"epochs": 1.0, "batch_size": 10}).train
    assert total_steps(options, (phase,), 50) == 3


def test_same_batch_gives_every_update_of_a_step_the_same_images(tiny, monkeypatch):
    it = trainer("wgan-gp", tiny, same_batch=True, n_critic=3)
    seen = []
    batch = it.batches.batch
    monkeypatch.setattr(it.batches, "batch", lambda draw: seen.append(draw) or batch(draw))
    for _ in range(2):
        it.step()
    assert [draw for draw in seen if draw is not None] == [0, 0, 0, 1, 1, 1]


def same(one, two):
    """Whether two updates' batches and noise are the same."""
    (batch, noise), (other, more) = one, two
    return torch.equal(batch.images, other.images) and all(torch.equal(noise[name], more[name]) for name in more)


@pytest.mark.parametrize("room", [0, 10**9], ids=["one by one", "a step at once"])
def test_inputs_are_a_function_of_their_update_however_many_are_drawn_at_once(room, tiny, monkeypatch):
    it = trainer("wgan-gp", tiny, n_critic=3)
    it.step()
    monkeypatch.setattr("gankit.data.batches.LOOK_AHEAD", room)
    due = [update.key for update in it.due(it.done)]
    expected = [(it.batches.batch(key.draw), it.batches.noise(key.phase, key.step, key.repeat)) for key in due]
    it.batches.expect(due)
    for key, one in zip(due, expected, strict=True):
        assert same(it.batches(key), one)
        assert len(it.batches.ahead) == (0 if room == 0 else len(due) - 1 - due.index(key))
    for number in (2, 0, 3):  # in another order, and again
        assert same(it.batches(due[number]), expected[number])


def test_every_update_has_noise_of_its_own_and_the_same_each_time_it_is_asked_for(tiny):
    it = trainer("wgan-gp", tiny, n_critic=2)
    keys = [("critic", 0, 0), ("critic", 0, 1), ("critic", 1, 0), ("generator", 0, 0)]
    latents = [it.batches.noise(*key)["z"] for key in keys]
    assert all(not torch.equal(one, other) for one, other in itertools.combinations(latents, 2))
    assert all(torch.equal(z, it.batches.noise(*key)["z"]) for z, key in zip(latents, keys, strict=True))
    other_seed = trainer("wgan-gp", tiny, n_critic=2, seed=1)
    assert not torch.equal(latents[0], other_seed.batches.noise(*keys[0])["z"])


def test_inputs_drawn_for_a_step_that_was_not_taken_do_not_outlive_a_checkpoint(tiny):
    it = trainer("wgan-gp", tiny)
    it.step()
    tensors, drawn = {name: tensor.clone() for name, tensor in it.tensors().items()}, it.drawn
    for _ in range(2):
        it.step()
    due = [update.key for update in it.due(it.done)]
    it.batches.expect(due)
    it.batches(due[0])
    assert it.batches.ahead
    it.restore(tensors, 1, drawn)
    assert not it.batches.ahead


@pytest.mark.parametrize(("n_critic", "n_generator"), [(1, 3), (4, 1), (2, 2)])
def test_update_ratios_hold_either_way(n_critic, n_generator, tiny, monkeypatch):
    it = trainer("dcgan", tiny, n_critic=n_critic, n_generator=n_generator)
    updates = []
    update = it.engine.update
    monkeypatch.setattr(
        it.engine, "update", lambda one, *rest: updates.append(one.state.phase.name) or update(one, *rest)
    )
    it.step()
    assert updates == ["discriminator"] * n_critic + ["generator"] * n_generator


def test_the_learning_rate_falls_in_a_line_and_is_never_zero_in_training():
    factors = [rate(step, 10, 0.5) for step in range(10)]
    assert factors == pytest.approx([1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    assert [rate(step, 4, 1.0) for step in range(4)] == [1] * 4


def test_the_average_follows_the_generator_with_the_asked_half_life(tiny):
    it = trainer("dcgan", tiny, steps=400, ema_halflife_images=16)
    names = [name for name, _ in it.model.generator.named_parameters()]
    expected = {name: p.detach().clone().double() for name, p in it.model.generator.named_parameters()}
    for step in range(60):
        it.step()
        half_life = min(16, 0.05 * (step + 1) * 8)
        for name, p in it.model.generator.named_parameters():
            expected[name] += (1 - 0.5 ** (8 / half_life)) * (p.detach().double() - expected[name])
    averaged = dict(it.ema.model.generator.named_parameters())
    for name in names:
        torch.testing.assert_close(averaged[name].double(), expected[name], rtol=1e-4, atol=1e-6)
    live = torch.cat([p.flatten() for p in it.model.generator.parameters()])
    assert not torch.allclose(live, torch.cat([p.flatten() for p in averaged.values()]))


def test_sampling_changes_nothing_of_the_run(tiny):
    one, two = trainer("dcgan", tiny, arch="dcgan"), trainer("dcgan", tiny, arch="dcgan")
    for _ in range(3):
        one.step()
        one.sample(5)
        two.step()
    for name, tensor in one.tensors().items():
        assert torch.equal(tensor, two.tensors()[name]), name
    assert one.model.training


def test_dropout_masks_are_drawn_from_the_key_and_used_at_sampling_too(tiny):
    it = trainer("dcgan", tiny, dropout=0.5)
    noise = it.model.noise("sample", 4, RandomStream(0, "a"))
    masks = [name for name in noise if name.startswith("mask")]
    assert len(masks) == 4
    it.model.eval()
    plain = it.model.sample(noise)
    noise[masks[0]] = ~noise[masks[0]]
    assert not torch.equal(plain, it.model.sample(noise))


def test_initial_weights_have_the_published_deviation_and_depend_on_the_seed_alone(tiny):
    it = trainer("dcgan", tiny, arch="dcgan", ngf=32, ndf=32)
    again, other = (
        trainer("dcgan", tiny, arch="dcgan", ngf=32, ndf=32),
        trainer("dcgan", tiny, arch="dcgan", ngf=32, ndf=32, seed=2**32),
    )
    weight = it.model.discriminator.trunk[0].weight
    assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    assert torch.equal(weight, again.model.discriminator.trunk[0].weight)
    assert not torch.equal(weight, other.model.discriminator.trunk[0].weight)


def test_batch_norm_in_a_penalised_critic_is_warned_about(tiny, capsys):
    trainer("wgan-gp", tiny, discriminator_norm="batch")
    assert "penalty holds each sample" in capsys.readouterr().err


def test_wgan_gp_takes_the_published_beta1_of_its_image_size():
    for size, beta1 in ((32, 0.5), (64, 0.0)):
        options = configure("wgan-gp", {"arch": "mlp", "ngf": 1, "ndf": 1}).options
        model = registry().get("variants", "wgan-gp")().build(options, gankit.Spec(1, size))
        assert {phase.optimizer.betas for phase in model.phases} == {(beta1, 0.9)}


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_every_optimizer_trains_and_resumes(optimizer, tiny):
    one, two = (trainer("dcgan", tiny, optimizer=optimizer, lr_g=1e-3, lr_d=1e-3) for _ in range(2))
    for _ in range(4):
        one.step()
    for _ in range(2):
        two.step()
    tensors = {name: tensor.clone() for name, tensor in two.tensors().items()}
    three = trainer("dcgan", tiny, optimizer=optimizer, lr_g=1e-3, lr_d=1e-3)
    three.restore(tensors, two.done, two.drawn)
    for _ in range(2):
        three.step()
    for name, tensor in one.tensors().items():
        assert torch.equal(tensor, three.tensors()[name]), name


def test_images_from_a_program_can_be_trained_on(tiny, tmp_path):
    images = ImageSet(RandomStream(0, "own").integers(256, 30, 3, 12, 12).to(torch.uint8))
    tiny.pop("size"), tiny.pop("channels")
    run = gankit.train("dcgan", images=images, out=tmp_path / "run", steps=2, **tiny)
    assert run.sample(5).shape == (5, 3, 12, 12)


def test_spectral_norm_starts_from_the_published_weights_too(tiny):
    it = trainer("dcgan", tiny, arch="dcgan", ndf=32, discriminator_norm="spectral")
    original = it.model.discriminator.trunk[0].parametrizations.weight.original
    assert float(original.detach().std()) == pytest.approx(0.02, rel=0.15)
    it.step()
    (row,) = it.take_rows()
    (grad,) = [row["discriminator/first layer grad norm discriminator"]]
    assert grad > 0


def test_a_parameter_shared_by_two_networks_is_moved_once(tiny):
    it = trainer("dcgan", tiny)
    phase = it.model.phases[0]
    both = gankit.Phase("both", ("discriminator", "discriminator.head"), phase.optimizer)
    with pytest.raises(gankit.UsageError, match="no parameters of its own"):
        PhaseState.of(both, it.model)
    part = PhaseState.of(gankit.Phase("both", ("discriminator.head", "discriminator"), phase.optimizer), it.model)
    assert (
        len(part.parameters) == len({id(p) for p in part.parameters}) == len(list(it.model.discriminator.parameters()))
    )


def test_weights_that_are_not_finite_are_never_saved(tiny):
    it = trainer("dcgan", tiny)
    it.check_finite()
    with torch.no_grad():
        it.model.generator.image.weight[0, 0] = torch.inf
    with pytest.raises(gankit.GankitError, match="weights of generator stopped being finite"):
        it.check_finite()


def test_a_batch_of_one_with_batch_norm_is_refused_in_words(tiny):
    with pytest.raises(gankit.UsageError, match="--batch-size 1"):
        trainer("dcgan", tiny, batch_size=1)
    trainer("dcgan", tiny, batch_size=1, generator_norm="none", discriminator_norm="none").step()


def test_many_images_are_sampled_in_parts_that_join_to_the_same(tiny, monkeypatch):
    it = trainer("dcgan", tiny)
    from gankit.models import sampling as module

    whole = module.sample(it.model, 7, 0, it.device, it.dtype)
    monkeypatch.setattr(module, "CHUNK", 3)
    torch.testing.assert_close(module.sample(it.model, 7, 0, it.device, it.dtype), whole)


def test_a_gradient_in_other_strides_moves_the_weights_it_belongs_to(tiny):
    """The penalty's gradient of PyTorch's convolution comes transposed, and fused Adam does not look at strides."""
    it = trainer("wgan-gp", {**tiny, "arch": "dcgan", "size": 16, "precision": "fp64"})
    for layer in it.model.discriminator.modules():
        if isinstance(layer, Conv2d):
            layer.__class__ = nn.Conv2d
    part = it.phases[0]
    batch, noise = it.batches.batch(0), it.batches.noise("critic", 0, 0)
    grads = torch.autograd.grad(sum(it.model.terms("critic", batch, noise, {}).losses.values()), part.parameters)
    assert any(grad.stride() != p.stride() for grad, p in zip(grads, part.parameters, strict=True))
    before = [p.detach().clone() for p in part.parameters]
    it.engine.update(Update(part, 0, 0, 0), {})
    for p, old, grad in zip(part.parameters, before, grads, strict=True):
        first = old - 1e-4 * grad / (grad.abs() + 1e-8)  # Adam's first step
        torch.testing.assert_close(p.detach(), first, rtol=0, atol=1e-9)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_here_is_refused_with_the_way_out(device, tiny):
    if getattr(torch, device).is_available():
        pytest.skip(f"{device} is here")
    with pytest.raises(gankit.UsageError, match=f"--device {device}: .*use --device cpu"):
        trainer("dcgan", tiny, device=device)
