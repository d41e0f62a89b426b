"""Variants whose generator is told the class: a mixin that makes any adversarial variant conditional.

Put before a variant's model, as in ``class CGANModel(ConditionalModel, GANModel)``, it draws the labels, gives them to
both networks and leaves the terms as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gankit.core.errors import UsageError
from gankit.core.options import option
from gankit.core.rng import RandomStream
from gankit.core.types import Batch, Carry, Noise, Spec
from gankit.models.adversarial import AdversarialModel
from gankit.models.interface import Conditional, Terms
from gankit.models.label_embedding import (
    LabelOptions,
    Projection,
    check_labelled,
    label_embedding,
    labels_like,
    planes,
    shares,
)
from gankit.models.networks import Architecture, Discriminator, Generator, forward_batched


@dataclass(frozen=True)
class ConditionalOptions(LabelOptions):
    """How the labels reach the networks."""

    discriminator_label: str = option(
        "on", "whether the discriminator is told the label, too; off drops it, to see what it is worth",
        choices=("on", "off"), group="Conditioning",
    )  # fmt: skip


class LabelledModel(AdversarialModel, Conditional):
    """The label's embedding is joined to z (Mirza & Osindero 2014, section 3.2).

    In the discriminator's phase the fakes have the labels of the real batch: it compares like with like, the classes
    are as frequent among fakes as among real images, and a point between the two lies within one class. Elsewhere
    labels are drawn, all classes alike; for "evaluate" as they are in the data.
    """

    options: Any

    def __init__(self, options: Any, spec: Spec) -> None:
        check_labelled(spec)
        super().__init__(options, spec)
        self.conditions = {"class": spec.classes}

    def build_generator(self, arch: Architecture) -> Generator:
        label = label_embedding(self.options, self.spec, beside_latent=True)
        found = arch.generator(self.inputs() + label.width, self.spec, self.options)
        found.add_module("label", label)  # so that it is moved, averaged and saved with the network it feeds
        return found

    def latents(self, noise: Noise) -> Tensor:
        label = self.generator.get_submodule("label")(self.shares(noise))
        return torch.cat([super().latents(noise), label.to(noise["z"].dtype)], 1)

    def shares(self, noise: Noise) -> Tensor:
        """The labels of ``noise`` as shares of each class, [n, classes]."""
        weight = next(self.generator.parameters())
        return shares(noise["labels"], self.spec.classes, weight.dtype)

    def sees_real(self, phase: str) -> bool:
        """Whether ``phase`` draws real images: its fakes then have their labels."""
        return any(some.name == phase and some.data for some in self.phases)

    def noise(self, phase: str, n: int, draws: RandomStream) -> Noise:
        noise = super().noise(phase, n, draws)
        if "z" in noise and not self.sees_real(phase):
            counts = self.spec.class_counts if phase == "evaluate" else ()
            noise["labels"] = labels_like(counts, n, draws) if counts else draws.integers(self.spec.classes, n)
        return noise

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        if self.sees_real(phase):
            labels = labels_of(batch)
        else:
            labels = carry["labels"] if "labels" in carry else noise["labels"]
        terms = super().terms(phase, batch, {**noise, "labels": labels}, carry)
        return replace(terms, carry={**terms.carry, "labels": labels}) if terms.carry else terms

    def with_condition(self, noise: Noise, name: str, values: Tensor) -> Noise:
        return {**noise, "labels": values}

    def preview(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        """One class after the other."""
        n = len(noise["z"])
        labels = torch.arange(n, device=noise["z"].device) * self.spec.classes // n
        return self.sample(self.with_condition(noise, "class", labels))


class ConditionalModel(LabelledModel):
    """The discriminator is told the label as well: one-hot as constant channels beside the image (Perarnau et al. 2016
    found the first layer the best place), the wider kinds joined to its features, as Reed et al. (2016) do with text,
    a projection as the inner product with them (Miyato & Koyama 2018).
    """

    def build_discriminator(self, arch: Architecture) -> Discriminator:
        if self.options.discriminator_label == "off":
            return super().build_discriminator(arch)
        if self.options.conditioning == "projection":
            found = arch.discriminator(self.spec, self.options)
            found.projects = True
            spectral = self.options.discriminator_norm == "spectral"
            found.add_module("label", Projection(self.spec.classes, found.features, spectral=spectral))
            return found
        label = label_embedding(self.options, self.spec)
        beside = self.options.conditioning == "onehot"
        found = arch.discriminator(
            self.spec,
            self.options,
            extra_channels=label.width if beside else 0,
            extra_features=0 if beside else label.width,
        )
        found.add_module("label", label)
        return found

    def score(self, noise: Noise, **images: Tensor) -> Sequence[Tensor]:
        if self.options.discriminator_label == "off":
            return super().score(noise, **images)
        label, seen = self.discriminator.get_submodule("label")(self.shares(noise)), self.shown(noise, **images)
        if self.options.conditioning == "onehot":
            return forward_batched(self.discriminator, [planes(label, each) for each in seen])
        return forward_batched(self.discriminator, seen, [label] * len(seen))


def labels_of(batch: Batch) -> Tensor:
    """The labels of a batch of real images. UsageError where it has none."""
    if batch.labels is None:
        raise UsageError("the data set names classes but has no labels; give its ImageSet labels")
    return batch.labels
