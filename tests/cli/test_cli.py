"""The command line: what it imports, prints and exits with."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import gankit
from gankit.registry import registry

FAST = ["--arch", "mlp", "--ngf", "2", "--ndf", "2", "--nz", "4", "--batch-size", "8", "--size", "8", "--channels", "1",
        "--limit", "40", "--samples", "4"]  # fmt: skip


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], ["train", "--help"], ["plugins", "list"], ["data", "list"]], ids=" ".join
)
def test_listing_and_help_import_no_torch(args):
    code = (
        "import sys\nfrom gankit.cli import main\n"
        "try: main()\nexcept SystemExit as e: assert not e.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'triton'} & set(sys.modules)\nassert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code, *args], check=True, stdout=subprocess.DEVNULL)


def test_every_flag_of_a_variant_is_in_its_help_with_its_default(cli):
    from gankit.config import TrainOptions, variant_class
    from gankit.core.options import fields
    from gankit.data.catalogue import DataOptions

    for name in registry().names("variants"):
        result = cli("train", name, "--help")
        assert result.exit_code == 0
        words = result.output.split()
        for cls in (DataOptions, TrainOptions, variant_class(name).Options):
            assert [f.flag for f in fields(cls) if f.flag not in words and f.flag + "," not in words] == []
    assert "default: 5" in " ".join(cli("train", "wgan-gp", "--help").output.split())


def test_train_sample_interpolate_and_resume_work_together(cli, tmp_path):
    root = tmp_path / "run"
    result = cli("train", "wgan-gp", "--data", "shapes", "--steps", 3, "--out", root, *FAST)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(root)
    assert "step 3/3" in result.stderr
    assert "images/s" in result.stderr
    assert cli("resume", root, "--steps", 5, "-q").exit_code == 0
    rows = gankit.Run(root).metrics()
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    for mode in ("linear", "spherical"):
        out = tmp_path / f"{mode}.png"
        assert cli("interpolate", root, "--mode", mode, "--rows", 2, "--steps", 5, "-o", out).stdout.strip() == str(out)
        with Image.open(out) as picture:
            assert picture.size == (5 * 10 - 2, 2 * 10 - 2)
    assert cli("sample", root, "-n", 5, "-o", tmp_path / "s.npy").exit_code == 0
    array = np.load(tmp_path / "s.npy")
    assert (array.shape, array.dtype) == ((5, 8, 8, 1), np.uint8)
    assert cli("sample", root, "-n", 3, "-o", tmp_path / "folder").exit_code == 0
    assert len(list((tmp_path / "folder").glob("*.png"))) == 3
    with Image.open(tmp_path / "folder" / "000000.png") as picture:
        np.testing.assert_array_equal(np.array(picture), array[0, ..., 0])


def test_every_term_norm_and_score_is_recorded_for_every_step(finished):
    rows = gankit.Run(finished).metrics()
    assert len(rows) == 4
    assert set(rows[0]) == {
        "step", "critic/real", "critic/fake", "critic/penalty", "critic/loss", "critic/D(x)", "critic/D(G(z))",
        "critic/slope", "critic/grad norm discriminator", "critic/first layer grad norm discriminator",
        "generator/adversarial", "generator/loss", "generator/D(G(z))", "generator/grad norm generator",
        "generator/first layer grad norm generator",
    }  # fmt: skip
    timing = [json.loads(line) for line in (finished / "timing.jsonl").read_text().splitlines()]
    assert timing[-1]["step"] == 4
    assert timing[-1]["seconds per step"] > 0


def test_a_runs_configuration_can_be_fed_back_and_flags_win(cli, tmp_path, finished):
    again = tmp_path / "again"
    assert cli("train", "wgan-gp", "--config", finished / "config.json", "--out", again, "-q").exit_code == 0
    assert (again / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()
    other = tmp_path / "other"
    assert (
        cli("train", "wgan-gp", "--config", finished / "config.json", "--seed", 1, "--out", other, "-q").exit_code == 0
    )
    assert (other / "metrics.jsonl").read_bytes() != (finished / "metrics.jsonl").read_bytes()


def test_a_toml_file_sets_options_by_section(cli, tmp_path):
    (tmp_path / "a.toml").write_text(
        'variant = "dcgan"\n[train]\nsteps = 2\n[data]\nsize = 8\nlimit = 20\n[options]\narch = "mlp"\nlr_g = 1\n'
    )
    assert cli("train", "dcgan", "--config", tmp_path / "a.toml", "--out", tmp_path / "run", "-q").exit_code == 0
    run = gankit.Run(tmp_path / "run")
    assert (run.config.train.steps, run.config.data.size, run.config.options.lr_g) == (2, 8, 1.0)


def test_linear_and_spherical_paths_keep_their_ends_and_their_length():
    import torch

    from gankit.inference.interpolate import linear, spherical

    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    assert torch.allclose(linear(a, b, 3)[0], torch.tensor([[3.0, 0.0], [1.5, 1.5], [0.0, 3.0]]))
    arc = spherical(a, b, 3)[0]
    assert torch.allclose(arc.norm(dim=1), torch.full((3,), 3.0))
    assert torch.allclose(arc[1], torch.tensor([1.5, 1.5]) * 2**0.5, atol=1e-6)
    assert torch.allclose(spherical(a, a, 4), a.expand(1, 4, 2))


def test_plugins_and_data_lists_are_readable_by_programs(cli):
    listed = json.loads(cli("plugins", "list", "--json").stdout)
    assert ("variants", "dcgan", "gankit") in {(row["kind"], row["name"], row["from"]) for row in listed["registered"]}
    assert {row["name"] for row in json.loads(cli("data", "list", "--json").stdout)} >= {
        "shapes",
        "folder",
        "fashion-mnist",
    }


def test_doctor_names_versions_ops_and_plugins(cli):
    found = json.loads(cli("doctor", "--json").stdout)
    assert found["machine"]["torch"]
    assert set(found["fused ops"]) >= {"triton", "cpu", "ref"}
    assert "gankit" in found["plugins"]


def test_python_users_get_the_same_names_as_listed():
    assert gankit.__all__ == sorted(gankit.__all__)
    for name in gankit.__all__:
        assert getattr(gankit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        gankit.nonsense  # noqa: B018


def test_strict_mode_tells_a_broken_plugin_in_one_line_even_in_the_help(cli, monkeypatch):
    from gankit.cli import main as module

    def broken():
        raise gankit.GankitError("plugin gan-foo 0.2 failed to load: KeyError")

    monkeypatch.setattr(sys.modules[module.callback.__module__], "_load_plugin_commands", broken)
    result = cli("--help")
    assert result.exit_code == 1
    assert result.stderr == "Error: plugin gan-foo 0.2 failed to load: KeyError\n"
