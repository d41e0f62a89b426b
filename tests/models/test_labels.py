"""What labels do in every conditional variant: which are used where, and that the networks heed them."""

from __future__ import annotations

import pytest
import torch
from players import (
    LABELLED,
    TINY,
    tiny_trainer,
)
from torch.nn import functional as F

import gankit
from gankit import ImageSet, RandomStream, Spec, Trainer
from gankit.config import configure
from gankit.registry import registry

KINDS = ("onehot", "embedding", "text")


@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", ["cgan", "cwgan-gp"])
def test_the_label_turns_the_slope_at_the_image_and_not_only_the_score(variant, kind, arch):
    """A code that is joined to the features right before a linear head would only shift the score."""
    config = configure(variant, {"arch": arch, "ngf": 2, "ndf": 8, "nz": 3, "conditioning": kind, "init": "default"})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = registry().get("variants", variant)().build(config.options, Spec(1, 8, 3, names=("a", "b", "c"))).eval()
    slopes = []
    for label in (0, 1):
        images = RandomStream(0, "x").normal(16, 1, 8, 8).requires_grad_()
        (scores,) = model.score({"labels": torch.full((16,), label)}, fake=images)
        slopes.append(torch.autograd.grad(scores.sum(), images)[0])
    assert float((slopes[0] - slopes[1]).norm()) > 1e-3 * float(slopes[0].norm())


@pytest.mark.parametrize("variant", LABELLED)
def test_fakes_have_the_real_labels_for_the_discriminator_and_drawn_ones_for_the_generator(variant, monkeypatch):
    trainer = tiny_trainer(variant, n_critic=2, **({"warmup": 0} if variant == "cwgan" else {}))
    used = []
    generate = trainer.model.generate
    monkeypatch.setattr(trainer.model, "generate", lambda noise: used.append(noise["labels"]) or generate(noise))
    trainer.step()
    drawn = trainer.batches.noise("generator", 0, 0)["labels"]
    expected = [trainer.batches.batch(0).labels, trainer.batches.batch(1).labels, drawn]
    assert [labels.tolist() for labels in used] == [labels.tolist() for labels in expected]


@pytest.mark.parametrize("variant", LABELLED)
def test_labels_of_samples_are_drawn_uniformly_and_change_the_images(variant):
    trainer = tiny_trainer(variant)
    noise = trainer.model.noise("sample", 600, RandomStream(0, "x"))
    assert noise["labels"].dtype == torch.int64
    assert noise["labels"].bincount(minlength=3).min() > 150
    noise = {name: value.double() if value.is_floating_point() else value for name, value in noise.items()}
    one, two = ({**noise, "labels": torch.full((600,), label)} for label in (0, 1))
    model = trainer.model.eval()
    assert float((model.sample(one) - model.sample(two)).detach().abs().max()) > 1e-6


@pytest.mark.parametrize("variant", LABELLED)
def test_images_without_labels_are_refused_with_what_to_do(variant):
    images = ImageSet(RandomStream(0, "x").integers(256, 9, 1, 8, 8).to(torch.uint8))
    with pytest.raises(gankit.UsageError, match="a folder for each class"):
        Trainer(configure(variant, TINY), images)


def test_a_text_vector_is_a_function_of_the_text_alone_and_likens_texts_that_share_letters():
    from gankit.models.label_embedding import text_vector

    coat, again, coats, bag = (text_vector(text, 2000) for text in ("Coat", " coat", "Coats", "Bag"))
    assert torch.equal(coat, again)
    assert float(coat.std()) == pytest.approx(1, abs=0.1)
    assert float(F.cosine_similarity(coat, coats, 0)) > 0.5
    assert abs(float(F.cosine_similarity(coat, bag, 0))) < 0.1


def test_an_embedding_beside_z_is_as_long_as_a_one_hot_vector():
    """At the length of z it would soon drown z: see `label_embedding`."""
    model = tiny_trainer("acgan", embedding_width=400).model
    noise = model.noise("sample", 50, RandomStream(0, "x"))
    joined = model.latents({**noise, "z": noise["z"].double()})[:, 3:]
    assert joined.norm(dim=1).tolist() == pytest.approx([1] * 50, abs=0.15)
