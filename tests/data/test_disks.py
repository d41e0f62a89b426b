"""Folders as they lie on disks: links, special files, depth, gankit's own output, and every ending of a picture."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess

import pytest
from PIL import Image
from published import bmp, load, write

from gankit import UsageError
from gankit.data import tree as trees
from gankit.data.decoding import FORMATS, endings
from gankit.data.tree import Tree


def names(root):
    return list(Tree(root).files)


def some(folder, count=2, red=0):
    return write(folder, {f"{i}.png": bmp((red + i, 0, 0)) for i in range(count)})


def test_a_linked_class_folder_and_a_linked_file_are_read_as_if_they_lay_there(tmp_path):
    some(tmp_path / "set" / "cat", 3)
    some(tmp_path / "store", 2, red=50)
    (tmp_path / "set" / "dog").symlink_to(tmp_path / "store")
    (tmp_path / "set" / "cat" / "9.png").symlink_to(tmp_path / "store" / "1.png")
    found = load(f"folder:{tmp_path / 'set'}", size=8)
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 2, 51, 50, 51]


def test_a_linked_root_and_linked_domains_are_read(tmp_path):
    for part, red in (("trainA", 0), ("store", 50)):
        some(tmp_path / "pair" / part, 2, red)
    (tmp_path / "pair" / "trainB").symlink_to("store")  # relative to where the link is
    (tmp_path / "link").symlink_to(tmp_path / "pair")
    found = load(f"unpaired:{tmp_path / 'link'}", size=8)
    assert found.other[:, 0, 0, 0].tolist() == [50, 51]


@pytest.mark.parametrize("target", [".", "..", "../..", "deep/in"])
def test_a_link_back_to_a_folder_it_is_in_is_named_and_skipped(target, tmp_path):
    some(tmp_path / "deep" / "in")
    (tmp_path / "deep" / "in" / "back").symlink_to(
        tmp_path / "deep" / "in" if target == "deep/in" else target, target_is_directory=True
    )
    tree = Tree(tmp_path / "deep")
    if target == "../..":  # the folder above the root comes back to it: followed once, and no further
        assert len(tree.files) == 2
    assert [name for name in tree.files if "back" not in name] == ["in/0.png", "in/1.png"]
    assert any("links back to a folder they are in: in/back" in said for said in tree.passed_over())


def test_links_that_lead_nowhere_or_to_themselves_are_named_and_skipped(tmp_path):
    some(tmp_path)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "self.png").symlink_to("self.png")
    (tmp_path / "one").symlink_to("other")
    (tmp_path / "other").symlink_to("one")
    tree = Tree(tmp_path)
    assert list(tree.files) == ["0.png", "1.png"]
    said = "; ".join(tree.passed_over())
    assert "1 links that lead nowhere: gone.png" in said
    assert "3 links in a loop: " in said


def test_links_that_multiply_end_in_an_error_rather_than_never(tmp_path, monkeypatch):
    monkeypatch.setattr(trees, "MOST_MEMBERS", 1000)
    for one in "abcdefgh":
        some(tmp_path / one)
        for other in "abcdefgh":
            if one != other:
                (tmp_path / one / other).symlink_to(tmp_path / other)
    with pytest.raises(UsageError, match="lead round and round"):
        names(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no FIFOs")
def test_special_files_are_never_opened(tmp_path, monkeypatch):
    some(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "null.png").symlink_to("/dev/null")
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock.png")
        found = load(f"folder:{tmp_path}", size=8)
    assert len(found) == 2
    assert any(said.startswith("3 special files: ") for said in found.passed_over)


@pytest.fixture
def deep(tmp_path):
    """A function that makes folders in one another, the innermost with a file; they are gone after the test."""

    def make(name, depth):
        here = os.open(tmp_path, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, dir_fd=here)
            inner = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(os.open("a.png", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
        return tmp_path

    yield make
    subprocess.run(["rm", "-rf", str(tmp_path)], check=True)  # Python's own removal recurses


@pytest.mark.skipif(not shutil.which("rm"), reason="has no rm")
def test_a_deep_folder_is_walked_to_its_end(deep):
    assert names(deep("d", 1500)) == ["d/" * 1500 + "a.png"]


@pytest.mark.skipif(not shutil.which("rm"), reason="has no rm")
def test_a_folder_deeper_than_a_path_may_be_is_named(deep):
    root = deep("d" * 200, 30)
    some(root)
    assert any("1 that cannot be opened (File name too long)" in said for said in Tree(root).passed_over())


def test_a_run_and_the_cache_inside_the_data_are_never_data(tmp_path, monkeypatch):
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path / "cache"))
    some(tmp_path / "cat")
    some(tmp_path / "dog")
    some(tmp_path / "cache" / "celeba")
    run = {"variant": "dcgan", "data": {}, "train": {}, "options": {}}
    for folder in ("runs/dcgan-001", "cat/trained"):
        some(tmp_path / folder / "samples")
        (tmp_path / folder / "config.json").write_text(json.dumps(run), "utf-8-sig")
    some(tmp_path / "dog" / "mine")
    (tmp_path / "dog" / "mine" / "config.json").write_text('{"variant": "of my own program"}')
    found = load(f"folder:{tmp_path}", size=8)
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 1, 1, 1, 1]
    (said,) = (each for each in found.passed_over if "own output" in each)
    assert set(said.partition(": ")[2].split(", ")) == {"cache", "cat/trained", "runs/dcgan-001"}
    with pytest.raises(UsageError, match="the folder of a run"):
        load(f"folder:{tmp_path / 'cat' / 'trained'}")


def test_a_set_in_the_cache_folder_itself_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path / "cache"))
    some(tmp_path / "cache")
    assert len(load(f"folder:{tmp_path / 'cache'}", size=8)) == 2


SAVED = {
    "jfif": "JPEG", "jpe": "JPEG", "JPG": "JPEG", "jp2": "JPEG2000", "j2k": "JPEG2000", "tga": "TGA", "pnm": "PPM",
    "pbm": "PPM", "pcx": "PCX", "sgi": "SGI", "dib": "DIB", "dds": "DDS",  "qoi": "QOI", "apng": "PNG",
    "avif": "AVIF",
}  # fmt: skip


@pytest.mark.parametrize("ending", SAVED)
def test_every_picture_format_of_pillow_counts_whatever_its_ending(ending, tmp_path):
    if (SAVED[ending] not in Image.SAVE and not Image.init()) or SAVED[ending] not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {SAVED[ending]}")
    Image.new("RGB", (16, 16), (200, 100, 40)).save(tmp_path / f"a.{ending}", format=SAVED[ending])
    found = load(f"folder:{tmp_path}", size=16)
    assert found.images[0, :, 8, 8].tolist() == pytest.approx([200, 100, 40], abs=4)
    assert found.prepared[0].counts[f".{ending.lower()}"] == 1


def test_of_a_phones_two_pictures_in_one_file_the_first_is_taken(tmp_path):
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    for name in ("a.mpo", "b.jpg"):
        first.save(tmp_path / name, format="MPO", save_all=True, append_images=[second])
    assert load(f"folder:{tmp_path}", size=16).images[:, 0].min() > 250


def test_a_pipe_in_place_of_a_folder_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "null"):
        with pytest.raises(UsageError, match="no such folder"):
            load(f"folder:{tmp_path / 'pipe' if name == 'pipe' else '/dev/null'}")


def test_formats_that_run_programs_are_neither_listed_nor_opened(tmp_path, capsys):
    assert not endings() & {".eps", ".ps", ".pdf", ".wmf", ".emf", ".mpg", ".h5"}
    assert not set(FORMATS) & {"EPS", "PDF", "WMF"}
    some(tmp_path, 30)
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.eps").read_bytes())  # called a picture, it is not opened as one
    found = load(f"folder:{tmp_path}", size=8)
    assert len(found) == 30
    assert found.passed_over == ("1 .eps files: a.eps",)
    assert "b.png is left out: UnidentifiedImageError" in capsys.readouterr().err


def test_what_is_passed_over_is_counted_named_and_said_when_preparing(tmp_path, capsys):
    some(tmp_path)
    for name in ("a.txt", "b.TXT", "c.txt", "sub/d.txt", "README"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = load(f"folder:{tmp_path}", size=8)
    assert found.passed_over == ("1 files without an ending: README", "4 .txt files: a.txt, b.TXT, c.txt, ...")
    assert "4 .txt files" in capsys.readouterr().err
    load(f"folder:{tmp_path}", size=8)
    assert not capsys.readouterr().err  # nothing is prepared, nothing is said


def test_a_folder_of_no_pictures_says_what_it_holds(tmp_path):
    (tmp_path / "a.eps").touch()
    with pytest.raises(UsageError, match=r"no images in it \(it holds 1 \.eps files: a\.eps\)"):
        load(f"folder:{tmp_path}")
