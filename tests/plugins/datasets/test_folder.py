"""folder:PATH: parts and classes by folders, grey beside colour, paths as people type them."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from published import bmp, load, write

from gankit import UsageError
from gankit.data.catalogue import DataOptions
from gankit.registry import registry


def classes(part="", names=("cat", "dog"), red=0):
    return {f"{part}{name}/{i}.png": bmp((red + 50 * c + i, 0, 0)) for c, name in enumerate(names) for i in range(2)}


def grey(form="PNG", mode="L"):
    buffer = io.BytesIO()
    Image.new(mode, (8, 8), 77).save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
@pytest.mark.parametrize("packed", [None, "set.zip"])
def test_folders_that_are_parts_are_taken_by_split_with_the_classes_of_all(val, packed, tmp_path):
    files = {**classes("train/"), **classes(f"{val}/", ("dog",), 100), **classes("test/", ("cat", "eel"), 200)}
    if packed:
        files = {f"set/{name}": data for name, data in files.items()}
    path = write(tmp_path, files, packed)
    for split, labels, red in (("train", [0, 0, 1, 1], 0), ("val", [1, 1], 100), ("test", [0, 0, 2, 2], 200)):
        found = load(f"folder:{path if packed else tmp_path}", size=8, split=split)
        assert found.classes == ("cat", "dog", "eel")
        assert found.labels.tolist() == labels
        assert found.images[0, 0, 0, 0] == red
    assert len(load(f"folder:{path if packed else tmp_path}", size=8)) == 4  # train, unless another is named


@pytest.mark.parametrize("split", ["val", "valid", "validation", "Valid"])
def test_a_part_is_found_by_any_of_its_names_in_capitals_or_not(split, tmp_path):
    write(tmp_path, {**classes("Train/"), **classes("Valid/", ("dog",), 100)})
    assert load(f"folder:{tmp_path}", size=8).classes == ("cat", "dog")
    assert load(f"folder:{tmp_path}", size=8, split=split).labels.tolist() == [1, 1]


def test_two_folders_for_one_part_are_told_apart_by_their_own_names(tmp_path):
    write(tmp_path, {**classes("train/"), **classes("valid/"), **classes("validation/", red=100)})
    with pytest.raises(UsageError, match=r"--split val: .* has train, valid, validation"):
        load(f"folder:{tmp_path}", split="val")
    assert load(f"folder:{tmp_path}", size=8, split="validation").images[0, 0, 0, 0] == 100


def test_parts_of_loose_pictures_have_no_labels(tmp_path):
    write(tmp_path, {f"{part}/{i}.png": bmp((i, 0, 0)) for part, n in (("train", 3), ("test", 2)) for i in range(n)})
    assert load(f"folder:{tmp_path}", size=8).labels is None
    assert len(load(f"folder:{tmp_path}", size=8, split="test")) == 2


def test_a_part_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path):
    write(tmp_path, {**classes("train/"), **classes("test/")})
    with pytest.raises(UsageError, match=r"--split val: folder:.* has test, train"):
        load(f"folder:{tmp_path}", split="val")
    write(tmp_path / "plain", classes())
    with pytest.raises(UsageError, match="has no such parts"):
        load(f"folder:{tmp_path / 'plain'}", split="test")


def test_a_class_called_train_among_others_is_a_class(tmp_path, capsys):
    write(tmp_path, classes("", ("bus", "ship", "train")))
    assert load(f"folder:{tmp_path}", size=8).classes == ("bus", "ship", "train")
    assert "parts" not in capsys.readouterr().err
    write(tmp_path, classes("", ("test",)))
    assert load(f"folder:{tmp_path}", size=8).classes == ("bus", "ship", "test", "train")
    assert "test, train are not taken for parts: bus beside them" in capsys.readouterr().err


def test_class_names_are_exact(tmp_path):
    write(tmp_path, classes("", ("1", "10", "2", "A", "a", "É", "E\u0301")))
    assert load(f"folder:{tmp_path}", size=8).classes == ("1", "10", "2", "A", "E\u0301", "a", "É")


@pytest.mark.parametrize("other", [grey(), grey(mode="1"), grey("GIF"), grey("TIFF", "I;16"), grey("TIFF", "F")])
def test_grey_beside_colour_is_an_error_that_counts_each_until_channels_are_said(other, tmp_path):
    write(tmp_path, {**{f"{i}.png": bmp((i, 0, 0)) for i in range(3)}, "8.tif": other, "9.tif": other})
    for _ in range(2):  # also where they are prepared already
        with pytest.raises(UsageError, match=r"2 grey and 3 colour pictures.*--channels 1 or --channels 3"):
            load(f"folder:{tmp_path}", size=8)
        for channels in (1, 3):
            assert load(f"folder:{tmp_path}", size=8, channels=channels).images.shape == (5, channels, 8, 8)


def test_grey_palettes_are_grey_and_domains_are_compared(tmp_path):
    palette = Image.new("P", (8, 8), 3)
    palette.putpalette([value for i in range(256) for value in (i, i, i)])
    palette.save(tmp_path / "p.png")
    write(tmp_path, {"a.png": grey()})
    assert load(f"folder:{tmp_path}", size=8).prepared[0].counts["grey"] == 2
    write(tmp_path / "pair", {"trainA/a.png": grey(), "trainB/b.png": bmp("red")})
    with pytest.raises(UsageError, match="1 grey and 1 colour"):
        load(f"unpaired:{tmp_path / 'pair'}", size=8)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "photos", classes())
    write(tmp_path / "pair", {"trainA/a.png": bmp("red"), "trainB/b.png": bmp("red")})
    assert len(load("folder:~/photos", size=8)) == 4
    assert len(load("unpaired:~/pair", size=8)) == 1
    assert DataOptions(data="folder:a~b").path == "a~b"
    (tmp_path / "celeba" / "img_align_celeba").mkdir(parents=True)
    with pytest.raises(UsageError, match="no images in it"):
        load("celeba", data_root="~")


def test_a_path_without_the_name_of_a_reader_is_offered_with_it(tmp_path):
    (tmp_path / "a.npy").touch()
    for path, reader in ((tmp_path, "folder"), (tmp_path / "a.npy", "array")):
        with pytest.raises(UsageError, match=rf"did you mean --data {reader}:{path}\?"):
            registry().get("datasets", str(path))
    with pytest.raises(UsageError, match="unknown data set 'nowhere/at/all'"):
        registry().get("datasets", "nowhere/at/all")


@pytest.mark.parametrize("name", ["a.png", "b.JPG", "c.tga"])
def test_a_single_picture_is_said_to_be_one(name, tmp_path):
    (tmp_path / name).write_bytes(bmp("red"))
    for kind in ("folder", "unpaired"):
        with pytest.raises(UsageError, match=rf"{name}: a single picture; name the folder it is in: {tmp_path}"):
            load(f"{kind}:{tmp_path / name}")
