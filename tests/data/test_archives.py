"""Archives that are not what they should be."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest
from published import bmp, load, write

from gankit import DamagedFile, GankitError
from gankit.data import decode_pool, decode_worker


@pytest.mark.parametrize(
    "evil", ["../out.png", "/out.png", "a/../../out.png", "C:/out.png", "a\\..\\..\\out.png", "\\out.png", "link"]
)
def test_an_archive_whose_names_lead_out_of_it_is_refused(evil, tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("good.png", bmp("red"))
        info = zipfile.ZipInfo("link.png" if evil == "link" else "x")
        info.filename = "link.png" if evil == "link" else evil
        info.external_attr = (0o120777 if evil == "link" else 0o100644) << 16
        archive.writestr(info, bmp("red"))
    with pytest.raises(DamagedFile, match="do not trust"):
        load(f"folder:{tmp_path / 'evil.zip'}")


def test_an_archive_that_unpacks_to_far_more_than_it_holds_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bmp", bytes(50_000_000))
    with pytest.raises(DamagedFile, match="no archive of images"):
        load(f"folder:{tmp_path / 'bomb.zip'}")


def test_a_picture_whose_bytes_are_damaged_in_an_archive_is_left_out_by_name(tmp_path, capsys):
    path = write(tmp_path, {f"{i:02d}.png": bmp((i, 0, 0)) for i in range(30)}, "some.zip")
    data = bytearray(path.read_bytes())
    data[data.index(bmp((7, 0, 0))) + 100] ^= 255
    path.write_bytes(data)
    found = load(f"folder:{path}", size=8)
    assert found.images[:, 0, 0, 0].tolist() == [i for i in range(30) if i != 7]
    assert "07.png is left out: BadZipFile" in capsys.readouterr().err


def pictures(prefix="", separator="/"):
    return {
        f"{prefix}{kind}{separator}{i}.png": bmp((50 * c + i, 0, 0))
        for c, kind in enumerate(("cat", "dog"))
        for i in (0, 1)
    }


def packed(path, files):
    """A zip, or a tar, of {name: bytes} with the names as they are."""
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return path
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, data)
    return path


NAMES = {
    "plain": pictures(), "one top folder": pictures("photos/"), "dot": pictures("./"), "dots": pictures("./photos/"),
    "backslashes": pictures("", "\\"), "backslashes and a top": pictures("photos\\", "\\"),
    "doubled": pictures("photos//"),
    "mixed": pictures("photos\\", "/"),
}  # fmt: skip


@pytest.mark.parametrize("ending", ["zip", "tar"])
@pytest.mark.parametrize("how", NAMES)
def test_an_archive_has_the_classes_that_the_same_folder_has(how, ending, tmp_path):
    found = load(f"folder:{packed(tmp_path / f'some.{ending}', NAMES[how])}", size=8)
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 50, 51]


def test_an_archive_of_one_folder_of_pictures_has_no_classes_as_that_folder_has_none(tmp_path):
    write(tmp_path / "cat", {"0.png": bmp("red"), "1.png": bmp("blue")})
    path = packed(tmp_path / "cat.zip", {f"cat/{i}.png": bmp("red") for i in range(2)})
    assert load(f"folder:{path}", size=8).labels is load(f"folder:{tmp_path / 'cat'}", size=8).labels is None


def test_a_tar_is_decoded_by_workers_too(tmp_path, monkeypatch):
    monkeypatch.setattr(decode_pool, "FEW", 0)
    monkeypatch.setattr(decode_worker, "CHUNK", 1)
    monkeypatch.setattr(decode_pool, "cores", lambda: 2)
    found = load(f"folder:{packed(tmp_path / 'some.tar', pictures('./photos/'))}", size=8)
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 50, 51]
    assert found.prepared[0].counts == {"colour": 4, ".png": 4}


@pytest.mark.parametrize("evil", ["../out.png", "/out.png", "a/../../out.png", "a\\..\\..\\out.png", "link"])
def test_a_tar_whose_names_lead_out_of_it_is_refused(evil, tmp_path):
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        member = tarfile.TarInfo("link.png" if evil == "link" else evil)
        if evil == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member, io.BytesIO())
    with pytest.raises(DamagedFile, match="do not trust"):
        load(f"folder:{tmp_path / 'evil.tar'}")


def test_a_compressed_or_broken_tar_is_said_to_be_one(tmp_path):
    for name, said in (("a.tar.gz", "compressed tar"), ("a.tgz", "compressed tar"), ("a.tar", "as a tar archive")):
        (tmp_path / name).write_bytes(b"no tar")
        with pytest.raises(GankitError, match=said):
            load(f"folder:{tmp_path / name}")


def test_a_run_in_an_archive_is_no_data(tmp_path):
    run = {f"photos/runs/1/{name}.json": b"{}" for name in ("config", "environment")}
    path = packed(tmp_path / "a.zip", {**pictures("photos/"), **run, "photos/runs/1/samples/0.png": bmp("red")})
    found = load(f"folder:{path}", size=8)
    assert found.classes == ("cat", "dog")
    assert found.passed_over == ("1 folders of gankit's own output: photos/runs/1",)


@pytest.mark.parametrize("top", ["", "./", "pair/", "pair\\", "./deep/in/"])
def test_two_domains_in_an_archive_are_found_whatever_its_names_look_like(top, tmp_path):
    separator = "\\" if "\\" in top else "/"
    files = {
        f"{top}train{domain}{separator}{i}.png": bmp((50 * c + i, 0, 0))
        for c, domain in enumerate("AB")
        for i in (0, 1)
    }
    for ending in ("zip", "tar"):
        found = load(f"unpaired:{packed(tmp_path / f'some.{ending}', files)}", size=8)
        assert found.images[:, 0, 0, 0].tolist() == [0, 1]
        assert found.other[:, 0, 0, 0].tolist() == [50, 51]
