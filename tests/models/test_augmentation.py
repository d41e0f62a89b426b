"""Differentiable augmentation: each operation against NumPy, its draws, and where it is applied in every variant."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import fitted, options_of

from gankit import RandomStream, Trainer, UsageError
from gankit.config import configure
from gankit.models import augmented, draw_augmentation
from gankit.models.augmentation import cut_out, recoloured, translated
from gankit.registry import registry
from gankit.testing.subject import NoReadBack

VARIANTS = [name for name in registry().names("variants") if "augment" in options_of(name)]
CLOSE = {"rtol": 0, "atol": 1e-12}
SHAPES = [(3, 8, 12), (1, 7, 5), (3, 4, 4)]
MANY = 20_000


def trainer(variant, tiny, **flags):
    options = fitted(variant, {**tiny, "steps": 3, "augment": "diffaug", **flags})
    options.pop("quiet")
    return Trainer(configure(variant, options))


def images_of(n, shape):
    return 2 * RandomStream("augmented", n).uniform(n, *shape).double() - 1


def drawn(n, shape, name="real"):
    noise = draw_augmentation(name, n, shape[1:], RandomStream("drawn", n))
    return {key: value.double() if value.is_floating_point() else value for key, value in noise.items()}


def recoloured_numpy(image, brightness, saturation, contrast):
    image = image + brightness
    grey = image.mean(0, keepdims=True)
    image = grey + saturation * (image - grey)
    return image.mean() + contrast * (image - image.mean())


def translated_numpy(image, down, right):
    _, height, width = image.shape
    moved = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[:, row, column] = image[:, row - down, column - right]
    return moved


def cut_out_numpy(image, top, left):
    cut = image.copy()
    height, width = ((side + 1) // 2 for side in image.shape[1:])
    cut[:, max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)] = 0
    return cut


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_operation_and_their_order_equal_numpy_written_out(shape):
    images, noise = images_of(40, shape), drawn(40, shape)
    colour, place = noise["augment_colour_real"], noise["augment_place_real"]
    shift, corner = place[:, :2] * 3, place[:, 2:]  # further than is drawn: past the middle, and for one all the way
    shift[0] = torch.tensor(shape[1:])
    parts = [recoloured(images, colour), translated(images, shift), cut_out(images, corner)]
    whole = augmented(images, "real", noise)
    for i, image in enumerate(images.numpy()):
        place_i = place[i].tolist()
        np.testing.assert_allclose(parts[0][i], recoloured_numpy(image, *colour[i].numpy()), **CLOSE)
        np.testing.assert_allclose(parts[1][i], translated_numpy(image, *shift[i].tolist()), **CLOSE)
        np.testing.assert_allclose(parts[2][i], cut_out_numpy(image, *place_i[2:]), **CLOSE)
        expected = translated_numpy(recoloured_numpy(image, *colour[i].numpy()), *place_i[:2])
        np.testing.assert_allclose(whole[i], cut_out_numpy(expected, *place_i[2:]), **CLOSE)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_generators_gradient_and_a_penaltys_pass_through_exactly(channels):
    noise = drawn(2, (channels, 4, 3))
    images = images_of(2, (channels, 4, 3)).requires_grad_()
    torch.autograd.gradcheck(lambda x: augmented(x, "real", noise), images)
    torch.autograd.gradgradcheck(lambda x: augmented(x, "real", noise).pow(3), images)


def test_ranges_are_the_papers_on_the_scale_of_minus_one_to_one():
    noise = draw_augmentation("real", MANY, (28, 64), RandomStream("ranges"))
    colour, place = noise["augment_colour_real"], noise["augment_place_real"]
    for numbers, low, high in zip(colour.T, (-0.5, 0, 0.5), (0.5, 2, 1.5), strict=True):
        assert low <= numbers.min() < low + 0.01
        assert high - 0.01 < numbers.max() <= high
        assert float(numbers.mean()) == pytest.approx((low + high) / 2, abs=0.02)
    # An eighth of 28 is 3.5, which the authors' code rounds to 4; holes of 14 and 32 with their centres anywhere.
    for numbers, low, high in zip(place.T, (-4, -8, -7, -16), (4, 8, 21, 48), strict=True):
        found, counts = numbers.unique(return_counts=True)
        assert found.tolist() == list(range(low, high + 1))
        assert counts.min() > 0.7 * MANY / len(found)
    cut = cut_out(torch.ones(500, 1, 28, 64), place[:500, 2:]) == 0
    assert cut.any(3).sum(2).max() == 14
    assert cut.any(2).sum(2).max() == 32


def test_a_grey_image_keeps_its_contrast_whatever_the_saturation():
    images, colour = images_of(4, (1, 4, 4)), torch.tensor([[0.0, 0.0, 1.0]] * 4)
    torch.testing.assert_close(recoloured(images, colour.double()), images, **CLOSE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_else_is_drawn_otherwise_and_samples_are_not_augmented(variant, tiny):
    it, plain = trainer(variant, tiny), trainer(variant, tiny, augment="none")
    for phase in (*(part.phase.name for part in it.phases), "sample"):
        noise, other = (each.batches.noise(phase, 1, 0) for each in (it, plain))
        own = {name for name in noise if name.startswith("augment")}
        assert noise.keys() - own == other.keys()
        assert all(torch.equal(noise[name], value) for name, value in other.items())
        assert bool(own) == (phase != "sample")


def test_draws_are_a_function_of_step_phase_and_repeat_and_differ_between_real_and_fake(tiny):
    it, again = trainer("wgan-gp", tiny), trainer("wgan-gp", tiny)
    keys = [("critic", 0, 0), ("critic", 0, 1), ("critic", 1, 0), ("generator", 0, 0)]
    found = [it.batches.noise(*key) for key in keys]
    assert "augment_place_real" not in found[-1]
    for kind in ("augment_colour", "augment_place"):
        seen = [noise[f"{kind}_{name}"] for noise in found for name in ("real", "fake") if f"{kind}_{name}" in noise]
        assert len({tuple(each.flatten().tolist()) for each in seen}) == len(seen) == 7
    for key, noise in reversed(list(zip(keys, found, strict=True))):
        assert all(torch.equal(value, noise[name]) for name, value in again.batches.noise(*key).items())


def gone(noise, names):
    """``noise`` that moves the images of ``names`` out of sight: the discriminator is shown zeros."""
    away = {f"augment_place_{name}": torch.full_like(noise[f"augment_place_{name}"], 99) for name in names}
    return {**noise, **away}


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_that_the_discriminator_scores_is_augmented_on_both_sides_in_both_phases(variant, tiny):
    """Its scores are others with any of them moved out of sight; and no value is read back."""
    it = trainer(variant, tiny, discriminator_norm="none")
    carry = {}
    for part in it.phases:
        phase = part.phase.name
        batch, noise = it.batches.batch(0 if part.phase.data else None), it.batches.noise(phase, 0, 0)
        names = [name.removeprefix("augment_place_") for name in noise if name.startswith("augment_place")]
        pairs = phase in ("critic", "discriminator") or variant in ("bigan", "r3gan", "cr3gan")
        both = ("real", "fake") if pairs else ("fake",)
        assert sorted(names) == sorted(
            f"{a}{b}" for a in both for b in (("_a", "_b") if variant == "cyclegan" else ("",))
        )
        with NoReadBack():
            terms = it.model.terms(phase, batch, noise, carry)
        watched = {name: float(value.detach()) for name, value in terms.watch.items()}
        for name in names:
            changed = it.model.terms(phase, batch, gone(noise, [name]), carry).watch
            assert any(float(value.detach()) != watched[key] for key, value in changed.items()), name
        carry |= terms.carry


@pytest.mark.parametrize("variant", ["gan", "dcgan", "lsgan", "wgan", "wgan-gp", "sngan", "cdcgan", "cwgan-gp"])
def test_the_generator_learns_from_what_the_discriminator_is_shown_and_from_nothing_else(variant, tiny):
    it = trainer(variant, tiny, discriminator_norm="none", n_critic=2)
    part, noise = it.phases[1], it.batches.noise("generator", 0, 0)
    batch = it.batches.batch(None)
    for given, learns in ((noise, True), (gone(noise, ["fake"]), False)):
        loss = sum(it.model.terms("generator", batch, given, {}).losses.values())
        slopes = torch.autograd.grad(loss, part.parameters)
        assert any(float(slope.abs().max()) > 0 for slope in slopes) == learns


def test_a_variant_with_a_noise_of_its_own_does_not_take_augmentation_in_silence(tiny, monkeypatch):
    kind = type(trainer("dcgan", tiny).model)
    monkeypatch.setattr(kind, "noise", lambda self, phase, n, draws: {"z": draws.normal(n, self.options.nz)})
    with pytest.raises(
        UsageError, match=r"--augment diffaug: \w+\.noise draws none for real and fake; return what super"
    ):
        trainer("dcgan", tiny).step()
    trainer("dcgan", tiny, augment="none").step()


@pytest.mark.parametrize("variant", ["dcgan", "wgan-gp"])
def test_it_trains_in_bfloat16(variant, tiny):
    it = trainer(variant, tiny, precision="bf16", channels=3, arch="dcgan")
    it.step()
    assert all(np.isfinite(value) for row in it.take_rows() for value in row.values())
