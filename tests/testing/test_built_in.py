"""gankit's own plugins keep the rules that strangers' are held to, and the shell says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from paths import ROOT

from gankit.data.catalogue import DataOptions
from gankit.plugins.datasets.shapes import Shapes
from gankit.plugins.extractors.classifier import Classifier
from gankit.registry import registry
from gankit.testing import (
    CheckFailed,
    check_architecture,
    check_dataset,
    check_extractor,
    check_metric,
    check_variant,
    parametrize_checks,
)

NAMES = registry().names


@parametrize_checks(*(check_variant(name) for name in NAMES("variants")))
def test_every_built_in_variant_passes(check):
    check()


@parametrize_checks(
    *(check_architecture(name) for name in NAMES("architectures") if name != "resnet"),
    *(check_dataset(name) for name in ("shapes", "stripes")),
    *(check_metric(name) for name in NAMES("metrics")),
)
def test_every_built_in_architecture_drawn_data_set_and_metric_passes(check):
    check()


def test_the_classifier_passes():
    options = DataOptions(data="shapes", limit=60, size=8)
    for check in check_extractor(Classifier, Shapes().load(options, 0), options):
        check()


def test_a_data_set_of_floats_and_a_metric_that_gives_no_number_are_found():
    class Floats(Shapes):
        name = "floats"

        def load(self, options, seed):
            found = super().load(options, seed)
            object.__setattr__(found, "images", found.images.float())
            return found

    class NoNumber(type(registry().get("metrics", "fid")())):
        name = "no-number"

        def value(self, fake, real):
            return float("nan")

    with pytest.raises(CheckFailed, match=r"floats: images: images are torch\.float32"):
        check_dataset(Floats)[0]()
    with pytest.raises(CheckFailed, match="no-number: value: the score of ordinary images is nan"):
        check_metric(NoNumber)[0]()


def test_the_shell_tells_of_each_check_and_ends_with_1_where_one_fails(cli, monkeypatch):
    done = cli("plugins", "check", "lsgan")
    assert done.exit_code == 0
    assert done.output.count(": passed") >= 15
    from gankit.plugins.variants.lsgan import LSGANModel

    monkeypatch.setattr(LSGANModel, "sample", lambda self, noise, batch=None: torch.full((3, 1, 8, 8), 9.0))
    done = cli("plugins", "check", "lsgan")
    assert done.exit_code == 1
    assert "samples: FAILED: lsgan: samples: " in done.output
    assert "Error: lsgan: 1 of its checks failed" in done.output
    assert "did you mean 'lsgan'" in cli("plugins", "check", "lsgn").output


def test_the_package_that_new_writes_passes_its_own_test(cli, tmp_path):
    root = tmp_path / "mine"
    assert cli("plugins", "new", "my-gan", "-o", root).exit_code == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    for name, said in (("my-gan", "exists"), ("lsgan", "is a variant already"), ("My GAN", "small letters")):
        assert said in cli("plugins", "new", name, "-o", root).output


def test_the_example_passes():
    code = (
        "import sys; sys.path.insert(0, 'examples/gankit-hinge')\n"
        "from gankit_hinge import Hinge\nfrom gankit.testing import check_variant\n"
        "print(sum(check() is None for check in check_variant(Hinge)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(ROOT), capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 15
