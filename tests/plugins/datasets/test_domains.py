"""Two domains: the drawn pair `stripes` with its known mapping, folders of one's own, and windows of larger images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit import ImageSet, Trainer, UsageError
from gankit.config import configure
from gankit.data.catalogue import DataOptions
from gankit.inference.mapping import mapping_error
from gankit.plugins.datasets.stripes import Stripes, to_pixels, to_unit, true_mapping
from gankit.plugins.datasets.unpaired import Unpaired
from gankit.plugins.variants.cyclegan import CycleGANModel
from gankit.registry import registry

SMALL = {"size": 8, "ngf": 2, "ndf": 2, "blocks": 1, "limit": 12, "samples": 4, "quiet": True}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 30, 64])
def test_stripes_are_plain_shapes_and_others_striped_in_any_size(channels, size):
    images = Stripes().load(DataOptions(size=size, channels=channels, limit=20), 0)
    assert images.images.shape == images.other.shape == (20, channels, size, size)
    rows = images.other.float().mean((0, 1, 3))
    dark = torch.arange(size) % 4 >= 2
    assert float(rows[dark].mean()) < 0.4 * float(rows[~dark].mean())
    again = Stripes().load(DataOptions(size=size, channels=channels, limit=20), 7)
    assert torch.equal(images.images, again.images)
    assert torch.equal(images.other, again.other)


def test_the_domains_are_of_different_draws_and_so_is_each_split():
    train, test = (Stripes().load(DataOptions(size=16, limit=50, split=split), 0) for split in ("train", "test"))
    plain = to_pixels(true_mapping(to_unit(train.other), "b2a"))
    sets = [{image.numpy().tobytes() for image in images} for images in (train.images, plain, test.images)]
    assert not (sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2])


def test_the_true_mapping_at_numbers_worked_out_by_hand_and_back():
    image = torch.tensor([1.0, 0.0, -1.0, 0.5], dtype=torch.float64).expand(1, 1, 6, 4)
    striped = true_mapping(image, "a2b")
    torch.testing.assert_close(striped[0, 0, [0, 1, 4, 5]], image[0, 0, :4])
    torch.testing.assert_close(striped[0, 0, 2], torch.tensor([-0.5, -0.75, -1.0, -0.625], dtype=torch.float64))
    torch.testing.assert_close(true_mapping(striped, "b2a"), image)


def test_flipping_keeps_the_true_mapping():
    image = torch.rand(2, 3, 8, 8)
    assert torch.equal(true_mapping(image).flip(3), true_mapping(image.flip(3)))


def test_the_mapping_error_is_zero_for_the_true_mapping_and_that_of_doing_nothing_beside_it(tmp_path, monkeypatch):
    run = gankit.train("cyclegan", out=tmp_path / "run", steps=1, **SMALL)
    for direction in ("a2b", "b2a"):
        error = mapping_error(run, direction, 30)
        assert error.learned > 0
        held_out = Stripes().load(DataOptions(size=8, channels=3, limit=30, split="test"), 0)
        images = to_unit(held_out.images if direction == "a2b" else held_out.other)
        by_hand = (images - true_mapping(images, direction)).abs().mean()
        assert error.unchanged == pytest.approx(float(by_hand), rel=1e-5)
    monkeypatch.setattr(
        CycleGANModel, "translate", lambda self, images, direction, draws: true_mapping(images, direction)
    )
    assert mapping_error(run).learned == 0
    monkeypatch.setattr(CycleGANModel, "translate", lambda self, images, direction, draws: images)
    assert mapping_error(run).learned == mapping_error(run).unchanged > 0.05


@pytest.mark.slow
def test_cyclegan_learns_the_mapping_to_less_than_half_the_error_of_doing_nothing(tmp_path):
    options = {
        "size": 32,
        "channels": 1,
        "ngf": 12,
        "ndf": 12,
        "blocks": 2,
        "batch_size": 2,
        "lr_g": 1e-3,
        "lr_d": 5e-4,
    }
    run = gankit.train("cyclegan", data="stripes", out=tmp_path / "run", steps=1000, quiet=True, **options)
    for direction in ("a2b", "b2a"):
        error = mapping_error(run, direction)
        assert error.learned < error.unchanged / 2


def test_only_a_run_on_stripes_that_translates_has_a_mapping_error(finished, tmp_path):
    with pytest.raises(UsageError, match="knows no true mapping"):
        mapping_error(gankit.Run(finished))
    tiny = {"arch": "mlp", "ngf": 2, "ndf": 2, "nz": 4, "size": 8, "limit": 12, "samples": 4, "quiet": True}
    run = gankit.train("dcgan", data="stripes", out=tmp_path / "run", steps=1, **tiny)
    with pytest.raises(UsageError, match="does not translate"):
        mapping_error(run)


def test_cyclegan_is_trained_on_stripes_one_image_at_a_time_unless_told_otherwise():
    config = configure("cyclegan", {})
    assert (config.data.data, config.train.batch_size, config.train.decay_start) == ("stripes", 1, 0.5)
    assert configure("cyclegan", {"data": "unpaired:x"}).data.name == "unpaired"
    assert configure("dcgan", {}).data.data == "shapes"


def test_a_variant_whose_defaults_name_no_option_is_told_so(monkeypatch):
    variant = registry().get("variants", "dcgan")
    monkeypatch.setattr(variant, "defaults", {"batchsize": 3})
    with pytest.raises(TypeError, match="batchsize"):
        configure("dcgan", {})


def test_a_folder_of_two_domains_is_read_as_two(tmp_path):
    for folder, count, colour in (
        ("trainA", 3, "red"),
        ("trainB", 5, "blue"),
        ("testA", 1, "red"),
        ("testB", 1, "blue"),
    ):
        (tmp_path / folder).mkdir()
        for i in range(count):
            Image.new("RGB", (20, 10), colour).save(tmp_path / folder / f"{i}.png")
    images = Unpaired().load(DataOptions(data=f"unpaired:{tmp_path}", size=8), 0)
    assert (images.images.shape, images.other.shape) == ((3, 3, 8, 8), (5, 3, 8, 8))
    assert images.images[:, 0].min() == images.other[:, 2].min() == 255
    assert len(Unpaired().load(DataOptions(data=f"unpaired:{tmp_path}", size=8, split="test"), 0).other) == 1
    run = gankit.train("cyclegan", out=tmp_path / "run", data=f"unpaired:{tmp_path}", steps=4, **SMALL)
    assert run.spec.paired_domains
    with pytest.raises(UsageError, match="valA: no such folder"):
        Unpaired().load(DataOptions(data=f"unpaired:{tmp_path}", split="val"), 0)
    with pytest.raises(UsageError, match="needs a path"):
        Unpaired().load(DataOptions(data="unpaired"), 0)


def test_windows_are_drawn_anew_for_each_image_from_the_key_and_all_of_the_image_is_reached():
    images = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).repeat(4, 1, 1, 1)
    flags = {"arch": "mlp", "ngf": 1, "ndf": 1, "batch_size": 4, "steps": 2, "crop": 6}
    trainer = Trainer(configure("cyclegan", flags), ImageSet(images, other=images))
    assert trainer.spec.size == 6
    corners = set()
    for draw in range(40):
        batch = trainer.batches.batch(draw)
        for window in (*batch.images, *batch.other):
            pixels = ((window + 1) * 127.5).round().int()[0]
            top, left = divmod(int(pixels[0, 0]), 8)
            assert torch.equal(pixels, images[0, 0, top : top + 6, left : left + 6].int())
            corners.add((top, left))
    assert corners == {(top, left) for top in range(3) for left in range(3)}
    assert torch.equal(trainer.batches.batch(3).images, trainer.batches.batch(3).images)
    trainer.step()
    middle = trainer.images.pick(2, 0, 6).images
    assert np.array_equal(((middle[0, 0] + 1) * 127.5).round().int(), images[0, 0, 1:7, 1:7].int())


def test_a_window_larger_than_the_images_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--crop 16"):
        gankit.train("dcgan", out=tmp_path / "run", size=8, crop=16, arch="mlp", steps=1)
    assert not (tmp_path / "run").exists()


def test_a_run_on_windows_samples_and_translates(tmp_path):
    run = gankit.train("cyclegan", out=tmp_path / "run", steps=2, **{**SMALL, "size": 12, "crop": 8, "flip": True})
    assert run.sample(3).shape == (3, 3, 8, 8)
