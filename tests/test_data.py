"""Images in: the files people have become the pixels they hold, and what is wrong with a file is said."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gankit import DamagedFile, GankitError, UsageError
from gankit.catalogue import About, Remote, fetched, found
from gankit.data import DataOptions
from gankit.decoding import UNREADABLE, Frame, framed, unwarned
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
    for i in range(99):
        write(tmp_path / f"{i:02d}.png", np.full((8, 8), i, np.uint8))
    (tmp_path / "bad.png").write_bytes((tmp_path / "00.png").read_bytes()[:40])
    found = Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)
    assert len(found) == 99
    assert found.prepared[0].skipped[0][0] == "bad.png"
    assert "bad.png is left out" in capsys.readouterr().err
    (tmp_path / "worse.jpg").write_bytes(b"no image")
    with pytest.raises(DamagedFile, match="2 of 101"):
        Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)


def read(path, size=8, channels=3, **how):
    with unwarned():
        return framed(path, Frame(size, channels, **how)).astype(int)


def test_sixteen_bits_are_scaled_to_eight_however_dark_the_picture_is(tmp_path):
    values = np.array([[0, 128, 129, 200], [255, 256, 1000, 65535]] * 2, np.uint16)
    for name in ("a.png", "a.tif"):
        write(tmp_path / name, values)
        np.testing.assert_array_equal(read(tmp_path / name, 4, 1)[..., 0], np.rint(values / 257))
    (tmp_path / "a.pgm").write_bytes(b"P5 4 4 65535\n" + values.astype(">u2").tobytes())
    np.testing.assert_array_equal(read(tmp_path / "a.pgm", 4, 1)[..., 0], np.rint(values / 257))
    dark = np.minimum(values, 255)
    write(tmp_path / "dark.png", dark)
    assert read(tmp_path / "dark.png", 4, 1).max() == 1


def test_numbers_of_32_bits_are_taken_for_the_narrowest_range_that_holds_them(tmp_path):
    for top in (1.0, 255.0, 65535.0):
        write(tmp_path / "float.tif", np.linspace(0, top, 16, dtype=np.float32).reshape(4, 4))
        np.testing.assert_allclose(read(tmp_path / "float.tif", 4, 1).reshape(-1), np.linspace(0, 255, 16), atol=0.51)


def test_transparent_parts_are_black_in_palettes_too(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([200, 100, 50, 10, 20, 30])
    image.paste(1, (0, 0, 4, 8))
    image.save(tmp_path / "clear.gif", transparency=0)
    image.save(tmp_path / "clear.png", transparency=0)
    image.save(tmp_path / "opaque.png")
    for name in ("clear.gif", "clear.png"):
        assert read(tmp_path / name)[0, 7].tolist() == [0, 0, 0]
        assert read(tmp_path / name)[0, 0].tolist() == [10, 20, 30]
    assert read(tmp_path / "opaque.png")[0, 7].tolist() == [200, 100, 50]
    half = np.full((8, 8, 4), 128, np.uint8)
    write(tmp_path / "half.png", half)
    assert np.unique(read(tmp_path / "half.png")).tolist() == [64]


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tif"])
def test_of_an_animation_the_first_picture_is_taken(ending, tmp_path):
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (250, 10)]
    lossless = {"lossless": True} if ending == "webp" else {}
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:], **lossless)
    assert np.unique(read(tmp_path / f"a.{ending}")[..., 0]).tolist() == [250]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says_also_where_a_jpeg_is_decoded_smaller(orientation, tmp_path):
    upright = Image.new("RGB", (128, 128), (0, 0, 0))
    upright.paste((255, 255, 255), (0, 0, 64, 32))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # how a camera that was held so stores it
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    found = read(tmp_path / "a.jpg", 16, 1)[..., 0]
    assert found[:3, :7].min() > 230
    assert found[6:].max() < 30
    assert found[:, 10:].max() < 30


def test_broken_exif_does_not_cost_the_picture(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert read(tmp_path / "a.jpg")[0, 0, 0] > 250


def test_tiny_pictures_grow_and_huge_ones_are_left_out_by_name(tmp_path, capsys):
    write(tmp_path / "tiny.png", np.full((1, 1), 77, np.uint8))
    assert np.unique(read(tmp_path / "tiny.png", 8)).tolist() == [77]
    for i in range(30):
        write(tmp_path / f"{i:02d}.png", np.zeros((8, 8), np.uint8))
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    found = Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)
    assert len(found) == 31
    assert "huge.png is left out: DecompressionBombError" in capsys.readouterr().err


def test_a_jpeg_decoded_smaller_is_close_to_one_decoded_whole(tmp_path):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (14, 11, 3), dtype=np.uint8)).resize(
        (178, 218), Image.Resampling.BICUBIC
    )
    image.save(tmp_path / "a.jpg", quality=95)
    image.save(tmp_path / "a.png")
    for how in ({}, {"fit": "pad"}, {"fit": "stretch"}, {"crop": 148}):
        difference = read(tmp_path / "a.jpg", 64, **how) - read(tmp_path / "a.png", 64, **how)
        assert abs(difference).mean() < 3, how


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "tif", "bmp"])
def test_whatever_is_wrong_with_a_file_it_is_unreadable_and_no_more(ending, tmp_path):
    rng = np.random.default_rng(0)
    write(tmp_path / f"a.{ending}", rng.integers(0, 256, (40, 30), dtype=np.uint8))
    whole = (tmp_path / f"a.{ending}").read_bytes()
    for i in range(150):
        data = bytearray(whole[: rng.integers(1, len(whole))] if i % 3 == 0 else whole)
        for _ in range(i % 3):
            data[rng.integers(len(data))] = rng.integers(256)
        with suppress(*UNREADABLE), unwarned():
            framed(io.BytesIO(data), Frame(16, 3))


def test_names_that_are_no_text_and_files_that_systems_leave_are_no_trouble(tmp_path):
    write(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    (tmp_path / "._a.png").write_bytes(b"Mac")
    path = os.fsencode(tmp_path) + b"/\xff.png"
    shutil.copy(tmp_path / "a.png", path)
    assert len(Folder().load(DataOptions(data=f"folder:{tmp_path}", size=8), 0)) == 2


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

    mode, requests, sent = "good", 0, 0

    def do_GET(self):
        kind = type(self)
        kind.requests += 1
        if kind.mode == "hangs up" and kind.requests < 3:
            self.close_connection = True
            return
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
        lie = {"says more": 1000, "says less": -1000}.get(kind.mode, 0) if kind.requests < 3 else 0
        if kind.mode == "other range" and start:  # says that it goes on, and begins again
            body = CONTENT
            self.send_header("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        if kind.mode not in ("no length", "endless"):
            self.send_header("Content-Length", str(len(body) + lie))
        self.end_headers()
        if kind.mode == "endless":
            with suppress(OSError):
                while True:
                    self.wfile.write(CONTENT)
        cuts = ("cuts connections", "refuses ranges", "no length", "other range")
        cut = kind.mode in cuts and kind.requests < 3
        body = body[: len(body) // 2] if cut else body
        kind.sent += len(body)
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(request, monkeypatch):
    monkeypatch.setattr("gankit.download._PAUSE", 0.001)
    handler = type("Handler", (Unreliable,), {"mode": request.param, "requests": 0, "sent": 0})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as it:
        thread = threading.Thread(target=it.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{it.server_address[1]}/file.gz", handler
        it.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "server",
    ["good", "cuts connections", "refuses ranges", "no length", "says more", "says less", "other range", "hangs up"],
    indirect=True,
)
def test_a_download_arrives_whole_whatever_the_server_does(server, tmp_path):
    url, handler = server
    path = download(url, tmp_path / "deep" / "file.gz", DIGEST)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")] == ["file.gz"]
    if handler.mode == "cuts connections":
        assert handler.sent == len(CONTENT)  # no byte was asked for twice
    asked = handler.requests
    download(url, path, DIGEST)
    assert handler.requests == asked  # what is there is not fetched again


@pytest.mark.parametrize("server", ["wrong bytes", "missing", "endless"], indirect=True)
def test_a_download_that_cannot_be_right_leaves_nothing_behind(server, tmp_path):
    with pytest.raises(GankitError, match="place the file at"):
        download(server[0], tmp_path / "file.gz", DIGEST, size=len(CONTENT), tries=2)
    assert not (tmp_path / "file.gz").exists()


@pytest.mark.parametrize("server", ["cuts connections"], indirect=True)
def test_a_download_that_was_killed_goes_on_where_it_stopped(server, tmp_path):
    (tmp_path / "file.gz.part").write_bytes(CONTENT[:-1000])
    server[1].requests = 9  # past its cuts
    server[1].sent = 0
    assert download(server[0], tmp_path / "file.gz", DIGEST).read_bytes() == CONTENT
    assert server[1].sent == 1000


@pytest.mark.parametrize("server", ["good"], indirect=True)
def test_a_file_that_two_ask_for_at_once_is_fetched_once(server, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        for path in pool.map(lambda _: download(server[0], tmp_path / "file.gz", DIGEST), range(4)):
            assert path.read_bytes() == CONTENT
    assert server[1].requests == 1


@pytest.mark.parametrize("server", ["good"], indirect=True)
def test_a_set_that_is_not_here_is_downloaded_into_the_cache(server, tmp_path, monkeypatch):
    monkeypatch.setenv("GANKIT_CACHE", str(tmp_path))
    about = About(files=(Remote("file.gz", server[0], f"sha256:{DIGEST}"),), look_for=("file.gz",))
    assert found(DataOptions(data="some"), about) is None
    assert fetched(DataOptions(data="some"), about) == tmp_path / "some" / "file.gz"
    assert found(DataOptions(data="some"), about) == tmp_path / "some" / "file.gz"
