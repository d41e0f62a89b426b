"""Odena, Olah & Shlens 2017, "Conditional image synthesis with auxiliary classifier GANs"."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gankit import (
    AdversarialModel,
    AdversarialOptions,
    Architecture,
    Batch,
    Discriminator,
    Spec,
    Terms,
    Variant,
    option,
)
from gankit.models import AVERAGED, Carry, LabelledModel, LabelOptions, Noise, bce_fake, bce_real, generator_loss


@dataclass(frozen=True)
class ACGANOptions(LabelOptions, AdversarialOptions):
    """Adam 2e-4 (0.5, 0.999) as published (appendix A); the embedding of 100 beside a z of 100 is the common code's."""

    class_weight_d: float = option(1.0, "weight of the class terms for D", low=0, high=1e6, group="Loss")
    class_weight_g: float = option(1.0, "weight of the class term for G", low=0, high=1e6, group="Loss")
    fake_class: bool = option(False, "give D one more class, for fakes, which its class head is to see", group="Loss")
    label_smoothing: float = option(0.0, "real images' target is 1 minus this", low=0, high=0.5, group="Loss")
    conditioning: str = "embedding"
    embedding_width: int = 100


class AuxiliaryClassifier(AdversarialModel):
    """D is not told the class but has a second head that names it. D maximises L_S + L_C, G L_C - L_S (equations 2
    and 3), the latter in its non-saturating form.
    """

    options: ACGANOptions

    def build_discriminator(self, arch: Architecture) -> Discriminator:
        outputs = 1 + self.spec.classes + self.options.fake_class
        return arch.discriminator(self.spec, self.options, outputs=outputs)

    def terms(self, phase: str, batch: Batch, noise: Noise, carry: Carry) -> Terms:
        if phase == "discriminator":
            return self.discriminator_terms(batch, noise)
        on_fake, named = heads(*self.score(noise, fake=self.made(noise, carry)))
        return Terms(
            losses={
                "adversarial": generator_loss(on_fake, "non-saturating"),
                "class": self.options.class_weight_g * F.cross_entropy(named, noise["labels"]),
            },
            watch={"D(G(z))": on_fake.sigmoid().mean(), "accuracy fake": accuracy(named, noise["labels"])},
        )

    def discriminator_terms(self, batch: Batch, noise: Noise) -> Terms:
        """Both heads on real images and on fakes; with --fake-class the class of fakes is one of their own."""
        real, fake, kept = self.compare(batch, noise)
        (on_real, named_real), (on_fake, named_fake), labels = heads(real), heads(fake), noise["labels"]
        of_fakes = torch.full_like(labels, self.spec.classes) if self.options.fake_class else labels
        weight = self.options.class_weight_d
        return Terms(
            losses={
                "real": bce_real(on_real, self.options.label_smoothing),
                "fake": bce_fake(on_fake),
                "class real": weight * F.cross_entropy(named_real, labels),
                "class fake": weight * F.cross_entropy(named_fake, of_fakes),
            },
            watch={
                "D(x)": on_real.sigmoid().mean(),
                "D(G(z))": on_fake.sigmoid().mean(),
                "accuracy real": accuracy(named_real, labels),
            },
            carry=kept,
        )


class ACGANModel(LabelledModel, AuxiliaryClassifier):
    """The generator is told the class, the discriminator has to find it."""


def heads(scores: Tensor) -> tuple[Tensor, Tensor]:
    """D's outputs [n, 1 + classes] -> the logit of being real [n], and those of the classes [n, classes]."""
    return scores[:, 0], scores[:, 1:]


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of the ``labels`` [n] that have the largest of the logits [n, classes]."""
    return (logits.argmax(1) == labels).to(logits.dtype).mean()


class ACGAN(Variant):
    """A generator that is told the class and a discriminator that has to name it."""

    paper = "Odena, Olah & Shlens 2017, arXiv:1610.09585"
    Options = ACGANOptions
    defaults = {"batch_size": 128}
    tuned = AVERAGED

    def build(self, options: ACGANOptions, spec: Spec) -> ACGANModel:
        return ACGANModel(options, spec)
