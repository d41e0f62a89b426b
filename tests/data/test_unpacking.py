"""Files that promise little and become much, or never end: read within bounds, in memory and in time."""

from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

import gankit
from gankit.core.errors import GankitError, UsageError
from gankit.data import unpacking
from gankit.data.catalogue import DataOptions
from gankit.data.decoding import Frame, extent, framed
from gankit.data.tree import Tree
from gankit.registry import registry

MIB = 2**20
CODE = """
import resource, sys
from gankit.core.errors import GankitError
from gankit.data.catalogue import DataOptions
from gankit.registry import registry
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
name, path = sys.argv[1].split(":", 1)
try:
    registry().get("datasets", name)().load(DataOptions(data=sys.argv[1]), 0)
except GankitError as error:
    print(error)
else:
    print("read")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def loaded(data, **environment):
    """(what was said, MiB more than before at most) of loading ``data`` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, data],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    *said, most = done.stdout.splitlines()
    return said[-1], int(most)


def lying_zip(path, name, content, says):
    """A zip whose directory and entry say that ``name`` has ``says`` bytes."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    size = struct.pack("<I", len(content))
    path.write_bytes(whole.getvalue().replace(size, struct.pack("<I", says)))


def test_a_zip_member_that_unpacks_to_more_than_its_entry_says_takes_no_more_memory(tmp_path):
    lying_zip(tmp_path / "lies.zip", "a/1.png", bytes(512 * MIB), 1000)
    said, most = loaded(f"folder:{tmp_path / 'lies.zip'}")
    assert "lies.zip" in said
    assert most < 200
    lying_zip(tmp_path / "text.zip", "classes.csv", bytes(512 * MIB), 1000)
    with pytest.raises(GankitError, match=r"classes\.csv"):
        Tree(tmp_path / "text.zip").text("classes.csv")


def npz(path, header, content=b""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        head = str(header).encode().ljust(117) + b"\n"
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content)


@pytest.mark.parametrize("shape", [(10**9, 64, 64), (-1, 8, 8), (4, -8, -8), (10**30, 1, 1)])
def test_an_npz_whose_header_lies_is_refused_by_name(shape, tmp_path):
    npz(tmp_path / "odd.npz", {"descr": "|u1", "fortran_order": False, "shape": shape}, bytes(100))
    said, most = loaded(f"array:{tmp_path / 'odd.npz'}")
    assert "odd.npz: images cannot be read" in said
    assert most < 200


def test_an_idx_file_that_unpacks_without_an_end_is_refused_in_a_moment(tmp_path):
    head = b"\x00\x00\x08\x03" + struct.pack(">III", 2**31, 28, 28)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + bytes(300 * MIB), 1))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"\x00\x00\x08\x01" + struct.pack(">I", 1)))
    said, most = loaded(f"mnist:{tmp_path}")
    assert "train-images-idx3-ubyte.gz: unpacks to 1,683,627,180,032 bytes or more" in said
    assert most < 200


def test_a_tar_whose_names_are_said_to_have_gigabytes_is_refused(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 3 * 2**30
    pieces = zlib.compressobj(1, zlib.DEFLATED, 31)
    path = tmp_path / "cifar-10-binary.tar.gz"
    with path.open("wb") as file:
        file.write(pieces.compress(header.tobuf(tarfile.GNU_FORMAT)))
        for _ in range(1024):
            file.write(pieces.compress(bytes(MIB)))
        file.write(pieces.flush())
    said, most = loaded(f"cifar10:{tmp_path}")
    assert "cifar-10-binary.tar.gz: cannot be read as a .tar.gz (unpacks to" in said
    assert most < 1500


def test_a_large_picture_of_sixteen_bits_takes_little_more_than_its_own_size(tmp_path):
    values = np.arange(4096, dtype=np.uint16).repeat(4096).reshape(4096, 4096)
    Image.fromarray(values).save(tmp_path / "deep.png")
    image = framed(tmp_path / "deep.png", Frame(16, 1, range=(0, 4095)))
    assert image.min() < 10
    assert image.max() > 245
    with Image.open(tmp_path / "deep.png") as opened:
        assert extent(opened) == (0, 4095)


@pytest.mark.parametrize("bound", ["-1", "many", "9" * 30])
def test_a_bound_that_is_no_number_is_refused(bound, monkeypatch):
    monkeypatch.setenv(unpacking.VARIABLE, bound)
    with pytest.raises(UsageError, match="must be a whole number of bytes"):
        unpacking.most_bytes()


def test_the_bound_can_be_set(tmp_path, monkeypatch):
    np.savez(tmp_path / "few.npz", images=np.zeros((40, 8, 8), np.uint8))
    options = DataOptions(data=f"array:{tmp_path / 'few.npz'}")
    assert len(registry().get("datasets", "array")().load(options, 0)) == 40
    monkeypatch.setenv(unpacking.VARIABLE, "2000")
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(GankitError, match=r"few\.npz: images cannot be read \(unpacks to 2,560 bytes or more"):
        registry().get("datasets", "array")().load(options, 0)


def test_a_pipe_in_place_of_a_file_is_never_waited_for(tmp_path):
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        os.mkfifo(tmp_path / name)
    said, _ = loaded(f"mnist:{tmp_path}")
    assert "train-" in said


@pytest.mark.parametrize("place", ["judged", "data"])
def test_what_only_a_program_can_show_is_never_opened_whatever_it_is_called(place, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "_open", lambda self: opened.append(self.fp))
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n")
    if place == "judged":
        with pytest.raises(GankitError):
            gankit.evaluate(tmp_path, "swd", data="shapes")
    else:
        with pytest.raises(GankitError):
            gankit.train("wgan-gp", data=f"folder:{tmp_path}", size=8, steps=1, out=tmp_path / "run", quiet=True)
    assert not opened
