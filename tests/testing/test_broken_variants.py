"""Variants that are broken on purpose, each in one way: the check that is for it finds it, and says so."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import relu

from gankit import AdversarialModel, AdversarialOptions, ConditionalModel, ConditionalOptions, Terms, Variant, option
from gankit.testing import CheckFailed, check_variant


class Sound(AdversarialModel):
    """The hinge loss, nothing wrong with it."""

    def terms(self, phase, batch, noise, carry):
        if phase == "generator":
            (on_fake,) = self.score(noise, fake=self.made(noise, carry))
            return Terms(losses={"adversarial": self.bent(-on_fake.mean(), on_fake)})
        on_real, on_fake, kept = self.compare(batch, noise)
        return Terms(losses={"real": self.bent(relu(1 - on_real).mean(), on_real), "fake": relu(1 + on_fake).mean()},
                     carry=kept)  # fmt: skip

    def bent(self, loss, scores):
        """``loss``, wrong in a way."""
        return loss


class DrawsDropout(Sound):
    def bent(self, loss, scores):
        return F.dropout(scores, 0.5).mean() + loss


class DrawsInTerms(Sound):
    def bent(self, loss, scores):
        return loss + (scores * torch.randn_like(scores)).mean()


class DrawsInNoise(Sound):
    def noise(self, phase, n, draws):
        return {**super().noise(phase, n, draws), "z": torch.randn(n, self.options.nz)}


class DrawsOneForAll(Sound):
    def noise(self, phase, n, draws):
        return {**super().noise(phase, n, draws), "scale": draws.normal(1)}


class ReadsBack(Sound):
    def bent(self, loss, scores):
        return loss if loss.item() > 0 else loss * 2


class Selects(Sound):
    def bent(self, loss, scores):
        return scores[scores > -10].mean()


class NotDetached(Sound):
    def fakes(self, noise):
        return self.generate(noise)

    def terms(self, phase, batch, noise, carry):
        if phase == "generator":
            return super().terms(phase, batch, noise, carry)
        on_real, on_fake = self.score(noise, real=batch.images, fake=self.generate(self.fresh(noise)))
        return Terms(losses={"real": relu(1 - on_real).mean(), "fake": relu(1 + on_fake).mean()},
                     carry=self.kept(self.fakes(noise)))  # fmt: skip

    def fresh(self, noise):
        return noise


class Unused(Sound):
    def __init__(self, options, spec):
        super().__init__(options, spec)
        self.discriminator.spare = nn.Linear(3, 3)


class PlainNumber(Sound):
    def bent(self, loss, scores):
        return 0.5


class NotScalar(Sound):
    def bent(self, loss, scores):
        return relu(1 - scores)


class NotANumber(Sound):
    def bent(self, loss, scores):
        return loss / 0 * 0


class Narrow(Sound):
    def bent(self, loss, scores):
        return loss.float()


class Constant(Sound):
    def bent(self, loss, scores):
        return loss.detach()


class Sums(Sound):
    def bent(self, loss, scores):
        return relu(1 - scores).sum()


class TiesTheBatch(Sound):
    def bent(self, loss, scores):
        return (scores - scores.mean()).square().mean() + loss


class CallsBackward(Sound):
    def bent(self, loss, scores):
        with torch.enable_grad():
            sum(p.square().sum() for p in self.generator.parameters()).backward()
        return loss


class MovesAnother(Sound):
    def after(self, phase):
        for parameter in self.generator.parameters():
            parameter.mul_(0.9)


class Counts(Sound):
    calls = 0

    def bent(self, loss, scores):
        self.calls += 1
        return loss * (1 + 0.1 * self.calls)


class CarriesNumbers(Sound):
    def kept(self, fake):
        return {**super().kept(fake), "mean": 0.5}


class Loud(Sound):
    def sample(self, noise, batch=None):
        return super().sample(noise, batch) + 2


class SamplesAnew(Sound):
    def sample(self, noise, batch=None):
        return (super().sample(noise, batch) + 0.1 * torch.randn(1)).clamp(-1, 1)


class SampleMoves(Sound):
    def __init__(self, options, spec):
        super().__init__(options, spec)
        self.register_buffer("seen", torch.zeros(()))

    def sample(self, noise, batch=None):
        self.seen.add_(1)
        return super().sample(noise, batch)


class OneBatchSize(Sound):
    def bent(self, loss, scores):
        return scores.reshape(8, -1).mean() + loss


class GreyOnly(Sound):
    def terms(self, phase, batch, noise, carry):
        assert batch.images.shape[1] == 1, "grey"
        return super().terms(phase, batch, noise, carry)


class NoHalf(Sound):
    def bent(self, loss, scores):
        products = scores[:, None] @ scores[None]  # bfloat16 there, which what it is put into is not
        kept = scores.new_zeros(len(scores), len(scores))
        return loss + kept.index_put((torch.arange(len(scores)),), products).mean()


class WrongPhase(Sound):
    def __init__(self, options, spec):
        super().__init__(options, spec)
        critic, generator = self.phases
        self.phases = (type(critic)(critic.name, ("discriminator", "generator"), critic.optimizer), generator)


class SampleTakesAll(Sound):
    def sample(self, noise, batch=None):
        return super().sample(noise, batch)[:1]


class Raises(Sound):
    def bent(self, loss, scores):
        return loss + self.nothing_of_that_name


class WrongLabels(ConditionalModel):
    def with_condition(self, noise, name, values):
        return noise

    def terms(self, phase, batch, noise, carry):
        if phase == "generator":
            (on_fake,) = self.score(noise, fake=self.made(noise, carry))
            return Terms(losses={"adversarial": -on_fake.mean()})
        on_real, on_fake, kept = self.compare(batch, noise)
        return Terms(losses={"real": relu(1 - on_real).mean(), "fake": relu(1 + on_fake).mean()}, carry=kept)


@dataclass(frozen=True)
class Unhelpful(AdversarialOptions):
    odd: float = option(0.1, "", low=0, high=1)


BROKEN = {
    DrawsDropout: "randomness only through noise", DrawsInTerms: "randomness only through noise",
    DrawsInNoise: "randomness only through noise", DrawsOneForAll: "noise has a row an image",
    ReadsBack: "a static step", Selects: "a static step", NotDetached: "detached fakes",
    Unused: "gradients where they belong", PlainNumber: "losses", NotScalar: "losses", NotANumber: "losses",
    Narrow: "losses", Constant: "losses", Sums: "losses are means over the batch",
    TiesTheBatch: "losses are means over the batch", CallsBackward: "moves its own networks alone",
    MovesAnother: "moves its own networks alone", Counts: "resumes bit for bit", CarriesNumbers: "losses",
    Loud: "samples", SamplesAnew: "samples", SampleMoves: "samples", OneBatchSize: "odd batch sizes",
    GreyOnly: "grey and colour, oblong and not", NoHalf: "both precisions", WrongPhase: "gradients where they belong",
    SampleTakesAll: "samples", Raises: "losses", WrongLabels: "conditions",
}  # fmt: skip
"""Each broken model, and the check that is for it. Others may fail, too."""


def variant_of(model):
    """A variant that builds ``model``, not registered anywhere."""
    conditional = issubclass(model, ConditionalModel)

    class Odd(Variant):
        name = f"odd-{model.__name__.lower()}"
        summary = "broken on purpose"
        paper = "nobody 2026"
        Options = ConditionalOptions if conditional else AdversarialOptions

        def build(self, options, spec):
            return model(options, spec)

    return Odd


def failures(variant):
    """What each check that fails says, by its name."""
    found = {}
    for check in check_variant(variant):
        try:
            check()
        except CheckFailed as error:
            found[check.name] = str(error)
    return found


def test_a_variant_without_a_fault_passes():
    assert failures(variant_of(Sound)) == {}


@pytest.mark.parametrize("model", BROKEN, ids=lambda model: model.__name__)
def test_a_variant_broken_on_purpose_is_found_by_the_check_that_is_for_it(model):
    (check,) = [check for check in check_variant(variant_of(model)) if check.name == BROKEN[model]]
    with pytest.raises(CheckFailed) as caught:
        check()
    said = str(caught.value)
    assert said.startswith(f"odd-{model.__name__.lower()}: {BROKEN[model]}: ")
    assert "Why it matters: " in said
    assert "What to change: " in said


def test_an_option_without_help_and_a_variant_without_a_paper_are_found():
    odd = variant_of(Sound)
    odd.Options = Unhelpful
    assert "option 'odd' has no help" in failures(odd)["options"]
    odd = variant_of(Sound)
    odd.paper = ""
    assert "names no paper" in failures(odd)["options"]
