"""Samples by class, between classes, and grids of classes and codes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import TINY

import gankit
from gankit.inference.class_grids import (
    between_classes,
    between_codes,
    class_grid,
    class_number,
    code_grid,
    sample_classes,
    sweep,
)
from gankit.models.interface import Conditional, Encoder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny finished run of any variant, made once."""
    made = {}

    def run(variant):
        if variant not in made:
            root = tmp_path_factory.mktemp("runs") / variant
            made[variant] = gankit.train(variant, out=root, steps=2, init="default", **TINY)
        return made[variant]

    return run


@pytest.mark.parametrize("variant", ["cdcgan", "acgan"])
def test_samples_of_a_class_are_those_of_the_same_latents_with_its_label(variant, trained):
    run = trained(variant)
    model = run.load()
    noise = model.noise("sample", 6, gankit.RandomStream(3, "sample"))
    with torch.no_grad():
        one = model.sample({**noise, "labels": torch.full((6,), 2)})
        turns = model.sample({**noise, "labels": torch.tensor([1, 0, 1, 0, 1, 0])})
    torch.testing.assert_close(run.sample(6, seed=3, classes=["Triangle"]), one)
    torch.testing.assert_close(sample_classes(run, ["square", 0], 6, 3), turns)
    assert not torch.allclose(one, turns)


def test_a_class_is_found_by_name_in_any_case_or_by_number(trained):
    run = trained("cdcgan")
    assert [class_number(run, name) for name in ("circle", "SQUARE", "2", 1)] == [0, 1, 2, 1]
    for wrong, said in (
        ("sqare", "or a number from 0 to 2"), ("3", "no class has that name, and as a number it is not from 0 to 2"),
        (-1, "class -1: it is not from 0 to 2"), ("9" * 5000, "is not from 0 to 2"), ("²", "or a number from 0 to 2"),
    ):  # fmt: skip
        with pytest.raises(gankit.UsageError, match=said):
            class_number(run, wrong)
    with pytest.raises(gankit.UsageError, match="did you mean 'square'"):
        class_number(run, "sqare")


@pytest.mark.parametrize(
    ("name", "number"),
    [("1", 2), (1, 1), ("10", 3), ("0", 0), ("A", 4), ("a", 5), ("cat", 6), ("CAT", 6), ("É", 7), ("é", 7), ("4", 4)],
)
def test_class_names_are_exact_and_a_number_is_an_index_only_where_no_class_has_that_name(name, number):
    names = ("2", "x", "1", "10", "A", "a", "Cat", "É")
    run = SimpleNamespace(spec=gankit.Spec(3, 8, len(names), names=names))
    assert class_number(run, name) == number


def test_a_name_that_two_classes_have_in_other_cases_is_asked_back():
    run = SimpleNamespace(spec=gankit.Spec(3, 8, 2, names=("Ab", "aB")))
    with pytest.raises(gankit.UsageError, match="class 'ab': Ab or aB"):
        class_number(run, "ab")


@pytest.mark.parametrize("conditioning", ["onehot", "embedding", "text"])
def test_a_path_between_classes_starts_at_one_and_ends_at_the_other_with_one_latent_a_row(conditioning, tmp_path, tiny):
    run = gankit.train("cgan", out=tmp_path / "run", steps=2, init="default", conditioning=conditioning, **tiny)
    images = between_classes(run, "circle", "triangle", rows=2, steps=5, seed=1).unflatten(0, (2, 5))
    model = run.load()
    noise = model.noise("sample", 2, gankit.RandomStream(1, "grid"))
    with torch.no_grad():
        for end, label in ((0, 0), (-1, 2)):
            expected = model.sample({**noise, "labels": torch.full((2,), label)})
            torch.testing.assert_close(images[:, end], expected, rtol=1e-4, atol=1e-5)
    middle, ends = images[:, 2], (images[:, 0] + images[:, -1]) / 2
    assert (middle - images[:, 0]).abs().mean() > 0
    assert (middle - ends).abs().mean() < (images[:, 0] - images[:, -1]).abs().mean()


def test_a_grid_has_one_class_a_row_and_one_latent_a_column(trained):
    run = trained("cdcgan")
    images = class_grid(run, columns=4, seed=5).unflatten(0, (3, 4))
    model = run.load()
    noise = model.noise("sample", 4, gankit.RandomStream(5, "grid"))
    for label in range(3):
        with torch.no_grad():
            expected = model.sample({**noise, "labels": torch.full((4,), label)})
        torch.testing.assert_close(images[label], expected, rtol=1e-4, atol=1e-5)


def test_a_code_is_swept_along_each_row_at_one_latent(trained):
    run = trained("infogan")
    model = run.load()
    assert model.conditions == {"category": 10, "continuous0": 0, "continuous1": 0}
    images, columns = code_grid(run, "continuous1", rows=2, columns=5, seed=4)
    noise = model.noise("sample", 2, gankit.RandomStream(4, "grid"))
    for column, value in enumerate((-1.0, -0.5, 0.0, 0.5, 1.0)):
        code = torch.stack([noise["code"][:, 0], torch.full((2,), value)], 1)
        with torch.no_grad():
            expected = model.sample({**noise, "code": code})
        torch.testing.assert_close(images.unflatten(0, (2, 5))[:, column], expected, rtol=1e-4, atol=1e-5)
    images, columns = code_grid(run, "category", rows=2, seed=4)
    assert (len(images), columns) == (20, 10)
    images, columns = code_grid(run, rows=2, columns=6, seed=4)
    assert (len(images), columns) == (18, 6)  # a row for each code
    assert sweep(4, 6).tolist() == [0, 1, 2, 3, 0, 1]


def test_a_path_between_two_categories_goes_in_a_line_between_their_one_hot_vectors(trained):
    run = trained("infogan")
    images = between_codes(run, "category", "3", 7, rows=2, steps=5, seed=4).unflatten(0, (2, 5))
    model = run.load()
    noise = model.noise("sample", 2, gankit.RandomStream(4, "grid"))
    z, code = noise["z"], noise["code"]
    for column, share in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
        category = torch.zeros(2, 10)
        category[:, 3], category[:, 7] = 1 - share, share
        with torch.no_grad():
            expected = model.generator(torch.cat([z, category, code], 1))
        torch.testing.assert_close(images[:, column], expected, rtol=1e-4, atol=1e-5)


def test_a_path_between_values_of_a_continuous_code_moves_that_code_alone(trained):
    run = trained("infogan")
    images = between_codes(run, "continuous1", "-0.5", 1, rows=2, steps=4, seed=4).unflatten(0, (2, 4))
    model = run.load()
    noise = model.noise("sample", 2, gankit.RandomStream(4, "grid"))
    for column, value in enumerate((-0.5, 0.0, 0.5, 1.0)):
        code = torch.stack([noise["code"][:, 0], torch.full((2,), value)], 1)
        with torch.no_grad():
            expected = model.sample({**noise, "code": code})
        torch.testing.assert_close(images[:, column], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(images[:, 0], images[:, -1])


def test_a_class_is_a_code_too_by_name_or_number(trained):
    run = trained("cdcgan")
    paths = [between_codes(run, "class", *ends, rows=2, steps=3) for ends in (("circle", "2"), (0, "triangle"))]
    assert all(torch.equal(path, between_classes(run, "circle", "triangle", rows=2, steps=3)) for path in paths)


@pytest.mark.parametrize(
    ("variant", "ends", "said"),
    [
        ("infogan", ("categry", "0", "1"), "did you mean 'category'?"),
        ("infogan", ("category", "0", "10"), "category 10: its values are the numbers from 0 to 9"),
        ("infogan", ("category", "-1", "1"), "category -1: its values are the numbers from 0 to 9"),
        ("infogan", ("continuous0", "-1", "1.5"), "continuous0 1.5: its values are numbers from -1 to 1"),
        ("infogan", ("continuous0", "nan", "1"), "continuous0 nan: its values are numbers from -1 to 1"),
        ("infogan", ("continuous0", "low", "1"), "continuous0 low: its values are numbers from -1 to 1"),
        ("cdcgan", ("class", "circle", "3"), "not from 0 to 2"),
        ("dcgan", ("category", "0", "1"), "dcgan has neither classes nor codes; train infogan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_code_or_value_that_there_is_not_is_said_with_those_there_are(variant, ends, said, cli, trained, tmp_path):
    result = cli("interpolate", trained(variant).root, "--between-codes", *ends, "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "x.png").exists()


def test_two_kinds_of_ends_at_once_are_refused(cli, trained, tmp_path):
    between = ["--between-classes", "0", "1", "--between-codes", "class", "0", "1"]
    result = cli("interpolate", trained("cdcgan").root, *between, "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "--between-classes and --between-codes: choose one of them" in result.stderr


def test_the_commands_draw_classes_paths_between_them_and_grids(cli, trained, tmp_path):
    root = trained("cdcgan").root
    assert cli("sample", root, "-n", 6, "--class", "square", "--class", 2, "-o", tmp_path / "s.npy").exit_code == 0
    assert np.load(tmp_path / "s.npy").shape == (6, 8, 8, 1)
    sizes = {
        "grid": (["grid", root, "--columns", 4], (4, 3)),
        "path": (["interpolate", root, "--between-classes", "circle", "1", "--rows", 2, "--steps", 5], (5, 2)),
        "category": (
            ["interpolate", trained("infogan").root, "--between-codes", "category", 1, 2, "--rows", 3],
            (10, 3),
        ),
        "number": (["interpolate", trained("infogan").root, "--between-codes", "continuous0", -1, 1], (10, 8)),
        "codes": (["grid", trained("infogan").root, "--columns", 6], (6, 3)),
        "code": (["grid", trained("infogan").root, "--code", "category", "--rows", 4], (10, 4)),
    }
    for name, (command, (columns, rows)) in sizes.items():
        result = cli(*command, "-o", tmp_path / f"{name}.png")
        assert result.stdout.strip() == str(tmp_path / f"{name}.png"), result.output
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size == (columns * 10 - 2, rows * 10 - 2)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["sample", "--class", "0"], "was not told the classes"),
        (["interpolate", "--between-classes", "0", "1"], "was not told the classes"),
        (["grid"], "neither classes nor codes"),
        (["grid", "--code", "category"], "neither classes nor codes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_model_without_classes_says_so_and_exits_with_2(command, said, cli, finished, tmp_path):
    result = cli(command[0], finished, *command[1:], "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_unknown_code_is_named_with_the_closest(cli, trained, tmp_path):
    result = cli("grid", trained("infogan").root, "--code", "categry", "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert "did you mean 'category'?" in result.stderr


def test_a_variant_of_a_stranger_takes_part_by_the_two_hooks_alone(trained, monkeypatch):
    run = trained("dcgan")
    model = run.load()

    class Stranger(type(model), Conditional):
        conditions = {"class": 3}

        def with_condition(self, noise, name, values):
            return {**noise, "z": noise["z"] * 0 + values.float()[:, None]}

    model.__class__ = Stranger
    monkeypatch.setattr(run, "load", lambda **_: model)
    images = class_grid(run, columns=2)
    torch.testing.assert_close(images[0], images[1])
    assert not torch.allclose(images[0], images[2])


def test_bigan_encodes_and_reconstructs_images_of_its_size(trained):
    model = trained("bigan").load()
    images = gankit.RandomStream(0, "x").uniform(5, 1, 8, 8) * 2 - 1
    assert isinstance(model, Encoder)
    assert model.encode(images).shape == (5, 4)
    assert model.reconstruct(images).shape == images.shape
    with torch.no_grad():
        expected = model.generator(model.encode(images))
    torch.testing.assert_close(model.reconstruct(images), expected)


def test_the_pictures_of_a_training_show_one_class_after_the_other(trained):
    run = trained("cdcgan")
    model = run.load()
    noise = model.noise("sample", 6, gankit.RandomStream(0, "sample"))
    with torch.no_grad():
        expected = model.sample({**noise, "labels": torch.tensor([0, 0, 1, 1, 2, 2])})
        torch.testing.assert_close(model.preview(noise), expected)


@pytest.mark.parametrize("mode", ["linear", "spherical"])
def test_a_path_between_latents_keeps_the_class_of_its_row(mode, trained):
    run = trained("cdcgan")
    images = gankit.interpolate(run, rows=3, steps=4, mode=mode, seed=2).unflatten(0, (3, 4))
    model = run.load()
    starts, ends = (model.noise("sample", 3, gankit.RandomStream(2, "interpolate", end)) for end in ("from", "to"))
    with torch.no_grad():
        first, last = model.sample(starts), model.sample({**ends, "labels": starts["labels"]})
    torch.testing.assert_close(images[:, 0], first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(images[:, -1], last, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "code"), [("infogan", "category"), ("infogan", "continuous0"), ("cdcgan", "class")]
)
def test_setting_a_code_leaves_the_noise_it_is_set_in_as_it_was(variant, code, trained):
    model = trained(variant).load()
    noise = model.noise("sample", 3, gankit.RandomStream(0, "x"))
    before = {name: value.clone() for name, value in noise.items()}
    changed = model.with_condition(noise, code, torch.tensor([2, 2, 2]))
    assert all(torch.equal(noise[name], value) for name, value in before.items())
    assert [name for name in noise if not torch.equal(noise[name], changed[name])] != []
