"""What is done with a model that encodes: reconstruct, encode, probe, density; and export, of any model."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tiny import options_of

import gankit
from gankit import RandomStream
from gankit.build import load_images
from gankit.cli import main
from gankit.core import checkpoint
from gankit.inference import code_vae, density, probe
from gankit.inference import gaussian_mixture as mixture
from gankit.inference import reconstruct as encoding
from gankit.registry import registry
from gankit.runs import export

SMALL = {"size": 8, "channels": 1, "limit": 120, "batch_size": 20, "width": 4, "samples": 4, "quiet": True, "steps": 30}
VQ = {"codes": 12, "groups": 2, "code_width": 4}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished tiny runs by variant; only to be read."""
    root = tmp_path_factory.mktemp("autoencoders")
    return {
        "vae": gankit.train("vae", out=root / "vae", nz=6, **SMALL),
        "vq-vae": gankit.train("vq-vae", out=root / "vq-vae", **VQ, **SMALL),
    }


@pytest.fixture
def copy(runs, tmp_path):
    """A copy of a finished run, to be written to."""

    def of(name):
        return gankit.Run(shutil.copytree(runs[name].root, tmp_path / name))

    return of


def call(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def says(result, *words):
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.strip().splitlines() if line.startswith("Error: ")]
    assert all(word in line for word in words), line


@pytest.mark.parametrize("name", ["vae", "vq-vae"])
def test_reconstruct_shows_pairs_and_the_error_beside_the_mean_images(name, runs, tmp_path):
    out = tmp_path / "pairs.npy"
    result = call("reconstruct", runs[name].root, "-n", 5, "--judge", 50, "-o", out, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    images = encoding.images_of(runs[name]).images
    x = images.double() / 127.5 - 1
    made = runs[name].load().reconstruct(x[:50].float())
    assert said["images"] == 50
    assert said["error"] == pytest.approx(float((made - x[:50]).square().mean()), rel=1e-5)
    assert said["mean image"] == pytest.approx(float((x.mean(0) - x[:50]).square().mean()), rel=1e-5)
    assert said["ratio"] == pytest.approx(said["error"] / said["mean image"])
    shown = np.load(out)
    assert shown.shape == (10, 8, 8, 1)
    np.testing.assert_array_equal(shown[::2].squeeze(-1), images[:5, 0].numpy())
    other = (made[:5] + 1) * 127.5
    assert np.abs(shown[1::2].squeeze(-1).astype(float) - other[:, 0].numpy()).max() <= 0.51
    plain = call("reconstruct", runs[name].root, "-o", tmp_path / "pairs.png")
    assert "of the mean image" in plain.stdout


@pytest.mark.parametrize(("variant", "lr"), [("vae", 3e-3), ("vq-vae", 2e-3)])
def test_a_short_training_brings_the_error_far_below_the_mean_images(variant, lr, tmp_path):
    run = gankit.train(variant, out=tmp_path / "run", **{**SMALL, "steps": 100, "lr": lr, "width": 8})
    assert encoding.reconstruct(run).ratio < 0.5  # seen after 150 steps: 0.24 and 0.13


def test_reconstruct_and_encode_take_files_of_any_shape(runs, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, size in enumerate([(20, 9), (8, 8)]):
        Image.fromarray(RandomStream(i).integers(256, size[1], size[0], 3).byte().numpy()).save(photos / f"{i}.png")
    assert call("reconstruct", runs["vae"].root, photos, "-o", tmp_path / "out").exit_code == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 4
    result = call("encode", runs["vq-vae"].root, photos / "0.png", "-o", tmp_path / "l.npy")
    assert result.stdout.strip() == str(tmp_path / "l.npy")
    assert np.load(tmp_path / "l.npy").shape == (1, 8 * 16)


def test_encode_writes_the_mean_of_the_posterior_and_entries_of_the_codebook(runs, tmp_path):
    for name, width in (("vae", 6), ("vq-vae", 128)):
        assert call("encode", runs[name].root, "-n", 30, "-o", tmp_path / "l.npy").exit_code == 0
        latents = torch.from_numpy(np.load(tmp_path / "l.npy"))
        assert latents.shape == (30, width)
        model, (batch,) = (
            runs[name].load(),
            encoding.batches(runs[name].load(), encoding.images_of(runs[name]).images[:30], 8),
        )
        torch.testing.assert_close(latents, model.encode(batch))
    codes = latents.view(-1, 4)
    assert (
        float(torch.cdist(codes, model.codebook, compute_mode="donot_use_mm_for_euclid_dist").min(1).values.max()) == 0
    )
    vae, epsilon = runs["vae"].load(), torch.ones(30, 6)
    mean, log_variance = vae.encoder(batch)
    torch.testing.assert_close(vae.encode(batch, {"epsilon": epsilon}), mean + log_variance.mul(0.5).exp())


def test_options_without_an_effect_are_refused_by_name(runs, tmp_path):
    run, image = runs["vae"].root, tmp_path / "in.png"
    Image.new("L", (8, 8)).save(image)
    says(call("reconstruct", run, image, "--split", "test", "-o", tmp_path / "o.png"), "--split test", "no effect")
    says(call("encode", run, image, "--split", "test", "-o", tmp_path / "o.npy"), "--split test", "no effect")
    says(call("reconstruct", run, "--columns", 2, "-o", tmp_path / "o.npy"), "--columns", "only a grid")
    assert not list(tmp_path.glob("o.*"))


def test_a_run_without_an_encoder_says_so(finished, tmp_path):
    for command in ("reconstruct", "encode", "probe", "density"):
        says(call(command, finished), "wgan-gp has no encoder", "vae")


def test_samples_of_a_vae_come_from_its_prior_and_of_a_vq_vae_from_images(runs, tmp_path):
    vae = runs["vae"].load()
    torch.testing.assert_close(
        runs["vae"].sample(3), vae.decode(vae.noise("sample", 3, RandomStream(0, "sample"))["z"])
    )
    vq = runs["vq-vae"]
    batch = load_images(vq.config).pick(3, 0, 8)
    torch.testing.assert_close(vq.sample(3), vq.load().reconstruct(batch.images))
    assert call("interpolate", runs["vae"].root, "-o", tmp_path / "path.png").exit_code == 0


@pytest.mark.parametrize("name", ["vae", "vq-vae", "bigan"])
def test_a_path_between_images_goes_from_one_reconstruction_to_the_other(name, runs, tiny, tmp_path):
    run = runs[name] if name in runs else gankit.train(name, out=tmp_path / "run", steps=2, **tiny)
    model, images = run.load(), encoding.images_of(run)
    Image.fromarray(images.images[5, 0].numpy()).save(tmp_path / "five.png")
    out = tmp_path / "path.npy"
    pairs = ["--between-images", 2, tmp_path / "five.png", "--between-images", 0, 7]
    result = call("interpolate", run.root, *pairs, "--steps", 3, "--mode", "linear", "-o", out)
    assert result.exit_code == 0, result.output
    (batch,) = encoding.batches(model, images.images[[2, 5, 0, 7]], 8)
    with torch.no_grad():
        a, b = model.encode(batch).unflatten(0, (2, 2)).unbind(1)
        expected = torch.stack([model.decode(a), model.decode((a + b) / 2), model.decode(b)], 1).flatten(0, 1)
        torch.testing.assert_close(model.reconstruct(batch), expected[[0, 2, 3, 5]], rtol=1e-4, atol=1e-5)
    # Half way between two entries of a codebook either may be the nearest, by the rounding of a processor.
    kept = [0, 2, 3, 5] if name == "vq-vae" else list(range(6))
    found = encoding.between_images(run, [(2, 5), (0, 7)], 3, "linear")
    torch.testing.assert_close(found[kept], expected[kept], rtol=1e-4, atol=1e-5)
    shown = torch.from_numpy(np.load(out)).movedim(-1, 1) / 127.5 - 1
    torch.testing.assert_close(shown[kept], expected[kept].float(), rtol=0, atol=0.02)
    curved = encoding.between_images(run, [(2, 5), (0, 7)], 3)
    torch.testing.assert_close(curved[[0, 2, 3, 5]], expected[[0, 2, 3, 5]], rtol=1e-3, atol=1e-4)


def test_an_image_that_there_is_not_is_said_and_a_run_that_does_not_encode(runs, finished, tmp_path):
    says(call("interpolate", runs["vae"].root, "--between-images", 0, 120), "image 120", "from 0 to 119", "name a file")
    says(call("interpolate", runs["vae"].root, "--between-images", 0, "none.png"), "none.png: no such file", "number")
    says(call("interpolate", finished, "--between-images", 0, 1), "wgan-gp has no encoder", "vae")


def test_a_density_of_a_bigan_is_sampled_through_its_generator(tiny, tmp_path):
    run = gankit.train("bigan", out=tmp_path / "run", steps=2, **tiny)
    density.fit(run, components=2)
    assert run.sample(5).shape == (5, 1, 8, 8)
    assert not torch.equal(run.sample(5), run.sample(5, density=False))


@pytest.mark.parametrize("name", ["vae", "vq-vae"])
def test_autoencoders_resume_bit_for_bit(name, runs, tmp_path):
    options = {**SMALL, **(VQ if name == "vq-vae" else {"nz": 6}), "ema_halflife_images": 100}
    whole = gankit.train(name, out=tmp_path / "whole", **options)
    gankit.train(name, out=tmp_path / "parts", **{**options, "steps": 11})
    parts = gankit.resume(tmp_path / "parts", steps=30, quiet=True)
    one, two = whole.latest()[0], parts.latest()[0]
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert (whole.root / "metrics.jsonl").read_bytes() == (parts.root / "metrics.jsonl").read_bytes()
    assert any(key.startswith("average/encoder") for key in one)


# Probes


def test_the_nearest_neighbour_decides_where_votes_are_equal():
    train, labels = torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.tensor([1, 0, 0, 1])
    assert probe.nearest(train, torch.tensor([[-1.0], [4.0], [1.6]]), labels, 2, 4).tolist() == [1, 1, 0]
    assert probe.nearest(train, torch.tensor([[1.1]]), labels, 2, 1).tolist() == [0]


def test_probe_prints_the_encoder_beside_the_untrained_one_and_the_pixels(runs):
    result = call("probe", runs["vae"].root, "-n", 100, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [(row["features"], row["width"]) for row in rows] == [
        ("encoder", 6),
        ("untrained encoder", 6),
        ("pixels", 64),
    ]
    assert all(0 <= row[kind] <= 1 for row in rows for kind in ("linear", "svm", "knn"))
    assert rows[0] != {**rows[1], "features": "encoder"}
    assert call("probe", runs["vae"].root, "-n", 100).stdout.splitlines()[0].split() == [
        "width",
        "linear",
        "SVM",
        "k-NN",
    ]
    assert probe.probe(runs["vae"], 100, seed=1) != probe.probe(runs["vae"], 100, seed=0)


# Densities


def test_expectation_maximisation_finds_a_known_mixture():
    true = mixture.Mixture(
        torch.tensor([0.5, 0.3, 0.2]).double(),
        torch.tensor([[0.0, 0.0], [6.0, 0.0], [0.0, 7.0]]).double(),
        torch.tensor([[[1.0, 0.0], [0.5, 0.5]], [[0.3, 0.0], [0.0, 1.2]], [[1.0, 0.0], [-0.4, 0.7]]]).double(),
    )
    x = true.draw(6000, RandomStream(0, "true"))
    found, likelihood = mixture.fit(x, 3, RandomStream(1, "fit"))
    order = torch.cdist(true.means, found.means).argmin(1)
    assert sorted(order.tolist()) == [0, 1, 2]
    torch.testing.assert_close(found.weights[order], true.weights, atol=0.02, rtol=0)
    torch.testing.assert_close(found.means[order], true.means, atol=0.1, rtol=0)
    ours, theirs = (m @ m.transpose(1, 2) for m in (found.factors[order], true.factors))
    torch.testing.assert_close(ours, theirs, atol=0.12, rtol=0)
    # No parameters fit these points better than the ones found; the true ones nearly do.
    assert 0 <= likelihood - float(true.log_densities(x).logsumexp(1).mean()) < 0.01


def test_a_mixtures_density_is_that_of_its_gaussians():
    x = RandomStream(0).normal(7, 3).double()
    factors = torch.tril(RandomStream(1).normal(2, 3, 3).double(), -1) + 2 * torch.eye(3)
    it = mixture.Mixture(torch.tensor([0.25, 0.75]).double(), RandomStream(2).normal(2, 3).double(), factors)
    for k in range(2):
        gaussian = torch.distributions.MultivariateNormal(it.means[k], scale_tril=factors[k])
        torch.testing.assert_close(it.log_densities(x)[:, k], it.weights[k].log() + gaussian.log_prob(x))


def test_more_components_than_clusters_and_repeated_points_do_not_break_the_fit():
    x = torch.cat([torch.zeros(20, 2), torch.ones(20, 2)]).double()
    fitted, likelihood = mixture.fit(x, 4, RandomStream(0))
    assert torch.isfinite(fitted.factors).all()
    assert np.isfinite(likelihood)


def test_principal_components_are_the_directions_of_most_variance():
    x = RandomStream(0).normal(500, 3).double() * torch.tensor([1.0, 5.0, 0.1]) + 2
    found = mixture.principal(x, 2, RandomStream(1))
    assert found.directions.abs().argmax(1).tolist() == [1, 0]
    assert float((found.back(found.project(x)) - x).square().mean()) < 0.02
    wide = (
        RandomStream(2).normal(300, 400).double() @ torch.diag(0.98 ** torch.arange(400.0)).double()
    )  # more than are held
    _, _, exact = torch.linalg.svd(wide - wide.mean(0), full_matrices=False)
    close = (mixture.principal(wide, 10, RandomStream(3)).directions * exact[:10]).sum(1).abs()
    assert float(close.min()) > 0.999


@pytest.mark.parametrize("name", ["vae", "vq-vae"])
def test_after_density_a_run_is_sampled_from_it_unless_told_otherwise(name, copy, tmp_path):
    run = copy(name)
    before = run.sample(6)
    result = call("density", run.root, "--components", 3, "--dims", 5, "--latents", 80, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["kind"], said["components"], said["dims"], said["latents"], said["step"]) == ("mixture", 3, 5, 80, 30)
    assert not torch.equal(run.sample(6), before)
    assert torch.equal(run.sample(6), run.sample(6, density=True))
    assert not torch.equal(run.sample(6), run.sample(6, seed=1))
    assert torch.equal(run.sample(6, density=False), before)
    assert call("sample", run.root, "--no-density", "-n", 6, "-o", tmp_path / "a.npy").exit_code == 0
    assert call("sample", run.root, "-n", 6, "-o", tmp_path / "b.npy").exit_code == 0
    assert not np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_a_vae_over_codes_learns_them_and_gives_codes_of_the_codebook(copy):
    run = copy("vq-vae")
    said = [density.fit(run, "vae", steps=steps) for steps in (5, 300)]
    assert said[1]["nats"] < said[0]["nats"]
    assert said[1]["nats"] < 0.8 * said[1]["nats of uniform codes"]
    assert run.sample(5).shape == (5, 1, 8, 8)
    assert torch.equal(run.sample(5), run.sample(5))
    says(call("density", copy("vae").root, "--kind", "vae"), "has no codes", "--kind mixture")


def test_a_vae_over_codes_draws_the_patterns_it_was_shown():
    codebook, patterns = RandomStream(0).normal(5, 3), torch.tensor([[0, 1, 2, 3], [4, 4, 0, 1]])
    vae, nats = code_vae.fit(patterns.repeat(50, 1), codebook, 300, seed=0)
    drawn = torch.cdist(vae.likeliest(RandomStream(1).normal(200, 32)).view(-1, 3), codebook).argmin(1).view(200, 4)
    seen = [(drawn == pattern).all(1).float().mean() for pattern in patterns]
    assert min(seen) > 0.25
    assert sum(seen) > 0.8
    assert nats < 2  # a fair choice of two patterns is 0.69 nats, of codes at random 6.4


def test_a_density_of_other_weights_and_a_missing_or_damaged_one_are_named(copy):
    run = copy("vae")
    says(call("sample", run.root, "--density"), "no density was fitted", "gankit density")
    density.fit(run, components=2)
    gankit.resume(run.root, steps=31, quiet=True)
    says(call("sample", run.root), "was trained on since", "gankit density")
    raw = (run.root / "density.pt").read_bytes()
    (run.root / "density.pt").write_bytes(raw[: len(raw) // 2])
    result = call("sample", run.root)
    assert result.exit_code == 1
    assert "density.pt: not a readable checkpoint" in result.stderr
    says(call("density", run.root, "--components", 100), "--components 100", "120 latents")


# Export


@pytest.mark.parametrize("variant", registry().names("variants"))
def test_every_variants_exported_generator_gives_the_same_images_without_its_run(variant, tiny, tmp_path):
    pytest.importorskip("safetensors")
    options = {
        name: value for name, value in tiny.items() if name not in {"arch", "ngf", "ndf", "nz"} - options_of(variant)
    }
    run = gankit.train(variant, out=tmp_path / "run", steps=2, ema_halflife_images=50, **options)
    result = call("export", run.root, "-o", tmp_path / "g.safetensors")
    assert result.exit_code == 0, result.output
    trained = run.load()
    shutil.rmtree(run.root)
    loaded = export.load(tmp_path / "g.safetensors")
    export.check(trained, loaded, run.spec)
    assert not hasattr(loaded, "discriminator")


def test_an_export_that_would_give_other_images_fails_and_writes_nothing(finished, tmp_path, monkeypatch):
    pytest.importorskip("safetensors")
    load = export.load

    def altered(path):
        model = load(path)
        next(model.parameters()).data.mul_(1.001)
        return model

    monkeypatch.setattr(export, "load", altered)
    result = call("export", finished, "-o", tmp_path / "g.safetensors")
    assert result.exit_code == 1
    assert "gives other images" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_export_says_what_is_missing_or_wrong(finished, tmp_path, monkeypatch):
    pytest.importorskip("safetensors")
    says(call("export", finished, "-o", tmp_path / "g.pt"), "g.pt", ".safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(gankit.DamagedFile, match="not a generator"):
        export.load(tmp_path / "bad.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    says(call("export", finished), "safetensors", "pip install 'gankit[export]'")


def test_an_exported_file_is_read_by_the_library_alone(finished, tmp_path):
    torch_file = pytest.importorskip("safetensors.torch")
    tensors = torch_file.load_file(export.export(gankit.Run(finished), tmp_path / "g.safetensors"))
    own, _ = checkpoint.load(sorted((finished / "checkpoints").glob("*.pt"))[-1])
    held = {name.removeprefix("average/"): t for name, t in own.items() if name.startswith("average/generator.")}
    assert tensors.keys() == held.keys()
    assert all(torch.equal(tensors[name], held[name]) for name in held)
