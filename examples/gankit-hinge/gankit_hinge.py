"""Lim & Ye 2017, "Geometric GAN": the hinge loss."""

from torch.nn.functional import relu

from gankit import AdversarialModel, AdversarialOptions, Terms, Variant


class HingeModel(AdversarialModel):
    def terms(self, phase, batch, noise, carry):
        if phase == "generator":
            (on_fake,) = self.score(noise, fake=self.made(noise, carry))
            return Terms(losses={"adversarial": -on_fake.mean()}, watch={"D(G(z))": on_fake.mean()})
        on_real, on_fake, kept = self.compare(batch, noise)
        return Terms(
            losses={"real": relu(1 - on_real).mean(), "fake": relu(1 + on_fake).mean()},
            watch={"D(x)": on_real.mean(), "D(G(z))": on_fake.mean()},
            carry=kept,
        )


class Hinge(Variant):
    name = "hinge"
    summary = "GAN with the hinge loss"
    paper = "Lim & Ye 2017, arXiv:1705.02894"
    Options = AdversarialOptions

    def build(self, options, spec):
        return HingeModel(options, spec)
