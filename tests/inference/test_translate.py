"""Translating pictures: any size, either direction, and what is said of bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import gankit
from gankit import RandomStream
from gankit.cli import main
from gankit.inference.translate import translate
from gankit.plugins.architectures.resnet import padded
from gankit.plugins.datasets.stripes import Stripes

SMALL = {"size": 8, "ngf": 2, "ndf": 2, "blocks": 1, "limit": 12, "samples": 4, "quiet": True, "steps": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return gankit.train("cyclegan", out=tmp_path_factory.mktemp("translate") / "run", **SMALL)


@pytest.fixture(scope="module")
def flat_run(tmp_path_factory):
    return gankit.train("cyclegan", arch="mlp", out=tmp_path_factory.mktemp("flat") / "run", **SMALL)


def call(*args):
    return CliRunner().invoke(main, ["translate", *(str(arg) for arg in args)])


def says(result, *words):
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.strip().splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.stderr
    assert all(word in lines[0] for word in words), lines
    assert "Traceback" not in result.stderr


def draw(path, width, height, mode="RGB", seed=0):
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = (
        RandomStream(seed, "picture", str(path.name)).integers(256, height, width, channels).numpy().astype(np.uint8)
    )
    Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels, mode=None).save(path)
    return path


@pytest.mark.parametrize(("width", "height"), [(8, 8), (33, 31), (1, 1), (5, 5), (7, 40), (2, 9), (64, 48)])
def test_an_image_of_any_size_keeps_its_size(run, width, height, tmp_path):
    result = call(run.root, draw(tmp_path / "in.png", width, height), "-o", tmp_path / "out.png")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as made:
        assert (made.size, made.mode) == ((width, height), "RGB")


def test_what_is_padded_is_cut_off_again_and_no_more(run):
    model = run.load()
    images = 2 * RandomStream(0, "x").uniform(1, 3, 20, 24) - 1
    whole = model.translate(images, "a2b", RandomStream(0))
    grown = torch.cat([images, images.flip(3)[..., 1:4]], 3)[..., :27]  # the reflection that fills 27 up to 28
    assert torch.equal(model.translate(images, "a2b", RandomStream(0)), whole)
    assert padded(images) is images
    assert torch.equal(padded(grown)[..., :27], grown)
    assert torch.equal(padded(grown)[..., 27], grown[..., 25])
    assert model.translate(grown, "a2b", RandomStream(0)).shape == grown.shape


def test_the_two_directions_differ_and_each_is_its_generator(run, tmp_path):
    source = draw(tmp_path / "in.png", 12, 12)
    model = run.load()
    with Image.open(source) as image:
        x = torch.from_numpy(np.array(image)).movedim(-1, 0)[None].float() / 127.5 - 1
    for direction in ("a2b", "b2a"):
        translate(run, source, tmp_path / f"{direction}.npy", direction)
        expected = model.generator[direction](x).add(1).mul(127.5).round().to(torch.uint8).movedim(1, -1)
        assert np.abs(np.load(tmp_path / f"{direction}.npy").astype(int) - expected.numpy()).max() <= 1
    assert not np.array_equal(np.load(tmp_path / "a2b.npy"), np.load(tmp_path / "b2a.npy"))


def test_a_folder_gives_one_png_for_each_image_by_its_name(run, tmp_path):
    source = tmp_path / "photos"
    (source / "deeper").mkdir(parents=True)
    draw(source / "one.jpg", 10, 20)
    draw(source / "deeper" / "two.bmp", 9, 9)
    draw(source / "same.png", 8, 8)
    draw(source / "same.jpg", 8, 8)
    draw(source / "grey.png", 6, 7, "L")
    draw(source / "clear.png", 6, 7, "RGBA")
    (source / "broken.png").write_bytes(b"no picture")
    (source / "notes.txt").write_text("no picture either")
    result = call(run.root, source, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "broken.png is left out" in result.stderr
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png"))
    assert made == ["clear.png", "deeper/two.png", "grey.png", "one.png", "same.jpg.png", "same.png.png"]
    with Image.open(tmp_path / "out" / "one.png") as image:
        assert image.size == (10, 20)


@pytest.mark.parametrize(
    ("names", "made"),
    [
        (["a.jpg", "a.png", "a.jpg.png"], ["a.jpg-2.png", "a.jpg.png", "a.png.png"]),
        (["A.jpg", "a.png"], ["A.jpg.png", "a.png.png"]),
        (["A.png", "a.png"], ["A.png.png", "a.png-2.png"]),
        (["in/B.png", "In/b.png"], ["In/b.png.png", "in/B.png-2.png"]),
        (["x.jpg", "x.png/y.jpg"], ["x.jpg.png", "x.png/y.png"]),
        (["e\u0301.png", "\u00e9.png"], ["e\u0301.png.png", "\u00e9.png-2.png"]),
        (["deep/a.jpg", "deep/a.webp", "a.bmp"], ["a.png", "deep/a.jpg.png", "deep/a.webp.png"]),
    ],
    ids=["ending", "stem-case", "case", "folder-case", "folder", "accent", "subfolder"],
)
def test_no_two_results_have_one_name(names, made, run, tmp_path):
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        draw(tmp_path / "in" / name, 8, 8)
    translate(run, tmp_path / "in", tmp_path / "out")
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in found) == sorted(made)


def test_images_of_one_size_make_a_grid_or_an_array(run, tmp_path):
    source = tmp_path / "photos"
    source.mkdir()
    for i in range(4):
        draw(source / f"{i}.png", 10, 6)
    translate(run, source, tmp_path / "grid.png")
    translate(run, source, tmp_path / "array.npy", "b2a")
    with Image.open(tmp_path / "grid.png") as image:
        assert image.size == (22, 14)
    assert np.load(tmp_path / "array.npy").shape == (4, 6, 10, 3)


def test_a_grey_run_takes_colour_images(tmp_path):
    run = gankit.train("cyclegan", out=tmp_path / "run", channels=1, **SMALL)
    translate(run, draw(tmp_path / "in.png", 9, 9), tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "L"


def test_dropout_is_kept_while_translating_and_drawn_from_the_seed(tmp_path):
    run = gankit.train("cyclegan", out=tmp_path / "run", dropout=0.5, **SMALL)
    source = draw(tmp_path / "in.png", 13, 10)
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        translate(run, source, tmp_path / f"{name}.npy", seed=seed)
    one, again, other = (np.load(tmp_path / f"{name}.npy") for name in ("one", "again", "other"))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_run_of_flat_networks_takes_only_its_own_size(flat_run, tmp_path):
    assert call(flat_run.root, draw(tmp_path / "fits.png", 8, 8), "-o", tmp_path / "out.png").exit_code == 0
    says(call(flat_run.root, draw(tmp_path / "in.png", 9, 8), "-o", tmp_path / "b.png"), "8x9", "8x8", "--arch resnet")


def test_bad_input_is_one_clear_line(run, finished, tmp_path):
    good = draw(tmp_path / "in.png", 8, 8)
    (tmp_path / "text.png").write_text("no picture")
    half = draw(tmp_path / "half.png", 40, 40)
    half.write_bytes(half.read_bytes()[:200])
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("no picture")
    (tmp_path / "mixed").mkdir()
    draw(tmp_path / "mixed" / "a.png", 8, 8)
    draw(tmp_path / "mixed" / "b.png", 8, 9)
    out = tmp_path / "out"
    says(call(run.root, tmp_path / "none.png", "-o", out), "none.png", "no such file")
    says(call(run.root, tmp_path / "text.png", "-o", out), "text.png", "cannot be read as an image")
    says(call(run.root, half, "-o", out), "half.png", "cannot be read as an image")
    says(call(run.root, tmp_path / "empty", "-o", out), "empty", "no images")
    says(call(run.root, tmp_path / "bad", "-o", out), "bad", "none of its images")
    says(call(run.root, tmp_path / "mixed", "-o", tmp_path / "grid.png"), "several sizes", "folder")
    says(call(run.root, good, "-o", tmp_path / "out.jpg"), "out.jpg", ".png")
    says(call(run.root, good, "-o", tmp_path / "mixed"), "mixed", "not empty")
    says(call(tmp_path / "nowhere", good, "-o", out), "not a run folder")
    says(call(finished, good, "-o", out), "wgan-gp does not translate", "cyclegan")
    result = call(run.root, good, "-o", out, "--direction", "a2c")
    assert result.exit_code == 2
    assert "a2c" in result.stderr
    assert not out.exists()
    assert not (tmp_path / "grid.png").exists()


def test_sampling_a_run_translates_images_of_its_data_set(run):
    images = run.sample(5, seed=3)
    batch = Stripes().load(run.config.data, 0).pick(5, 3, 8)
    assert images.shape == (5, 3, 8, 8)
    torch.testing.assert_close(images, run.load().translate(batch.images, "a2b", RandomStream(0)))


def test_pictures_while_training_show_sources_beside_results(run):
    trainer = gankit.Trainer(run.config)
    batch = trainer.images.pick(6, run.config.train.seed, 8)
    shown = trainer.sample(6)
    assert shown.shape == (6, 3, 8, 8)
    assert torch.equal(shown[0], batch.images[0])
    assert torch.equal(shown[2], batch.other[0])
    torch.testing.assert_close(shown[1], trainer.model.generator["a2b"](batch.images[:1])[0].detach())
    torch.testing.assert_close(shown[3], trainer.model.generator["b2a"](batch.other[:1])[0].detach())


def test_a_run_without_a_latent_says_so_when_asked_to_interpolate(run):
    result = CliRunner().invoke(main, ["interpolate", str(run.root)])
    assert result.exit_code == 2
    assert "no latent z" in result.stderr
