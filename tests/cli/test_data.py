"""gankit data: what there is, getting it ready, looking it over."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gankit.cli import main
from gankit.registry import registry


@pytest.fixture
def cli(monkeypatch, tmp_path):
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path / "cache"))

    def call(*args):
        return CliRunner().invoke(main, ["data", *map(str, args)])

    return call


@pytest.fixture
def pictures(tmp_path):
    """Thirty pictures in two class folders, one of them no picture."""
    for i in range(30):
        path = tmp_path / "pictures" / ("cat" if i < 10 else "dog") / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(path)
    (tmp_path / "pictures" / "dog" / "29.png").write_bytes(b"no picture")
    return tmp_path / "pictures"


def test_list_says_of_every_set_where_it_is_or_how_to_get_it(cli, tmp_path):
    (tmp_path / "celeba").mkdir()
    (tmp_path / "celeba" / "img_align_celeba.zip").touch()
    rows = {row["name"]: row for row in json.loads(cli("list", "--json", "--data-root", tmp_path).stdout)}
    assert list(rows) == registry().names("datasets")
    assert rows["celeba"]["found"] == str(tmp_path / "celeba" / "img_align_celeba.zip")
    for name, row in rows.items():
        assert row["images"], name
        assert row["licence"], name
        assert row["found"] or row["get"] or row["licence"].startswith("drawn")
    text = cli("list").stdout
    assert "put afhq.zip" in text
    assert "`gankit data prepare svhn` gets it from http://ufldl.stanford.edu/housenumbers" in text


def test_every_download_has_a_digest_of_its_kinds_length():
    for entry in registry().entries["datasets"].values():
        for each in entry.about.files:
            algorithm, _, digest = each.digest.partition(":")
            assert len(bytes.fromhex(digest)) == {"md5": 16, "sha256": 32}[algorithm], each.name
            assert each.url.endswith(each.name)


def test_prepare_says_what_is_ready_and_where(cli, pictures, tmp_path):
    result = cli("prepare", f"folder:{pictures}", "--size", 8)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        f"folder:{pictures}: 29 images of 3x8x8 in 2 classes; ready in {tmp_path / 'cache'}"
    )
    assert "29.png is left out" in result.stderr
    again = json.loads(cli("prepare", f"folder:{pictures}", "--size", 8, "--json").stdout)
    assert (again["images"], again["shape"], again["classes"]) == (29, [3, 8, 8], 2)
    assert cli("prepare", "shapes", "--limit", 5).stdout.strip().endswith("drawn each time")


def test_check_tells_counts_ranges_classes_and_what_could_not_be_read(cli, pictures, tmp_path):
    result = cli("check", f"folder:{pictures}", "--size", 8, "--json", "-o", tmp_path / "sheet.png")
    found = json.loads(result.stdout)
    assert found["images of class"] == {"cat": 10, "dog": 19}
    assert found["pixels"]["least"] == [0, 0, 0]
    assert found["pixels"]["greatest"] == [28, 28, 28]
    assert found["pixels"]["mean"] == [14, 14, 14]
    assert found["pixels"]["deviation"] == [round(float(np.arange(29).std()), 2)] * 3
    assert found["pixels"]["of one value"] == 29
    assert found["unreadable"][0][0] == "dog/29.png"
    assert found["intact"] is True
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened)
    assert sheet.shape == (2 * 10 - 2, 8 * 10 - 2, 3)  # a row for each class
    assert sheet[:8].max() == 255  # the gaps
    assert sheet[4, 4::10, 0].tolist() == [0, 1, 3, 4, 5, 6, 8, 9]
    assert "images of class cat: 10" in cli("check", f"folder:{pictures}", "--size", 8).stdout


def test_check_of_changed_pixels_fails(cli, pictures):
    folder = json.loads(cli("prepare", f"folder:{pictures}", "--size", 8, "--json").stdout)["folders"][0]
    path = f"{folder}/images.npy"
    with open(path, "r+b") as file:
        file.seek(300)
        file.write(b"\xaa\xaa")
    result = cli("check", f"folder:{pictures}", "--size", 8)
    assert result.exit_code == 1
    assert "changed since it was written" in result.stderr


def test_check_shows_both_domains_and_refuses_other_endings(cli, tmp_path):
    result = cli("check", "stripes", "--limit", 40, "-o", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.output
    assert "other pixels, mean" in result.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 34 - 2, 8 * 34 - 2)
    assert cli("check", "stripes", "-o", tmp_path / "sheet.jpg").exit_code == 2


@pytest.mark.parametrize("name", ["nothing", "folder", "folder:nowhere"])
def test_a_set_that_cannot_be_had_exits_with_2(cli, name):
    result = cli("prepare", name)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_check_names_files_passed_over_and_endings_read_whatever_bytes_their_names_have(cli, pictures):
    for name in (b"a.txt", b"\xff.txt"):
        (pictures / os.fsdecode(name)).touch()
    result = cli("check", f"folder:{pictures}", "--size", 8)
    assert result.exit_code == 0, result.output
    assert "pictures: 30 .png, 29 colour" in result.stdout
    assert "passed over: 2 .txt files: a.txt, \\udcff.txt" in result.stdout
    found = json.loads(cli("check", f"folder:{pictures}", "--size", 8, "--json").stdout)
    assert found["pictures"] == {".png": 30, "colour": 29}
    assert found["passed over"] == ["2 .txt files: a.txt, \\udcff.txt"]
