"""Runs on images that are not square: every variant trains and samples them, and all that reads a run takes them."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import fitted, options_of

import gankit
from gankit import Run
from gankit.core.images import to_uint8
from gankit.core.sides import sides
from gankit.evaluation.reference import comparable
from gankit.inference import reconstruct as encoding
from gankit.plugins.extractors.classifier import Network
from gankit.registry import registry
from gankit.report.pictures import GAP
from gankit.training.health_monitor import spread

TRANSLATED = {"size": "8x16", "channels": 1, "ngf": 2, "ndf": 2, "blocks": 1, "limit": 12, "samples": 4, "quiet": True}


def variants():
    found = registry().names("variants")
    return [(name, arch) for name in found for arch in (("dcgan", "mlp") if "arch" in options_of(name) else (None,))]


@pytest.mark.parametrize(("variant", "arch"), [*variants(), ("cyclegan", "resnet")])
def test_every_variant_trains_and_samples_oblong_images(variant, arch, tiny, tmp_path):
    options = fitted(variant, {**tiny, "size": "8x16"} | ({"arch": arch} if arch else {}))
    drawn = {"instance_noise": 0.1, "augment": "diffaug"}
    options |= {name: value for name, value in drawn.items() if name in options_of(variant)}
    run = gankit.train(variant, out=tmp_path / "run", steps=2, **options)
    assert run.recorded["data"]["size"] == "8x16"
    assert run.spec.shape == (1, 8, 16)
    made = run.sample(3)
    assert made.shape == (3, 1, 8, 16)
    assert made.isfinite().all()
    across = 2 * (16 + GAP) - GAP
    with Image.open(tmp_path / "run" / "samples" / "000002.png") as grid:
        assert grid.size == (across, 2 * (8 + GAP) - GAP)


@pytest.mark.parametrize("arch", ["mlp", "dcgan"])
def test_plans_and_plain_pytorch_agree_on_oblong_images(arch, tiny, tmp_path):
    options = {**tiny, "arch": arch, "size": "16x28", "ngf": 4, "ndf": 4, "steps": 3}
    runs = {name: gankit.train("dcgan", out=tmp_path / name, engine=name, **options) for name in ("planned", "eager")}
    torch.testing.assert_close(runs["planned"].sample(4), runs["eager"].sample(4), rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def oblong(tmp_path_factory):
    """A finished run on windows of 16x28 in images of 18x40, and one that translates 8x16; only to be read."""
    root = tmp_path_factory.mktemp("oblong")
    some = {"channels": 1, "limit": 60, "batch_size": 10, "samples": 4, "threads": 1, "quiet": True, "steps": 6}
    return {
        "dcgan": gankit.train(
            "dcgan", out=root / "dcgan", size="18x40", crop="16x28", flip=True, ngf=4, ndf=4, checkpoint_every=3,
            ema_halflife_images=20, evaluate_every=3, evaluate_images=20, metric="swd", **some,
        ),
        "vae": gankit.train("vae", out=root / "vae", size="18x40", crop="16x28", nz=6, width=4, **some),
        "cyclegan": gankit.train("cyclegan", out=root / "cyclegan", steps=2, batch_size=2, **TRANSLATED),
    }  # fmt: skip


def test_a_resumed_run_ends_with_the_same_bits(oblong, tmp_path):
    whole = oblong["dcgan"]
    cut = shutil.copytree(whole.root, tmp_path / "cut")
    (cut / "checkpoints" / "000006.pt").unlink()
    again = gankit.resume(cut, quiet=True)
    assert torch.equal(again.sample(4), whole.sample(4))
    for name in ("metrics.jsonl", "health.jsonl", "samples.jsonl", "samples/000006.png"):
        assert (cut / name).read_bytes() == (whole.root / name).read_bytes()


def test_square_runs_of_before_load_and_new_ones_are_written_as_those_were(finished, tmp_path):
    config = json.loads((finished / "config.json").read_text())
    assert config["data"]["size"] == 8
    assert type(config["data"]["size"]) is int
    names = ["channels", "size", "classes", "count", "variance", "paired_domains", "names", "class_counts"]
    assert list(config["spec"]) == names
    told = {name: config[name] for name in ("variant", "data", "train", "options")}
    assert "x" not in json.dumps([told["data"]["size"], told["data"]["crop"]])
    assert Run(finished).spec.shape == (1, 8, 8)


def test_a_run_is_judged_by_windows_of_its_shape_and_its_protocol_names_it(oblong, cli):
    found = [json.loads(line) for line in (oblong["dcgan"].root / "evaluations.jsonl").read_text().splitlines()]
    assert {score["protocol"]["size"] for score in found} == {"16x28"}
    said = cli("evaluate", oblong["dcgan"].root, "--metric", "swd", "--images", 20)
    assert said.exit_code == 0, said.output
    assert "at 1x16x28, by pixels" in said.stdout
    real = comparable(encoding.images_of(oblong["dcgan"]), oblong["dcgan"].spec.sides)
    assert torch.equal(real.images, encoding.images_of(oblong["dcgan"]).images[:, :, 1:17, 6:34])
    assert {score["protocol"]["images"] for score in found} == {real.digest()}


def test_folders_and_arrays_of_oblong_samples_are_judged(oblong, tmp_path, cli):
    """The data against itself is at no distance, whatever it lies in."""
    images = registry().get("datasets", "shapes")().load(gankit.DataOptions(size="16x28", channels=1, limit=30), 0)
    as_floats = images.images.double() / 127.5 - 1
    gankit.save(as_floats, tmp_path / "some.npy")
    gankit.save(as_floats, tmp_path / "folder")
    assert np.load(tmp_path / "some.npy").shape == (30, 16, 28, 1)
    gankit.save(as_floats, tmp_path / "truth" / "a")
    data = f"folder:{tmp_path / 'truth'}"
    for path in (tmp_path / "some.npy", tmp_path / "folder"):
        (score,) = gankit.evaluate(path, "swd", data=data)
        assert score.value == pytest.approx(0, abs=1e-4)
        assert score.protocol["size"] == "16x28"
    exif = Image.Exif()
    exif[0x0112] = 6  # lies 28 high and 16 wide, and is to be seen 16 high and 28 wide
    (tmp_path / "photos").mkdir()
    for i in range(2):
        Image.new("L", (16, 28), 50 * i).save(tmp_path / "photos" / f"{i}.jpg", exif=exif)
    (score,) = gankit.evaluate(tmp_path / "photos", "swd", data=data)
    assert score.protocol["size"] == "16x28"
    turned = tmp_path / "turned.npy"
    np.save(turned, np.load(tmp_path / "some.npy").transpose(0, 2, 1, 3))
    (score,) = gankit.evaluate(turned, "swd", data=data)  # the data is brought to the samples' shape
    assert score.protocol["size"] == "28x16"
    Image.new("L", (16, 28)).save(tmp_path / "folder" / "zz.png")
    said = cli("evaluate", tmp_path / "folder", "--data", "shapes", "--metric", "swd")
    assert said.exit_code == 2
    assert "zz.png: 28x16 pixels, but the first image has 16x28; judge images of one size" in said.output


def test_an_encoder_takes_the_middle_of_its_shape(oblong, cli, tmp_path):
    run = oblong["vae"]
    images = encoding.images_of(run).images
    assert images.shape == (60, 1, 18, 40)
    (first, *_) = encoding.batches(run.load(), images, run.spec.sides)
    torch.testing.assert_close(first[0], images[0, :, 1:17, 6:34].float() / 127.5 - 1)
    said = encoding.reconstruct(run, shown=2, judged=60)
    assert said.pairs.shape == (4, 1, 16, 28)
    middle = images[:, :, 1:17, 6:34].double() / 127.5 - 1
    assert said.mean_image == pytest.approx(float((middle.mean(0) - middle).square().mean()), rel=1e-5)
    Image.new("L", (56, 32), 200).save(tmp_path / "in.png")
    assert encoding.images_in(tmp_path / "in.png", run).images.unique().tolist() == [200]
    for args in (
        ("reconstruct", run.root, "-o", tmp_path / "pairs.png"),
        ("interpolate", run.root, "--between-images", 0, tmp_path / "in.png", "-o", tmp_path / "path.png"),
        ("encode", run.root, "-o", tmp_path / "latents.npy"),
        ("probe", run.root),
        ("density", run.root),
        ("export", run.root, "-o", tmp_path / "some.safetensors"),
    ):
        result = cli(*args)
        assert result.exit_code == 0, (args, result.output)
    assert np.load(tmp_path / "latents.npy").shape == (60, 6)


def test_translations_keep_the_shape_and_flat_networks_name_theirs(oblong, cli, tmp_path):
    (tmp_path / "in").mkdir()
    for i, (height, width) in enumerate([(8, 16), (11, 30), (16, 8)]):
        Image.new("L", (width, height), 100).save(tmp_path / "in" / f"{i}.png")
    said = cli("translate", oblong["cyclegan"].root, tmp_path / "in", "-o", tmp_path / "out")
    assert said.exit_code == 0, said.output
    shapes = [Image.open(path).convert("L").size for path in sorted((tmp_path / "out").iterdir())]
    assert shapes == [(16, 8), (30, 11), (8, 16)]
    flat = gankit.train("cyclegan", out=tmp_path / "flat", arch="mlp", steps=1, batch_size=2, **{
        name: value for name, value in TRANSLATED.items() if name != "blocks"
    })  # fmt: skip
    refused = cli("translate", flat.root, tmp_path / "in" / "2.png", "-o", tmp_path / "no.png")
    assert refused.exit_code == 2
    assert "16x8 pixels (height x width), but this run's networks take 8x16 only" in refused.output


def test_the_report_cuts_large_grids_between_whole_images_either_way(oblong, tmp_path, cli):
    root = shutil.copytree(oblong["dcgan"].root, tmp_path / "run")
    marked = torch.full((400, 1, 16, 28), -1.0)
    marked[:, :, -1, -1] = 1  # the last pixel of every image
    gankit.save(marked, root / "samples" / "000006.png", columns=20)
    said = cli("report", root, "-o", tmp_path / "page.html")
    assert said.exit_code == 0, said.output
    page = (tmp_path / "page.html").read_text()
    shown = re.findall(r'src="data:image/png;base64,([^"]+)"', page)[-1]
    with Image.open(io.BytesIO(base64.b64decode(shown))) as picture:
        assert picture.size == (10 * 30 - 2, 16 * 18 - 2)
        assert picture.convert("L").getpixel((picture.width - 1, picture.height - 1)) == 255


@pytest.mark.parametrize(("size", "left"), [(28, 9), ("96x160", 15), ("160x96", 15), ("8x64", 32)])
def test_the_classifier_looks_at_all_of_an_oblong_image(size, left):
    net = Network(1, size, 3).eval()
    assert net.trunk[-2].in_features % left == 0
    images = torch.zeros(2, 1, *sides(size), dtype=torch.uint8)
    images[1, :, -8:, -8:] = 255
    features = net(images)
    assert features.shape == (2, 128)
    assert not torch.equal(features[0], features[1])


def test_the_diversity_of_oblong_images_is_that_of_all_their_pixels():
    images = torch.zeros(2, 1, 8, 24)
    images[1, :, :, 20:] = 1  # a difference at the right alone
    far = spread(to_uint8(images))
    assert far == pytest.approx(((127.5 - 255.0) ** 2 * 8 * 16 / 6) ** 0.5, rel=0.15)
    assert spread(to_uint8(images.flip(3))) == pytest.approx(far)


def test_a_program_may_give_oblong_images(tiny, tmp_path):
    pixels = torch.arange(20 * 8 * 12, dtype=torch.int64).reshape(20, 1, 8, 12).remainder(251).to(torch.uint8)
    options = {name: value for name, value in tiny.items() if name not in ("size", "channels", "limit")}
    run = gankit.train("dcgan", out=tmp_path / "run", images=gankit.ImageSet(pixels), steps=1, **options)
    assert run.sample(2).shape == (2, 1, 8, 12)
