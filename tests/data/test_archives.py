"""Archives that are not what they should be."""

from __future__ import annotations

import zipfile

import pytest
from published import bmp, load, write

from gankit import DamagedFile


@pytest.mark.parametrize("evil", ["../out.png", "/out.png", "a/../../out.png", "C:/out.png", "a\\out.png", "link"])
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
