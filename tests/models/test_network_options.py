"""Options of the networks that published ones need: kernels of either side, the first norm, the joint layer, biases."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gankit
from gankit import RandomStream, Spec
from gankit.config import configure
from gankit.registry import registry

SMALL = {"ngf": 2, "ndf": 2, "nz": 3}


def built(variant, spec, **flags):
    small = {} if variant in ("vae", "vq-vae") else SMALL
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return registry().get("variants", variant)().build(configure(variant, {**small, **flags}).options, spec)


def kernels(net):
    return {m.kernel_size for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)}


@pytest.mark.parametrize("sides", [(28, 28), (32, 64), (10, 10)], ids=str)
@pytest.mark.parametrize(("up", "down"), [(4, 5), (5, 4), (5, None), (None, 5)])
def test_either_side_has_its_own_kernel_and_images_keep_their_size(up, down, sides):
    spec = Spec(3, sides[0], width=sides[1])
    model = built("dcgan", spec, generator_kernel=up, discriminator_kernel=down)
    assert kernels(model.generator) == {(up or 4, up or 4)}
    assert kernels(model.discriminator) == {(down or 4, down or 4)}
    images = model.generator(RandomStream(0, "z").normal(2, 3))
    assert images.shape == (2, 3, *sides)
    assert model.discriminator(images).shape == (2,)


@pytest.mark.parametrize(("up", "down"), [(4, 5), (5, 4)])
def test_kernels_apart_go_with_shuffled_and_averaged_pixels(up, down):
    flags = {"upsample": "shuffle", "downsample": "average"}
    model = built("dcgan", Spec(1, 28), generator_kernel=up, discriminator_kernel=down, **flags)
    images = model.generator(RandomStream(0, "z").normal(2, 3))
    assert images.shape == (2, 1, 28, 28)
    assert model.discriminator(images).shape == (2,)


def test_kernel_is_that_of_both_sides_unless_one_has_its_own():
    model = built("dcgan", Spec(1, 28), kernel=5, generator_kernel=4)
    assert (kernels(model.generator), kernels(model.discriminator)) == ({(4, 4)}, {(5, 5)})


def test_a_first_norm_of_features_is_batch_norm_over_the_batch_alone_worked_out():
    generator = built("dcgan", Spec(1, 8), first_norm="features", init="default").generator
    z = RandomStream(0, "z").normal(6, 3)
    h = generator.project(z)
    by_hand = ((h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()).relu().unflatten(1, (2, 4, 4))
    seen = []
    generator.blocks[0].register_forward_hook(lambda _, given, made: seen.append(made))
    generator(z)
    torch.testing.assert_close(seen[0], by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["none", "layer", "instance"])
def test_a_first_norm_of_features_is_refused_where_there_is_no_batch_norm(kind):
    with pytest.raises(gankit.UsageError, match=f"--generator-norm {kind} takes none: use batch"):
        built("dcgan", Spec(1, 8), first_norm="features", generator_norm=kind)


@pytest.mark.parametrize(("width", "found"), [(None, 16), (7, 7)])
def test_the_joint_layer_is_as_wide_as_asked_or_eight_times_ndf(width, found):
    judge = built("cdcgan", Spec(1, 8, 3), conditioning="embedding", embedding_width=5, joint_width=width).discriminator
    assert judge.joint[0].weight.shape == (found, judge.features + 5)
    assert judge.head.weight.shape == (1, found)


@pytest.mark.parametrize("arch", ["dcgan", "mlp"])
@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_without_a_joint_layer_the_label_only_shifts_the_score(norm, arch):
    flags = {"conditioning": "embedding", "embedding_width": 5, "discriminator_norm": norm, "arch": arch}
    model = built("cdcgan", Spec(1, 8, 3), joint_width=0, init="default", **flags).eval()
    assert model.discriminator.head.weight.shape == (1, model.discriminator.features + 5)
    images = RandomStream(0, "x").normal(4, 1, 8, 8).requires_grad_()
    scores = [model.score({"labels": torch.full((4,), label)}, fake=images)[0] for label in (0, 1)]
    shift = (scores[0] - scores[1]).detach()
    assert float(shift.abs().min()) > 1e-4
    assert float(shift.std()) < 1e-5
    slopes = [torch.autograd.grad(score.sum(), images)[0] for score in scores]
    torch.testing.assert_close(*slopes)


PLACES = [
    ("dcgan", {"arch": "dcgan"}), ("dcgan", {"arch": "dcgan", "upsample": "shuffle", "downsample": "average"}),
    ("gan", {}), ("cdcgan", {"conditioning": "embedding"}), ("infogan", {"arch": "dcgan"}), ("bigan", {"arch": "mlp"}),
    ("acgan", {}), ("cyclegan", {}), ("vae", {}), ("vq-vae", {}),
]  # fmt: skip


@pytest.mark.parametrize(("variant", "flags"), PLACES, ids=str)
def test_biases_are_in_all_layers_or_in_none_or_where_no_norm_subtracts_them(variant, flags):
    spec = Spec(1, 8, 3, paired_domains=variant == "cyclegan")
    layers = {}
    for asked in ("auto", "on", "off"):
        model = built(variant, spec, bias=asked, **flags)
        layers[asked] = [
            (name, layer.bias is not None)
            for name, layer in model.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
        ]
    assert all(has for _, has in layers["on"])
    assert not any(has for _, has in layers["off"])
    assert 0 < sum(has for _, has in layers["auto"]) < len(layers["auto"])


def test_an_embedding_beside_z_without_a_scale_is_as_long_as_as_many_numbers_of_z():
    lengths = {}
    for scale in ("unit", "none"):
        model = built("acgan", Spec(1, 8, 3), embedding_width=400, embedding_scale=scale)
        noise = {"z": torch.zeros(3, 3), "labels": torch.arange(3)}
        lengths[scale] = model.latents(noise)[:, 3:].norm(dim=1).tolist()
    assert lengths["unit"] == pytest.approx([1] * 3, abs=0.15)
    assert lengths["none"] == pytest.approx([20 * length for length in lengths["unit"]], rel=1e-5)
