"""Captions: a file that says in words or numbers what each class is, for --conditioning text."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from published import bmp, load, write

import gankit
from gankit import DamagedFile, UsageError
from gankit.data.captions import captions_in
from gankit.models.label_embedding import text_vector

CLASSES = ("bag", "coat", "shirt")
TEXTS = ("a bag, with a handle", "a long coat", "a shirt")
VECTORS = ((0.5, -1.0), (0.25, 2.0), (1e-3, 3.0))

TABLES = {
    "plain": '"bag","a bag, with a handle"\ncoat,a long coat\nshirt,a shirt\n',
    "another order, a heading": 'class,caption\nshirt,a shirt\ncoat,a long coat\n"bag","a bag, with a handle"\n',
    "blanks": '\n bag , "a bag, with a handle"\r\n\r\ncoat,a long coat\r\nshirt,a shirt'.replace(', "', ',"'),
}


def table(tmp_path, text, name="c.csv", encoding="utf-8"):
    (tmp_path / name).write_text(text, encoding)
    return tmp_path / name


def array(tmp_path, values, name="c.npy"):
    np.save(tmp_path / name, values)
    return tmp_path / name


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("how", TABLES)
def test_a_table_gives_each_class_its_text(how, encoding, tmp_path):
    assert captions_in(table(tmp_path, TABLES[how], encoding=encoding), CLASSES) == TEXTS


def test_numbers_after_the_name_are_a_vector_and_an_array_has_them_in_the_classes_order(tmp_path):
    text = "coat,0.25,2\nbag,0.5,-1.0\nshirt,1e-3,3\n"
    rounded = tuple(tuple(float(np.float32(x)) for x in row) for row in VECTORS)
    assert captions_in(table(tmp_path, text), CLASSES) == rounded
    assert captions_in(array(tmp_path, np.array(VECTORS)), CLASSES) == rounded
    assert captions_in(array(tmp_path, np.array([[1], [2], [3]])), CLASSES) == ((1.0,), (2.0,), (3.0,))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bag,a bag\ncoat,a coat\n", "no caption of 'shirt'; add a row NAME,TEXT for each"),
        ("bag,a\ncoat,b\nshirts,c\n", "line 3: the images have no class 'shirts': did you mean 'shirt'"),
        ("bag,a\ncoat,b\nshirt,c\nbag,d\n", "line 4: 'bag' has a caption already"),
        ("bag,a\ncoat\nshirt,c\n", "line 2: 'coat' is not NAME,TEXT"),
        ("bag,a\ncoat,\nshirt,c\n", "line 2: 'coat,' is not NAME,TEXT"),
        ("bag,1,2\ncoat,1,2,3\nshirt,1,2\n", "'coat' has 3 numbers, and others 2"),
        ("bag,1,2\ncoat,1,nan\nshirt,1,2\n", "caption of 'coat' has a number that is not finite"),
        ("bag,1,2\ncoat,1,1e300\nshirt,1,2\n", "caption of 'coat' has a number that is not finite"),
        ("bag,a bag, red\ncoat,a coat\nshirt,a shirt\n", "put a text that has a comma in quotes"),
        ('bag,"a\n', "cannot be read as a table"),
        ("", "no caption of 'bag', 'coat', 'shirt'"),
    ],
)
def test_a_table_that_is_wrong_is_named_with_its_place(text, says, tmp_path):
    with pytest.raises(DamagedFile, match=says) as caught:
        captions_in(table(tmp_path, text), CLASSES)
    assert str(tmp_path / "c.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((2, 4)), "has 2 rows for 3 classes"),
        (np.zeros(3), r"float64 \(3,\), not numbers \[classes, width\]"),
        (np.zeros((3, 0)), "not numbers"),
        (np.array([["a"], ["b"], ["c"]]), "not numbers"),
        (np.array([[1.0], [np.inf], [2.0]]), "caption of 'coat' has a number that is not finite"),
        (np.array([[1.0], [2.0], [1e200]]), "caption of 'shirt' has a number that is not finite"),
        (np.array([[None], [1], [2]]), "cannot be read as a NumPy array"),
    ],
)
def test_an_array_that_is_wrong_is_named_with_what_is(values, says, tmp_path):
    with pytest.raises(DamagedFile, match=says):
        captions_in(array(tmp_path, values), CLASSES)


def test_a_file_that_is_not_there_or_of_another_kind_is_a_wrong_call(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        captions_in(tmp_path / "none.csv", CLASSES)
    with pytest.raises(UsageError, match=r"must be a \.csv|must end in \.csv"):
        captions_in(table(tmp_path, "{}", "c.json"), CLASSES)
    with pytest.raises(UsageError, match="no classes"):
        captions_in(table(tmp_path, "a,b"), ())


@pytest.fixture
def pictures(tmp_path):
    files = {f"{name}/{i}.bmp": bmp((10 * i, 0, 0)) for name in CLASSES for i in range(4)}
    return write(tmp_path / "set", files)


FLAGS = {"conditioning": "text", "arch": "mlp", "ngf": 2, "ndf": 2, "nz": 4, "batch_size": 4, "size": 8, "threads": 1,
         "samples": 4, "quiet": True, "checkpoint_every": 1, "milestone_every": 1}  # fmt: skip


def train(root, data, steps=3, **flags):
    return gankit.train("cgan", out=root, data=f"folder:{data}", steps=steps, **{**FLAGS, **flags})


def same(one, other):
    ours, theirs = gankit.Run(one).latest()[0], gankit.Run(other).latest()[0]
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_captions_beside_the_pictures_are_taken_and_the_flags_file_before_them(pictures, tmp_path):
    plain = train(tmp_path / "plain", pictures)
    assert "captions" not in plain.recorded["spec"]
    table(pictures, TABLES["plain"], "captions.csv")
    assert load(f"folder:{pictures}", size=8).passed_over == ()
    beside = train(tmp_path / "beside", pictures)
    assert beside.spec.captions == TEXTS
    assert not same(plain.root, beside.root)
    table_of = beside.load().generator.get_submodule("label").table
    torch.testing.assert_close(table_of, torch.stack([text_vector(text, 119) for text in TEXTS]))
    given = train(tmp_path / "given", pictures, captions=str(array(tmp_path, np.array(VECTORS))), text_width=2)
    assert given.load().generator.get_submodule("label").table.tolist() == torch.tensor(VECTORS).tolist()
    onehot = train(tmp_path / "onehot", pictures, conditioning="onehot")
    assert "captions" not in onehot.recorded["spec"]


def test_two_files_of_captions_beside_the_pictures_are_refused(pictures, tmp_path):
    table(pictures, TABLES["plain"], "captions.csv")
    array(pictures, np.array(VECTORS), "captions.npy")
    with pytest.raises(UsageError, match=r"holds captions\.csv and captions\.npy; keep the one"):
        train(tmp_path / "run", pictures)
    assert not (tmp_path / "run").exists()


def test_vectors_of_another_width_than_asked_are_refused_before_anything_is_written(pictures, tmp_path):
    with pytest.raises(UsageError, match="--text-width 119: the captions have 2 numbers"):
        train(tmp_path / "run", pictures, captions=str(array(tmp_path, np.array(VECTORS))))
    assert not (tmp_path / "run").exists()


def test_captions_without_a_network_that_reads_them_are_refused(pictures, tmp_path):
    with pytest.raises(UsageError, match="--conditioning onehot takes none; pass text"):
        train(tmp_path / "run", pictures, captions=str(table(tmp_path, TABLES["plain"])), conditioning="onehot")
    with pytest.raises(UsageError, match="unknown option 'captions'"):
        gankit.train("dcgan", out=tmp_path / "run", captions="c.csv")


@pytest.mark.parametrize("vectors", [False, True], ids=["texts", "vectors"])
def test_a_run_goes_on_with_the_captions_it_began_with_whatever_became_of_the_file(vectors, pictures, tmp_path):
    width = {"text_width": 2} if vectors else {}
    file = array(tmp_path, np.array(VECTORS)) if vectors else table(tmp_path, TABLES["plain"])
    whole = train(tmp_path / "whole", pictures, steps=4, captions=str(file), **width)
    part = train(tmp_path / "part", pictures, steps=2, captions=str(file), **width)
    file.unlink()
    table(pictures, "bag,x\ncoat,y\nshirt,z\n", "captions.csv")
    gankit.resume(part.root, steps=4, quiet=True)
    assert same(whole.root, part.root)
    assert json.loads((part.root / "config.json").read_text())["spec"] == whole.recorded["spec"]
    shutil.rmtree(pictures)
    assert gankit.Run(part.root).sample(3).shape == (3, 3, 8, 8)


def test_a_run_that_began_without_captions_goes_on_without_a_file_that_came_later(pictures, tmp_path):
    whole, part = train(tmp_path / "whole", pictures, steps=4), train(tmp_path / "part", pictures, steps=2)
    table(pictures, TABLES["plain"], "captions.csv")
    gankit.resume(part.root, steps=4, quiet=True)
    assert same(whole.root, part.root)


def test_a_program_gives_captions_with_its_images_and_others_are_refused_at_resuming(tmp_path):
    pixels = gankit.RandomStream(0, "x").integers(256, 12, 1, 8, 8).to(torch.uint8)
    labels = torch.arange(12) % 3

    def images(captions=()):
        return gankit.ImageSet(pixels, labels, CLASSES, captions=captions)

    flags = {name: value for name, value in FLAGS.items() if name != "size"}
    run = gankit.train(
        "cgan", out=tmp_path / "run", images=images(((1, 2), (3, 4), (5, 6))), steps=2, text_width=2, **flags
    )
    assert run.spec.captions == ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0))
    with pytest.raises(UsageError, match="other images"):
        gankit.resume(run.root, images=images(((1, 2), (3, 4), (5, 7))), steps=3, quiet=True)
    gankit.resume(run.root, images=images(), steps=3, quiet=True)
    assert gankit.Run(run.root).latest()[1]["step"] == 3
    with pytest.raises(UsageError, match="2 captions for 3 classes"):
        images(("a", "b"))


@pytest.mark.parametrize("captions", [["a", 1], [[1.0], ["x"]], "abc", [True, False, True]], ids=str)
def test_captions_of_a_config_that_gankit_did_not_write_are_named(captions, pictures, tmp_path):
    run = train(tmp_path / "run", pictures, steps=1)
    values = json.loads((run.root / "config.json").read_text())
    values["spec"]["captions"] = captions
    (run.root / "config.json").write_text(json.dumps(values))
    with pytest.raises(DamagedFile, match="captions"):
        _ = gankit.Run(run.root).spec


def test_an_exported_generator_brings_its_captions(pictures, tmp_path):
    pytest.importorskip("safetensors")
    from gankit.runs.export import export
    from gankit.runs.export import load as load_exported

    run = train(tmp_path / "run", pictures, captions=str(array(tmp_path, np.array(VECTORS))), text_width=2)
    model = load_exported(export(run, tmp_path / "g.safetensors"))
    assert model.generator.get_submodule("label").table.tolist() == torch.tensor(VECTORS).tolist()
