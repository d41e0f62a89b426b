"""The cache of decoded images: made once, whole or not at all, whoever is killed meanwhile, and anew for new files."""

from __future__ import annotations

import errno
import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from paths import SUPPORT
from PIL import Image

from gankit import DamagedFile, GankitError
from gankit.data import cache
from gankit.data import decode_pool as workers
from gankit.data import decode_worker as decoder
from gankit.data.cache import kept, write_header
from gankit.data.catalogue import DataOptions
from gankit.data.decoding import Frame
from gankit.data.sources import Pictures, Tree
from gankit.plugins.datasets.folder import Folder

CHILD = SUPPORT / "prepare_pictures.py"


def write_pictures(root, count, size=(60, 50)):
    """Noisy JPEGs, each with its own colour."""
    rng = np.random.default_rng(0)
    root.mkdir()
    for i in range(count):
        pixels = rng.integers(0, 60, (size[1], size[0], 3)) + rng.integers(0, 190, 3)
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{i:04d}.jpg")
    return root


@pytest.fixture
def pictures(tmp_path):
    return write_pictures(tmp_path / "pictures", 40)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache folder that is empty."""
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prepared"


def prepare(root, frame=None, labels=None):
    tree = Tree(root)
    return Pictures(tree, "", tree.pictures(), labels).prepared("some", frame or Frame(16, 3))


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_workers_give_the_pixels_that_one_process_gives(pictures, own_cache, monkeypatch):
    alone = prepare(pictures)
    np.testing.assert_array_equal(alone.images, prepare(pictures).images)
    shutil.rmtree(own_cache)
    monkeypatch.setattr(workers, "FEW", 0)
    monkeypatch.setattr(decoder, "CHUNK", 3)
    monkeypatch.setattr(workers, "cores", lambda: 3)
    many = prepare(pictures)
    np.testing.assert_array_equal(alone.images, many.images)
    assert alone.digest == many.digest
    assert cache.intact(many)


def test_what_is_prepared_is_not_decoded_again_until_a_file_changes(pictures, own_cache, monkeypatch):
    first = prepare(pictures)
    monkeypatch.setattr("gankit.data.sources.decode", lambda *_: pytest.fail("decoded again"))
    prepare(pictures)
    monkeypatch.undo()
    monkeypatch.setenv("GANKIT_CACHE", str(own_cache.parent))
    before = first.images.copy()
    Image.new("RGB", (60, 50), "red").save(pictures / "0007.jpg")
    second = prepare(pictures)
    assert second.images[7, :, 8, 8].tolist() == pytest.approx([255, 0, 0], abs=3)
    np.testing.assert_array_equal(first.images, before)  # a run that has the old ones open keeps them
    (pictures / "0008.jpg").unlink()
    assert len(prepare(pictures).images) == 39
    identity = json.loads((second.folder / "about.json").read_text())["identity"]
    os.utime(pictures / "0009.jpg", ns=(0, 0))
    prepare(pictures)
    assert json.loads((second.folder / "about.json").read_text())["identity"] != identity
    assert visible(own_cache) == [second.folder.name]  # none is left over


@pytest.mark.parametrize("how", ["size", "channels", "fit", "crop"])
def test_images_of_another_shape_are_kept_beside(how, pictures, own_cache):
    other = {"size": Frame(20, 3), "channels": Frame(16, 1), "fit": Frame(16, 3, "pad"), "crop": Frame(16, 3, crop=9)}
    one, two = prepare(pictures), prepare(pictures, other[how])
    assert one.folder != two.folder
    assert one.digest != two.digest


def test_pictures_that_cannot_be_read_leave_no_gap_and_no_label(tmp_path, own_cache, monkeypatch, capsys):
    root = write_pictures(tmp_path / "pictures", 250)
    for i in (0, 117):
        (root / f"{i:04d}.jpg").write_bytes(b"no picture")
    for few in (1000, 0):
        monkeypatch.setattr(workers, "FEW", few)
        monkeypatch.setattr(workers, "cores", lambda: 2)
        found = prepare(root, labels=list(range(250)))
        left = [i for i in range(250) if i not in (0, 117)]
        assert found.labels.tolist() == left
        whole = np.stack([np.asarray(Image.open(root / f"{i:04d}.jpg")).mean((0, 1)) for i in left])
        np.testing.assert_allclose(found.images.mean((2, 3)), whole, atol=8)
        assert [name for name, _ in found.skipped] == ["0000.jpg", "0117.jpg"]
        assert "0117.jpg is left out: UnidentifiedImageError" in capsys.readouterr().err
        shutil.rmtree(own_cache)
    (root / "0118.jpg").write_bytes(b"no picture")
    with pytest.raises(DamagedFile, match=r"3 of 250 .*0000\.jpg the first"):
        prepare(root)
    assert visible(own_cache) == []


def test_the_images_of_a_run_are_mapped_and_writing_to_them_changes_no_file(pictures, own_cache):
    found = Folder().load(DataOptions(data=f"folder:{pictures}", size=16), 0)
    path = found.prepared[0].folder / "images.npy"
    before = path.read_bytes()
    digest = found.digest()
    found.images[3] = 0
    assert path.read_bytes() == before
    assert digest == Folder().load(DataOptions(data=f"folder:{pictures}", size=16), 0).digest()
    np.testing.assert_array_equal(np.load(path)[4], found.images[4].numpy())


@pytest.mark.parametrize("damage", ["shorter", "no about", "torn about", "other type"])
def test_a_damaged_cache_is_made_anew(damage, pictures, own_cache):
    found = prepare(pictures)
    images, about = found.folder / "images.npy", found.folder / "about.json"
    whole = images.read_bytes()
    if damage == "shorter":
        images.write_bytes(whole[:-1])
    if damage == "no about":
        about.unlink()
    if damage == "torn about":
        about.write_text(about.read_text()[:30])
    if damage == "other type":
        np.save(images, np.zeros((40, 3, 16, 16)))
    assert prepare(pictures).folder == found.folder
    assert images.read_bytes() == whole


def test_a_change_of_pixels_on_the_disk_is_found(pictures, own_cache):
    found = prepare(pictures)
    with (found.folder / "images.npy").open("r+b") as file:
        file.seek(5000)
        byte = file.read(1)[0]
        file.seek(5000)
        file.write(bytes([byte ^ 1]))
    assert not cache.intact(prepare(pictures))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_set_larger_than_the_memory_can_be_mapped(tmp_path, own_cache):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    count = 2 * memory // (3 * 256 * 256)

    def build(folder):
        path = folder / "images.npy"
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": (count, 3, 256, 256)}
            )
            file.truncate(file.tell() + count * 3 * 256 * 256)  # a file of holes
        return {"digest": "", "skipped": []}

    found = kept("large", "", "", build)
    assert found.images.nbytes > memory
    assert found.images[count - 1].max() == 0


def test_the_header_has_one_length_so_that_images_can_be_left_out(tmp_path):
    starts = {write_header(tmp_path / f"{n}", (n, 3, 8, 8)) for n in (0, 9, 100, 10**6)}
    assert len(starts) == 1


def test_a_full_disk_is_said_and_nothing_is_left(pictures, own_cache, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(GankitError, match=r"disk is full .* GANKIT_CACHE"):
        prepare(pictures)
    assert visible(own_cache) == []


def test_a_worker_that_dies_is_an_error_that_names_its_pictures(pictures, own_cache, monkeypatch):
    feed = workers.Worker.feed

    def killed(self, *args):
        self.process.kill()
        feed(self, *args)

    monkeypatch.setattr(workers.Worker, "feed", killed)
    monkeypatch.setattr(workers, "FEW", 0)
    monkeypatch.setattr(decoder, "CHUNK", 4)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    with pytest.raises(GankitError, match=r"ended \(signal 9"):
        prepare(pictures)
    assert visible(own_cache) == []


def start(root, folder, **how):
    environment = {**os.environ, "GANKIT_CACHE": str(folder)}
    return subprocess.Popen([sys.executable, str(CHILD), str(root)], env=environment, stdout=subprocess.PIPE, **how)


def finish(process):
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return Path(out.decode().strip())


def test_four_processes_at_once_prepare_a_set_once(tmp_path):
    root = write_pictures(tmp_path / "pictures", 300)
    both = [start(root, tmp_path / "cache", stderr=subprocess.PIPE) for _ in range(4)]
    said = [(Path(out.decode().strip()), err.decode()) for out, err in (each.communicate(timeout=120) for each in both)]
    assert [each.returncode for each in both] == [0] * 4
    assert len({folder for folder, _ in said}) == 1
    (folder,) = {folder for folder, _ in said}
    assert visible(tmp_path / "cache" / "prepared") == [folder.name]
    assert sorted("decoding" in err for _, err in said) == [False, False, False, True]
    assert any("waiting for it" in err for _, err in said)


def workers_of(process):
    """The processes that ``process`` started."""
    try:
        return [int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except OSError:
        return []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def killed_again_and_again(times, tmp_path, count):
    """Prepare, kill at a random moment, and again; then finish and compare with what was made in peace."""
    root = write_pictures(tmp_path / "pictures", count)
    began = time.monotonic()
    peace = finish(start(root, tmp_path / "peace"))
    took = time.monotonic() - began
    rng = random.Random(times)
    inside = 0
    for _ in range(times):
        process = start(root, tmp_path / "war")
        time.sleep(rng.uniform(0.2, 0.95) * took)
        children = workers_of(process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        prepared = tmp_path / "war" / "prepared"
        inside += prepared.exists() and any(path.is_dir() and path.name[0] == "." for path in prepared.iterdir())
        deadline = time.monotonic() + 10
        while any(map(alive, children)):  # workers end by themselves
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if prepared.exists():
            for folder in prepared.glob("killed-*"):  # it was whole already: begin anew
                shutil.rmtree(folder)
    war = finish(start(root, tmp_path / "war"))
    assert visible(war.parent) == [war.name]
    assert war.name == peace.name
    for name in ("images.npy", "labels.npy", "about.json"):
        assert filecmp.cmp(peace / name, war / name, shallow=False), name
    return inside


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_preparing_that_was_killed_three_times_ends_as_if_in_peace(tmp_path):
    killed_again_and_again(3, tmp_path, 400)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_preparing_that_was_killed_twenty_times_ends_as_if_in_peace(tmp_path):
    inside = killed_again_and_again(20, tmp_path, 3000)
    assert inside >= 8  # so many left a half-made folder behind
