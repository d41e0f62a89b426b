"""The mean and covariance of real images in a file, as pytorch-fid writes and reads it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from judging import Brightness, offer
from PIL import Image

import gankit
from gankit import RandomStream

F = 4


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path / "cache"))
    offer(monkeypatch, "extractors", "brightness", Brightness)
    monkeypatch.setattr(Brightness, "gives", ("features", "logits"))


@pytest.fixture
def folders(tmp_path):
    """Two folders of pictures, and what the extractor sees in the second, [N,F]."""
    made = {}
    for name, low in (("fake", 0), ("real", 60)):
        (tmp_path / name).mkdir()
        pixels = RandomStream(0, name).integers(150, 30, 8, 8).numpy().astype(np.uint8) + low
        for i, image in enumerate(pixels.astype(np.uint8)):
            Image.fromarray(image).save(tmp_path / name / f"{i:03d}.png")
        images = torch.from_numpy(pixels.astype(np.uint8))[:, None]
        made[name] = Brightness(None)(images).features.double().numpy()
    return tmp_path / "fake", tmp_path / "real", made["real"]


def test_what_is_written_is_the_mean_and_the_covariance_as_numpy_has_them(folders, tmp_path, cli):
    fake, real, features = folders
    args = ["--metric", "fid", "--extractor", "brightness"]
    result = cli("evaluate", fake, "--data", f"folder:{real}", *args, "--save-statistics", tmp_path / "s.npz", "--json")
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "s.npz") as arrays:
        assert sorted(arrays) == ["mu", "sigma"]
        assert arrays["mu"] == pytest.approx(features.mean(0), rel=1e-6)
        assert arrays["sigma"] == pytest.approx(np.cov(features, rowvar=False), rel=1e-5)
    against_images = json.loads(result.stdout)[0]
    by_file = json.loads(cli("evaluate", fake, "--data", tmp_path / "s.npz", *args, "--json").stdout)[0]
    assert by_file["value"] == pytest.approx(against_images["value"], rel=1e-9)
    assert by_file["protocol"]["data"] == str(tmp_path / "s.npz")
    assert (by_file["protocol"]["real"], by_file["protocol"]["split"]) == (None, None)
    assert "against statistics of" in cli("evaluate", fake, "--data", tmp_path / "s.npz", *args).stdout


def test_statistics_are_written_without_samples(folders, tmp_path, cli):
    _, real, features = folders
    args = ["--data", f"folder:{real}", "--extractor", "brightness", "--save-statistics", tmp_path / "s.npz"]
    result = cli("evaluate", *args)
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "s.npz") as arrays:
        assert arrays["mu"].shape == (3 * F,)  # a folder's default: in colour, of 64 pixels
        assert arrays["mu"].mean() == pytest.approx(features.mean(), rel=0.02)
    assert cli("evaluate").exit_code == 2
    assert cli("evaluate", "--save-statistics", tmp_path / "s.npz").exit_code == 2


def test_a_file_against_samples_of_a_known_distance(folders, tmp_path):
    fake, _, _ = folders
    one = Brightness(None)
    images = torch.stack([torch.from_numpy(np.array(Image.open(p))) for p in sorted(fake.iterdir())])[:, None]
    features = one(images).features.double().numpy()
    np.savez(tmp_path / "s.npz", mu=features.mean(0) + 3, sigma=np.cov(features, rowvar=False))
    (score,) = gankit.evaluate(fake, "fid", data=str(tmp_path / "s.npz"), extractor="brightness")
    assert score.value == pytest.approx(9 * F, rel=1e-4)


def saved(**arrays):
    return lambda path: np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (saved(mu=np.zeros(F)), "no array 'sigma'"),
        (saved(mean=np.zeros(F), sigma=np.eye(F)), "no array 'mu'"),
        (saved(mu=np.zeros(F), sigma=np.eye(F + 1)), "mu (4,) and sigma (5, 5)"),
        (saved(mu=np.zeros((F, 1)), sigma=np.eye(F)), "mu (4, 1)"),
        (saved(mu=np.zeros(F), sigma=np.zeros(F)), "sigma (4,)"),
        (saved(mu=np.full(F, np.nan), sigma=np.eye(F)), "'mu' must be finite"),
        (saved(mu=np.zeros(F), sigma=np.triu(np.ones((F, F)))), "not symmetric"),
        (saved(mu=np.zeros(F + 2), sigma=np.eye(F + 2)), "6 features, but this extractor gives 4"),
        (lambda path: path.write_bytes(b"no archive"), "cannot be read"),
        (lambda path: path.with_suffix(".npy").touch(), "no such file"),
    ],
    ids=["no-sigma", "no-mu", "wide", "column", "flat", "nan", "triangle", "features", "torn", "missing"],
)
def test_statistics_of_a_wrong_shape_are_one_clear_line(write, said, folders, tmp_path, cli):
    write(tmp_path / "s.npz")
    refused = cli("evaluate", folders[0], "--data", tmp_path / "s.npz", "--metric", "fid", "--extractor", "brightness")
    assert refused.exit_code in (1, 2), refused.output
    lines = [line for line in refused.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--metric", "kid", "--extractor", "brightness"], "--metric kid: needs the real images"),
        (["--metric", "swd"], "--metric swd: needs the real images"),
        (["--split", "test"], "--split"),
        (["--metric", "fid", "--extractor", "classifier"], "is trained on images"),
        (["--save-statistics", "t.npz"], "--save-statistics"),
    ],
    ids=["kid", "swd", "split", "classifier", "save"],
)
def test_what_statistics_do_not_serve_for_is_said(args, said, folders, tmp_path, cli):
    np.savez(tmp_path / "s.npz", mu=np.zeros(F), sigma=np.eye(F))
    refused = cli("evaluate", folders[0], "--data", tmp_path / "s.npz", *args)
    assert refused.exit_code == 2, refused.output
    assert said in refused.stderr


def test_only_npz_is_written_and_only_of_features(folders, tmp_path, cli):
    fake, real, _ = folders
    args = ["evaluate", fake, "--data", f"folder:{real}"]
    assert "end it with .npz" in cli(*args, "--save-statistics", tmp_path / "s.txt").stderr
    args += ["--save-statistics", tmp_path / "s.npz"]
    assert "say of whose features" in cli(*args, "--metric", "fid").stderr
    assert "has no effect" in cli(*args, "--metric", "swd", "--extractor", "brightness").stderr
    assert cli(*args, "--metric", "kid", "--extractor", "brightness").exit_code == 0  # fid's statistics all the same
    assert np.load(tmp_path / "s.npz")["mu"].shape == (F,)
