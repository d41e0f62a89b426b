"""Measures of trained models, whose networks are replaced by functions of which the figures are known beforehand."""

from __future__ import annotations

import math
import shutil

import pytest
import torch
from judging import Brightness, offer
from tiny import TINY

import gankit
from gankit import Terms, UsageError
from gankit.build import load_images
from gankit.core.images import to_uint8
from gankit.evaluation.evaluate import scores_of
from gankit.evaluation.judge import Judge, Samples
from gankit.evaluation.reference import comparable
from gankit.inference import density, probe
from gankit.inference.reconstruct import reconstruct
from gankit.lab.measures import take
from gankit.lab.measures.classes import same_over_other
from gankit.lab.measures.encoders import detail
from gankit.lab.measures.latents import largest_over_mean, mean_cosine
from gankit.lab.measures.pictures import even
from gankit.plugins.datasets.shapes import Shapes
from gankit.plugins.datasets.stripes import Stripes, true_mapping
from gankit.plugins.variants.conditional.cgan import CGANModel
from gankit.plugins.variants.cyclegan import CycleGANModel
from gankit.plugins.variants.gan import GANModel
from gankit.plugins.variants.infogan import InfoGANModel
from gankit.plugins.variants.vae import VAEModel

THIRDS = torch.tensor([-0.67, 0.0, 0.67])
"""A brightness in the middle of each class of ``Brightness``."""
AUTOENCODER = {name: value for name, value in TINY.items() if name not in ("arch", "ngf", "ndf", "nz")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished tiny runs by variant; only to be read."""
    root = tmp_path_factory.mktemp("runs")
    return {
        "cdcgan": gankit.train("cdcgan", out=root / "cdcgan", steps=2, **TINY),
        "dcgan": gankit.train("dcgan", out=root / "dcgan", steps=2, **TINY),
        "infogan": gankit.train("infogan", out=root / "infogan", steps=2, categories=3, **TINY),
        "vae": gankit.train("vae", out=root / "vae", steps=2, width=2, **{**AUTOENCODER, "limit": 100}),
        "cyclegan": gankit.train("cyclegan", out=root / "cyclegan", steps=2, blocks=1, **{**TINY, "arch": "resnet"}),
    }


@pytest.fixture
def thirds(monkeypatch):
    """The classifier sees thirds of the brightness as the classes."""
    offer(monkeypatch, "extractors", "classifier", Brightness)


def drawn_as(monkeypatch, model, brightness):
    """Samples of ``model`` are even images, of the ``brightness`` that a function of the noise gives."""

    def sample(self, noise, batch=None):
        return brightness(noise).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)

    monkeypatch.setattr(model, "sample", sample)


def files_of(run):
    return {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}


def test_class_accuracy_is_one_where_the_class_is_followed_and_chance_where_it_is_ignored(runs, thirds, monkeypatch):
    drawn_as(monkeypatch, CGANModel, lambda noise: THIRDS[noise["labels"]])
    assert take(runs["cdcgan"], "class accuracy", images=99) == 1
    drawn_as(monkeypatch, CGANModel, lambda noise: THIRDS[0 * noise["labels"]])
    assert take(runs["cdcgan"], "class accuracy", images=3000) == pytest.approx(1 / 3, abs=0.03)


def test_classes_present_counts_those_that_are_more_than_a_few_and_how_even_they_are(runs, thirds, monkeypatch):
    tenth = torch.arange(100) % 10 == 0
    drawn_as(monkeypatch, GANModel, lambda noise: THIRDS[tenth[: len(noise["z"])].long()])
    found = take(runs["dcgan"], "classes present", images=100)
    evenness = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) / math.log(3)
    assert found == {"number": 2.0, "evenness": pytest.approx(evenness), "largest": 0.9}
    assert take(runs["dcgan"], "classes present", images=100, least=0.5)["number"] == 1
    assert take(runs["dcgan"], "class shares", images=100) == {"circle": 0.9, "square": 0.1, "triangle": 0.0}


def test_style_is_kept_where_a_latent_does_the_same_in_every_class_and_lost_where_it_does_not(runs, monkeypatch):
    drawn_as(monkeypatch, CGANModel, lambda noise: 0.3 * noise["labels"] - 0.5 + 0.1 * noise["z"][:, 0].tanh())
    assert take(runs["cdcgan"], "style kept") == pytest.approx(0, abs=1e-6)
    own = lambda noise: noise["z"].gather(1, noise["labels"][:, None])[:, 0].tanh()  # noqa: E731 -- another z a class
    drawn_as(monkeypatch, CGANModel, own)
    assert take(runs["cdcgan"], "style kept", columns=200) == pytest.approx(1, abs=0.1)


def test_style_kept_at_numbers_worked_out_by_hand():
    # Two classes, two latents: within a column 4 and 2 apart, between columns 1 and 1.
    assert same_over_other(torch.tensor([[[0.0], [3.0]], [[4.0], [1.0]]])) == (4 + 2) / (1 + 1)
    assert same_over_other(torch.zeros(2, 3, 4)) is None


def test_a_path_is_smooth_where_images_change_evenly_and_not_where_they_jump(runs, monkeypatch):
    drawn_as(monkeypatch, GANModel, lambda noise: noise["z"][:, 0] / 10)
    assert take(runs["dcgan"], "smoothness", mode="linear") == pytest.approx(1, abs=1e-4)
    drawn_as(monkeypatch, GANModel, lambda noise: noise["z"][:, 0].sign() / 2)
    assert take(runs["dcgan"], "smoothness", mode="linear", steps=5) == pytest.approx(4)
    drawn_as(monkeypatch, GANModel, lambda noise: 0 * noise["z"][:, 0])
    assert take(runs["dcgan"], "smoothness") is None
    assert largest_over_mean(torch.tensor([[[0.0], [1.0], [4.0]], [[2.0], [2.0], [2.0]]])) == 3 / 2


def test_purity_is_one_where_each_value_of_the_code_is_a_class_of_its_own(runs, thirds, monkeypatch):
    drawn_as(monkeypatch, InfoGANModel, lambda noise: THIRDS[(noise["category"] + 1) % 3])
    assert take(runs["infogan"], "purity", images=60) == 1
    drawn_as(monkeypatch, InfoGANModel, lambda noise: THIRDS[0 * noise["category"]])
    assert take(runs["infogan"], "purity", images=3000) == pytest.approx(1 / 3, abs=0.04)


def test_what_each_code_changes_and_whether_the_class_stays(runs, thirds, monkeypatch):
    # The three categories lie at -0.6, 0 and 0.6: 0.8 apart on average. A sweep of code 0 moves all by 0.2, within
    # their thirds; code 1 does nothing.
    drawn_as(monkeypatch, InfoGANModel, lambda noise: 0.6 * (noise["category"] - 1) + 0.1 * noise["code"][:, 0])
    found = take(runs["infogan"], "code effect")
    assert found["continuous0 change"] == pytest.approx(0.2 / 0.8, rel=0.05)
    assert found["continuous0 alike"] == pytest.approx(1)
    assert found["continuous0 class kept"] == 1
    assert found["continuous1 change"] == 0
    assert found["continuous1 alike"] is None
    drawn_as(monkeypatch, InfoGANModel, lambda noise: 0.9 * noise["code"][:, 1] + 0.01 * noise["category"])
    found = take(runs["infogan"], "code effect", code="continuous1", columns=9)
    assert found["class kept"] == pytest.approx(0.25)  # of 8 others, those at -0.25 and 0.25 are in the middle third
    with pytest.raises(UsageError, match="did you mean 'continuous1'"):
        take(runs["infogan"], "code effect", code="continuous9")
    with pytest.raises(UsageError, match="a continuous code 'category'"):
        take(runs["infogan"], "code effect", code="category")


def test_changes_that_point_the_same_way_are_alike_and_those_at_right_angles_are_not():
    assert mean_cosine(torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 0.0]])) == pytest.approx(1)
    assert mean_cosine(torch.tensor([[1.0, 0.0], [0.0, 2.0]])) == pytest.approx(0)
    assert mean_cosine(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])) == pytest.approx(-1)


def test_the_probe_has_the_encoder_the_untrained_one_and_pixels_side_by_side(runs):
    found = take(runs["vae"], "probe", images=60)
    assert set(found) == {f"{kind}{way}" for kind in ("", "untrained ", "pixels ") for way in ("linear", "svm", "knn")}
    encoder, untrained, pixels = probe.probe(runs["vae"], 60)
    assert (found["svm"], found["untrained knn"], found["pixels linear"]) == (encoder.svm, untrained.knn, pixels.linear)


def test_reconstructions_are_judged_on_images_that_were_held_out(runs, monkeypatch):
    seen = []

    def half_off(self, images):
        seen.append(images)
        return images + 0.5

    monkeypatch.setattr(VAEModel, "reconstruct", half_off)
    assert take(runs["vae"], "reconstruction error", images=30) == pytest.approx(0.25)
    test = Shapes().load(gankit.DataOptions(size=8, channels=1, split="test", limit=100), 0)
    torch.testing.assert_close(torch.cat(seen)[:30], test.images[:30] / 127.5 - 1)
    relative = take(runs["vae"], "reconstruction error", images=30, relative=True)
    train = (load_images(runs["vae"].config).images.double() / 127.5 - 1).mean(0)
    of_mean = (test.images[:30].double() / 127.5 - 1 - train).square().mean()
    assert relative == pytest.approx(0.25 / float(of_mean), rel=1e-5)


def test_the_detail_of_an_image_at_numbers_worked_out_by_hand():
    image = torch.tensor([[0, 4, 0, 0], [4, 10, 4, 0], [0, 4, 0, 0]], dtype=torch.uint8).view(1, 1, 3, 4)
    # Two pixels have four neighbours: 10 - 4, and 4 - (10 + 0 + 0 + 0) / 4.
    assert detail([image]) == pytest.approx((6**2 + 1.5**2) / 2)


def test_smooth_reconstructions_are_less_sharp_than_real_images(runs, monkeypatch):
    monkeypatch.setattr(VAEModel, "reconstruct", lambda self, images: images)
    assert take(runs["vae"], "sharpness", what="reconstructions", images=50) == 1
    monkeypatch.setattr(VAEModel, "reconstruct", lambda self, images: torch.nn.functional.avg_pool2d(images, 3, 1, 1))
    assert take(runs["vae"], "sharpness", what="reconstructions", images=50) < 0.5
    drawn_as(monkeypatch, VAEModel, lambda noise: noise["z"][:, 0])
    assert take(runs["vae"], "sharpness", images=50) == 0


def test_a_density_is_judged_as_if_it_were_kept_and_is_not(runs, tmp_path):
    options = {"components": 2, "dims": 4, "latents": 60}
    found = take(runs["vae"], "density score", images=50, **options)
    assert not density.exists(runs["vae"])
    copy = gankit.Run(shutil.copytree(runs["vae"].root, tmp_path / "copy"))
    density.fit(copy, **options)
    judge = Judge(["swd"], comparable(load_images(copy.config)), copy.config.data)
    of_others = reconstruct(copy, shown=100).pairs[1::4]  # of each second of 100 images
    kinds = {"samples": copy.sample(50), "reconstructions": of_others}
    for name, images in kinds.items():
        (value,) = judge.judge([Samples(to_uint8(images))])
        assert found[name] == pytest.approx(value.value) != 0


def test_a_density_that_gives_the_reconstructions_scores_as_they_do(runs, monkeypatch):
    monkeypatch.setattr(VAEModel, "decode", lambda self, latents: torch.zeros(len(latents), 1, 8, 8))
    found = take(runs["vae"], "density score", images=40, components=2, latents=60)
    assert found["samples"] == found["reconstructions"] > 0


def test_the_errors_of_translations_at_numbers_worked_out_by_hand(runs, monkeypatch):
    brighter = {"a2b": 0.125, "b2a": -0.25}
    monkeypatch.setattr(CycleGANModel, "translate", lambda self, images, way, draws: images + brighter[way])
    run = runs["cyclegan"]
    assert take(run, "identity error") == {"a2b": pytest.approx(0.125), "b2a": pytest.approx(0.25)}
    assert take(run, "identity error", what="colour") == {"a2b": pytest.approx(0.125), "b2a": pytest.approx(0.25)}
    assert take(run, "cycle error") == {"a": pytest.approx(0.125), "b": pytest.approx(0.125)}
    monkeypatch.setattr(CycleGANModel, "translate", lambda self, images, way, draws: -images)
    assert take(run, "cycle error") == {"a": 0, "b": 0}
    mirrored = lambda self, images, way, draws: images.flip(3)  # noqa: E731
    monkeypatch.setattr(CycleGANModel, "translate", mirrored)
    found = take(run, "identity error", what="colour")
    assert found == {"a2b": pytest.approx(0, abs=1e-6), "b2a": pytest.approx(0, abs=1e-6)}
    assert min(take(run, "identity error").values()) > 0.01


def test_the_mapping_error_is_zero_for_the_true_mapping_and_has_that_of_doing_nothing_beside_it(runs, monkeypatch):
    monkeypatch.setattr(CycleGANModel, "translate", lambda self, images, way, draws: true_mapping(images, way))
    found = take(runs["cyclegan"], "mapping error", images=20)
    assert (found["a2b"], found["b2a"]) == (0, 0)
    assert min(found["a2b unchanged"], found["b2a unchanged"]) > 0.05


def test_the_identity_error_is_of_images_that_are_in_the_target_domain_already(runs, monkeypatch):
    monkeypatch.setattr(CycleGANModel, "translate", lambda self, images, way, draws: true_mapping(images, way))
    held_out = Stripes().load(gankit.DataOptions(size=8, channels=1, split="test", limit=40), 0)
    found = take(runs["cyclegan"], "identity error", images=20)
    for way, pixels in (("a2b", held_out.other), ("b2a", held_out.images)):
        images = pixels[::2].double() / 127.5 - 1  # 20 of 40
        assert found[way] == pytest.approx(float((true_mapping(images, way) - images).abs().mean()), rel=1e-5)


def test_a_discriminator_is_asked_of_images_that_it_was_trained_on_and_of_others(runs, monkeypatch):
    def terms(self, phase, batch, noise, carry):
        return Terms(losses={}, watch={"D(x)": batch.images.mean(), "D(G(z))": torch.tensor(0.25)})

    monkeypatch.setattr(GANModel, "terms", terms)
    found = take(runs["dcgan"], "discriminator on held out", images=20)
    options = {"size": 8, "channels": 1, "limit": 40}
    for name, split in (("real", "train"), ("held out", "test")):
        images = Shapes().load(gankit.DataOptions(split=split, **options), 0).images[::2][:16]  # two batches of 8
        assert found[name] == pytest.approx(float((images.double() / 127.5 - 1).mean()), rel=1e-5)
    assert found["fake"] == 0.25
    load = Shapes.load

    def only_train(self, options, seed):
        if options.split == "test":
            raise UsageError("no such part")
        return load(self, options, seed)

    monkeypatch.setattr(Shapes, "load", only_train)
    with pytest.raises(UsageError, match="no test split"):
        take(runs["dcgan"], "discriminator on held out")


@pytest.mark.parametrize("variant", ["wgan-gp", "lsgan", "acgan", "bigan", "infogan", "cwgan-gp"])
def test_every_kind_of_discriminator_can_be_asked(variant, tmp_path):
    run = gankit.train(variant, out=tmp_path / "run", steps=1, **TINY)
    found = take(run, "discriminator on held out", images=16)
    assert set(found) == {"real", "held out", "fake"}
    assert all(map(math.isfinite, found.values()))


def test_the_sizes_of_networks_are_those_of_the_trained_ones(runs):
    found = take(runs["infogan"], "parameters")
    model = runs["infogan"].load()
    assert found == {
        **{name: sum(each.numel() for each in net.parameters()) for name, net in model.named_children()},
        "total": sum(each.numel() for each in model.parameters()),
    }
    assert take(runs["cyclegan"], "parameters")["total"] == sum(
        each.numel() for each in runs["cyclegan"].load().parameters()
    )


def test_a_registered_metric_is_taken_of_a_finished_run_and_not_recorded(runs):
    before = files_of(runs["dcgan"])
    value = take(runs["dcgan"], "judged", metric="swd", images=50)
    assert value == scores_of(runs["dcgan"].root, "swd", images=50, device="cpu")[0].value
    assert set(take(runs["cyclegan"], "judged", metric="swd", images=8)) == {"a2b", "b2a"}
    assert files_of(runs["dcgan"]) == before


@pytest.mark.parametrize(
    ("variant", "name", "parameters"),
    [
        ("cdcgan", "class accuracy", {"images": 30}),
        ("cdcgan", "style kept", {"look": "classifier"}),
        ("dcgan", "classes present", {"images": 30}),
        ("dcgan", "smoothness", {}),
        ("dcgan", "discriminator on held out", {}),
        ("infogan", "purity", {"images": 30}),
        ("infogan", "code effect", {}),
        ("vae", "sharpness", {"images": 30}),
        ("vae", "density score", {"components": 2, "latents": 60, "images": 30}),
        ("cyclegan", "identity error", {}),
        ("cyclegan", "mapping error", {"images": 20}),
    ],
)
def test_a_figure_is_the_same_again_and_leaves_the_run_as_it_was(variant, name, parameters, runs, thirds):
    before = files_of(runs[variant])
    one, two = (take(runs[variant], name, **parameters) for _ in range(2))
    assert one == two
    assert files_of(runs[variant]) == before


@pytest.mark.parametrize(
    "name", ["classes present", "class shares", "class accuracy", "purity", "probe", "code effect"]
)
def test_what_needs_labels_says_so_in_a_line_where_there_are_none(name, runs, tmp_path, monkeypatch):
    variant = {"class accuracy": "dcgan", "purity": "infogan", "probe": "vae", "code effect": "infogan"}.get(
        name, "dcgan"
    )
    options = AUTOENCODER | {"width": 2} if variant == "vae" else TINY
    load = Shapes.load
    monkeypatch.setattr(Shapes, "load", lambda *args: gankit.ImageSet(load(*args).images))
    run = gankit.train(variant, out=tmp_path / "run", steps=1, **options)
    with pytest.raises(UsageError, match=r"no labels|no classes|not told the classes") as caught:
        take(run, name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variant", "name"),
    [
        ("dcgan", "class accuracy"), ("dcgan", "style kept"), ("dcgan", "purity"), ("cdcgan", "purity"),
        ("cdcgan", "code effect"), ("dcgan", "probe"), ("dcgan", "reconstruction error"), ("dcgan", "density score"),
        ("dcgan", "identity error"), ("dcgan", "cycle error"), ("dcgan", "mapping error"),
        ("cyclegan", "smoothness"), ("vae", "discriminator on held out"),
    ],
)  # fmt: skip
def test_a_measure_that_does_not_fit_a_run_names_the_run_and_its_variant(variant, name, runs):
    with pytest.raises(UsageError) as caught:
        take(runs[variant], name)
    assert str(runs[variant].root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_that_are_looked_at_are_spread_over_the_data_set_and_not_its_first_class():
    images = gankit.ImageSet(torch.zeros(100, 1, 4, 4, dtype=torch.uint8), torch.arange(100) // 25, tuple("abcd"))
    assert torch.bincount(even(images, 8).labels).tolist() == [2, 2, 2, 2]
    assert len(even(images, 1000)) == 100
