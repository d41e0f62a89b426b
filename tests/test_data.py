"""Images in: the files people have become the pixels they hold, and what is wrong with a file is said."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gankit import DamagedFile, GankitError, UsageError
from gankit.data import DataOptions
from gankit.download import download
from gankit.plugins.datasets.folder import Folder
from gankit.plugins.datasets.idx import FashionMNIST, read_idx
from gankit.plugins.datasets.shapes import Shapes

PACKAGED = Path("/usr/share/datasets/fashion-mnist")


def idx_bytes(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def published(tmp_path):
    """A folder with Fashion-MNIST's file names and known pixels."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 28, 28)), rng.integers(0, 10, 20)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return tmp_path, images, labels


def test_idx_files_gzipped_or_not_hold_the_pixels_that_were_written(published):
    folder, images, labels = published
    found = FashionMNIST().load(DataOptions(data=f"fashion-mnist:{folder}"), 0)
    np.testing.assert_array_equal(found.images.numpy()[:, 0], images)
    np.testing.assert_array_equal(found.labels.numpy(), labels)
    assert len(found.classes) == 10


def test_idx_files_are_found_below_data_root_and_resized(published, tmp_path):
    folder, _, _ = published
    found = FashionMNIST().load(
        DataOptions(data="fashion-mnist", data_root=str(folder), size=32, channels=3, limit=7), 0
    )
    assert found.images.shape == (7, 3, 32, 32)


@pytest.mark.parametrize("damage", ["truncated", "not gzip", "longer", "other kind", "empty"])
def test_a_damaged_idx_file_is_named(damage, tmp_path):
    whole = idx_bytes(np.zeros((3, 4, 4)))
    content = {
        "truncated": gzip.compress(whole)[:-9], "not gzip": b"\x1f\x8bnonsense", "longer": whole + b"x",
        "other kind": b"\x89PNG....", "empty": b"",
    }[damage]  # fmt: skip
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match="train-images-idx3-ubyte"):
        read_idx(path)


def test_labels_that_do_not_fit_the_images_are_refused(published):
    folder, _, _ = published
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(19)))
    with pytest.raises(DamagedFile, match="does not go with"):
        FashionMNIST().load(DataOptions(data=f"fashion-mnist:{folder}"), 0)
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(20, 10)))
    with pytest.raises(DamagedFile, match="label 10"):
        FashionMNIST().load(DataOptions(data=f"fashion-mnist:{folder}"), 0)


def test_missing_files_say_where_to_put_them(tmp_path):
    with pytest.raises(UsageError, match="put the published files there"):
        FashionMNIST().load(DataOptions(data=f"fashion-mnist:{tmp_path}"), 0)


@pytest.mark.skipif(not PACKAGED.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist_is_read_where_debian_puts_it():
    found = FashionMNIST().load(DataOptions(data="fashion-mnist"), 0)
    assert found.images.shape == (60_000, 1, 28, 28)
    assert found.labels.bincount().tolist() == [6000] * 10


def test_shapes_are_the_same_every_time_and_tell_their_class():
    one, two = (Shapes().load(DataOptions(limit=300, size=32), seed) for seed in (0, 1))
    assert torch.equal(one.images, two.images)
    assert not torch.equal(one.images, Shapes().load(DataOptions(limit=300, size=32, split="test"), 0).images)
    lit = (one.images.amax(1) > 100).float()
    # Drawn at equal size a square covers most of its bounding box, a circle pi / 4 of it, a triangle half.
    for label, share in ((0, np.pi / 4), (1, 0.85), (2, 0.5)):
        boxes = [image.any(0).sum() * image.any(1).sum() for image in lit[one.labels == label].bool()]
        covered = lit[one.labels == label].sum((1, 2)) / torch.stack(boxes)
        assert float(covered.median()) == pytest.approx(share, abs=0.08)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 40)])
def test_shapes_come_in_any_size_grey_or_colour(channels, size):
    assert Shapes().load(DataOptions(limit=3, size=size, channels=channels), 0).images.shape == (
        3,
        channels,
        size,
        size,
    )


def write(path, array, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **how)


def test_a_folder_of_class_folders_gives_labels(tmp_path):
    for i, name in enumerate(("cat", "dog")):
        for j in range(3):
            write(tmp_path / name / f"{j}.png", np.full((8, 8, 3), 50 * i + j, np.uint8))
    found = Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)
    assert found.classes == ("cat", "dog")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.images[:, 0, 0, 0].tolist() == [0, 1, 2, 50, 51, 52]


def test_loose_images_have_no_labels(tmp_path):
    write(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    write(tmp_path / "sub" / "b.png", np.zeros((8, 8), np.uint8))
    assert Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0).labels is None


def test_images_as_people_have_them_become_eight_bit_squares(tmp_path):
    grey16 = np.full((8, 8), 257 * 100, np.uint16)
    write(tmp_path / "0-grey16.png", grey16)
    write(tmp_path / "1-grey.png", np.full((8, 8), 100, np.uint8))
    Image.new("P", (8, 8), 1).save(tmp_path / "2-palette.png")
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[..., 0] = 200  # red, but wholly transparent
    write(tmp_path / "3-alpha.png", clear)
    Image.new("CMYK", (8, 8), (0, 0, 0, 255)).save(tmp_path / "4-cmyk.jpg")
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 90
    write(tmp_path / "5-wide.png", wide)
    turned = Image.new("RGB", (8, 8))
    turned.paste((255, 255, 255), (0, 0, 8, 4))  # white above, but the EXIF says: turn by a half
    exif = Image.Exif()
    exif[0x0112] = 3
    turned.save(tmp_path / "6-exif.png", exif=exif)
    found = Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0).images
    assert found.shape == (7, 3, 8, 8)
    assert found[0].unique().tolist() == [100]
    assert found[1].unique().tolist() == [100]
    assert found[3].max() == 0
    assert found[4].max() <= 3
    assert found[5].unique().tolist() == [90]
    assert found[6, 0, 0, 0] == 0
    assert found[6, 0, 7, 0] == 255


def test_other_shapes_are_cropped_padded_or_stretched_as_asked(tmp_path):
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, :8] = 200
    write(tmp_path / "wide.png", wide)
    got = {
        fit: Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8, fit=fit), 0).images[0, 0]
        for fit in ("crop", "pad", "stretch")
    }
    assert got["crop"][:, :4].min() == 200
    assert got["crop"][:, 4:].max() == 0
    assert got["pad"][0].max() == 0
    assert got["pad"][3:5, 0].min() > 150
    assert got["stretch"][0, 1] > 180
    assert got["stretch"][7, 6] < 20


def test_corrupt_images_are_named_and_too_many_are_an_error(tmp_path, capsys):
    for i in range(30):
        write(tmp_path / f"{i:02d}.png", np.full((8, 8), i, np.uint8))
    (tmp_path / "bad.png").write_bytes((tmp_path / "00.png").read_bytes()[:40])
    found = Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)
    assert len(found) == 30
    assert "bad.png" in capsys.readouterr().err
    for i in range(5):
        (tmp_path / f"worse{i}.jpg").write_bytes(b"no image")
    with pytest.raises(DamagedFile, match="6 of 36"):
        Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)


def test_an_empty_or_missing_folder_is_an_error_that_says_so(tmp_path):
    with pytest.raises(UsageError, match="no images in it"):
        Folder().load(DataOptions(data=f"folder:{tmp_path}"), 0)
    with pytest.raises(UsageError, match="no such folder"):
        Folder().load(DataOptions(data=f"folder:{tmp_path / 'nowhere'}"), 0)
    with pytest.raises(UsageError, match="needs a path"):
        Folder().load(DataOptions(data="folder"), 0)


CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Unreliable(http.server.BaseHTTPRequestHandler):
    """A server that misbehaves in the way its ``mode`` says, for the first requests."""

    mode, requests = "good", 0

    def do_GET(self):
        kind = type(self)
        kind.requests += 1
        asked = self.headers.get("Range")
        start = int(asked[6:-1]) if asked and kind.mode != "refuses ranges" else 0
        body = CONTENT[start:]
        if kind.mode == "wrong bytes":
            body = body[:-1] + b"?"
        if kind.mode == "missing":
            self.send_error(404)
            return
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if kind.mode != "no length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = kind.mode in ("cuts connections", "refuses ranges", "no length") and kind.requests < 3
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(request):
    handler = type("Handler", (Unreliable,), {"mode": request.param, "requests": 0})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as it:
        thread = threading.Thread(target=it.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{it.server_address[1]}/file.gz", handler
        it.shutdown()
        thread.join()


@pytest.mark.parametrize("server", ["good", "cuts connections", "refuses ranges", "no length"], indirect=True)
def test_a_download_arrives_whole_whatever_the_server_does(server, tmp_path):
    url, handler = server
    path = download(url, tmp_path / "deep" / "file.gz", DIGEST)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")] == ["file.gz"]
    asked = handler.requests
    download(url, path, DIGEST)
    assert handler.requests == asked  # what is there is not fetched again


@pytest.mark.parametrize("server", ["wrong bytes", "missing"], indirect=True)
def test_a_download_that_cannot_be_right_leaves_nothing_behind(server, tmp_path):
    with pytest.raises(GankitError, match="place the file at"):
        download(server[0], tmp_path / "file.gz", DIGEST, tries=2)
    assert not (tmp_path / "file.gz").exists()
