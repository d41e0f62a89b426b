"""The package that `gankit plugins new` writes."""

from __future__ import annotations

import re
from pathlib import Path

from gankit.core.errors import UsageError
from gankit.core.files import explained
from gankit.registry import registry

FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "gankit-NAME"
version = "0.1.0"
dependencies = ["gankit"]

[project.entry-points.gankit]
NAME = "MODULE_plugin"

[tool.setuptools]
py-modules = ["MODULE", "MODULE_plugin"]
""",
    "MODULE_plugin.py": '''\
"""What gankit loads at start: it names the variant and leaves PyTorch alone."""

from gankit import hookimpl


@hookimpl
def register_variants(register):
    register("MODULE:CLASS", name="NAME", summary="what it is, in a line")
''',
    "MODULE.py": '''\
"""The paper, its authors and year."""

from dataclasses import dataclass

from torch.nn.functional import softplus

from gankit import AdversarialModel, AdversarialOptions, Terms, Variant, option


@dataclass(frozen=True)
class CLASSOptions(AdversarialOptions):
    """The options of every adversarial variant, and one of its own."""

    weight: float = option(1.0, "weight of the generator's loss", low=0, high=100, group="Loss")


class CLASSModel(AdversarialModel):
    """The non-saturating loss (Goodfellow et al. 2014, section 3), to be replaced."""

    options: CLASSOptions

    def terms(self, phase, batch, noise, carry):
        if phase == "generator":
            (on_fake,) = self.score(noise, fake=self.made(noise, carry))
            return Terms(losses={"adversarial": self.options.weight * softplus(-on_fake).mean()})
        on_real, on_fake, kept = self.compare(batch, noise)
        return Terms(
            losses={"real": softplus(-on_real).mean(), "fake": softplus(on_fake).mean()},
            watch={"D(x)": on_real.sigmoid().mean(), "D(G(z))": on_fake.sigmoid().mean()},
            carry=kept,
        )


class CLASS(Variant):
    """What the plugin registers."""

    paper = "authors, year, where"
    Options = CLASSOptions

    def build(self, options, spec):
        return CLASSModel(options, spec)
''',
    "test_MODULE.py": '''\
"""What gankit relies on: each check is a test of its own. Run `pytest`."""

from MODULE import CLASS

from gankit.testing import check_variant, parametrize_checks


@parametrize_checks(check_variant(CLASS))
def test_NAME_keeps_the_rules(check):
    check()
'''.replace("test_NAME", "test_MODULE"),
}


def write(name: str, root: Path) -> Path:
    """Write the package of a variant called ``name`` into folder ``root``, which must be new. UsageError where it is
    not, or the name cannot be one.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(f"'{name}': a variant's name has small letters, digits and single dashes: my-gan")
    if name in registry().names("variants"):
        raise UsageError(f"'{name}' is a variant already; choose another name")
    if root.exists():
        raise UsageError(f"{root}: exists; choose another folder with -o")
    module = f"gankit_{name.replace('-', '_')}"
    words = {"MODULE": module, "NAME": name, "CLASS": "".join(part.capitalize() for part in name.split("-"))}
    with explained(root):
        root.mkdir(parents=True)
        for file, text in FILES.items():
            for word, value in words.items():
                file, text = file.replace(word, value), text.replace(word, value)
            (root / file).write_text(text, encoding="utf-8")
    return root
