"""A plugin that fails while it is used is named, with its package, its version and the rule, in one line."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from tiny import TINY

import gankit
from gankit import AdversarialModel, AdversarialOptions, ImageSet, Terms, Variant
from gankit.registry import Entry, PluginError, registry

OWNER = "gankit-odd 1.2.3"


class OddModel(AdversarialModel):
    """Does what the test says in place of its loss."""

    wrong = None

    def terms(self, phase, batch, noise, carry):
        if phase == "generator":
            (on_fake,) = self.score(noise, fake=self.made(noise, carry))
            return Terms({"adversarial": -on_fake.mean()})
        on_real, on_fake, kept = self.compare(batch, noise)
        return type(self).wrong(on_real, on_fake, kept) or Terms({"real": on_fake.mean() - on_real.mean()}, carry=kept)


class Odd(Variant):
    """A stranger's variant."""

    name, summary, paper, Options = "odd", "odd", "nobody", AdversarialOptions

    def build(self, options, spec):
        return OddModel(options, spec)


@pytest.fixture
def odd(monkeypatch):
    monkeypatch.setitem(registry().entries["variants"], "odd", Entry("odd", "odd", OWNER, Odd))
    monkeypatch.setattr(OddModel, "wrong", None)


def refuse(*_):
    raise KeyError("a bug")


def leave(*_):
    sys.exit()


def spoil(on_real, on_fake, kept):
    return Terms({"real": on_real.mean() * float("nan"), "fake": on_fake.mean()}, carry=kept)


def forget(on_real, on_fake, kept):
    return Terms({"real": on_real.detach().mean()})


WRONG = {
    "raises": (refuse, "failed in terms('discriminator'): KeyError: 'a bug'"),
    "ends the process": (leave, "failed in terms('discriminator'): SystemExit: "),
    "returns a dict": (lambda real, fake, kept: {"real": real.mean()}, "returns dict, not Terms"),
    "gives none": (lambda real, fake, kept: Terms({}), "gives no loss"),
    "gives a number": (lambda real, fake, kept: Terms({"real": 0.5}), "gives 'real' as float, not as a tensor"),
    "gives a vector": (lambda real, fake, kept: Terms({"real": real}), "gives 'real' of shape [8], not a scalar"),
    "has no gradient": (forget, "gives losses that depend on no parameter"),
    "carries a number": (lambda real, fake, kept: Terms({"r": real.mean()}, carry={"n": 1}), "carries 'n' as int"),
}


@pytest.mark.parametrize(("wrong", "said"), WRONG.values(), ids=WRONG)
def test_a_variant_that_breaks_a_rule_is_named_with_its_version(wrong, said, odd, monkeypatch, tmp_path):
    monkeypatch.setattr(OddModel, "wrong", staticmethod(wrong))
    with pytest.raises(PluginError) as caught:
        gankit.train("odd", data="shapes", steps=2, out=tmp_path / "run", **TINY)
    assert str(caught.value).startswith(f"variant 'odd' of {OWNER}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_parameter_that_no_loss_reaches_is_named(odd, monkeypatch, tmp_path):
    monkeypatch.setattr(OddModel, "wrong", staticmethod(lambda real, fake, kept: None))
    build = Odd.build

    def spare(self, options, spec):
        model = build(self, options, spec)
        model.discriminator.spare = torch.nn.Linear(2, 2)
        return model

    monkeypatch.setattr(Odd, "build", spare)
    with pytest.raises(PluginError, match=r"do not reach discriminator\.spare\.weight, discriminator\.spare\.bias"):
        gankit.train("odd", data="shapes", steps=2, out=tmp_path / "run", **TINY)


def test_a_loss_that_is_no_number_names_the_term_and_the_step(odd, monkeypatch, tmp_path):
    monkeypatch.setattr(OddModel, "wrong", staticmethod(spoil))
    with pytest.raises(gankit.GankitError, match="discriminator/real stopped being finite at step 1"):
        gankit.train("odd", data="shapes", steps=2, out=tmp_path / "run", **TINY)


def test_a_variant_that_cannot_be_built_and_a_data_set_that_cannot_be_loaded_are_named(odd, monkeypatch, tmp_path):
    monkeypatch.setattr(Odd, "build", refuse)
    with pytest.raises(PluginError, match=rf"variant 'odd' of {OWNER} failed in build: KeyError"):
        gankit.train("odd", data="shapes", steps=2, out=tmp_path / "run", **TINY)

    class Floats:
        def load(self, options, seed):
            return ImageSet(torch.zeros(4, 1, 8, 8))

    class Torn(Floats):
        load = refuse

    for kind, error, said in ((Torn, PluginError, f"data set 'torn' of {OWNER} failed in load of torn: KeyError"),
                              (Floats, gankit.UsageError, "images must be uint8")):  # fmt: skip
        monkeypatch.setitem(registry().entries["datasets"], "torn", Entry("torn", "torn", OWNER, kind))
        with pytest.raises(error, match=said):
            gankit.train("wgan-gp", data="torn", steps=2, out=tmp_path / "run", **TINY)


def test_a_metric_that_fails_is_named(monkeypatch, finished):
    swd = registry().get("metrics", "swd")
    monkeypatch.setitem(registry().entries["metrics"], "swd", Entry("swd", "swd", OWNER, swd))
    monkeypatch.setattr(swd, "value", refuse)
    with pytest.raises(PluginError, match=rf"metric 'swd' of {OWNER} failed in value: KeyError"):
        gankit.evaluate(finished, "swd", images=20)


def test_a_variant_that_draws_from_pytorchs_own_generator_is_warned_of(odd, monkeypatch, tmp_path, capsys):
    def drawing(real, fake, kept):
        return Terms({"real": (real * torch.randn(8)).mean() + fake.mean()}, carry=kept)

    monkeypatch.setattr(OddModel, "wrong", staticmethod(drawing))
    gankit.train("odd", data="shapes", steps=2, out=tmp_path / "run", **TINY)
    said = capsys.readouterr().err
    assert said.count(f"Warning: variant 'odd' of {OWNER}: terms('discriminator') draws from PyTorch's own") == 1


def test_a_package_that_would_end_the_process_when_it_is_imported_is_left_out(monkeypatch, capsys):
    def ends():
        print("imported")
        raise SystemExit(0)

    point = types.SimpleNamespace(name="bad", dist=types.SimpleNamespace(name="gankit-bad", version="2"), load=ends)
    monkeypatch.setattr("gankit.registry.metadata.entry_points", lambda group: [point])
    registry.cache_clear()
    try:
        found = registry()
    finally:
        registry.cache_clear()
    assert "wgan-gp" in found.entries["variants"]
    assert "gankit-bad 2" in {each.plugin for each in found.broken}
    said = capsys.readouterr()
    assert said.out == ""
    assert "Warning: plugin gankit-bad 2 is left out: SystemExit: 0" in said.err
