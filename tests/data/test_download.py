"""Downloads arrive whole, whatever the server does."""

from __future__ import annotations

import hashlib
import http.server
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from gankit import GankitError
from gankit.data.catalogue import About, DataOptions, Remote, fetched, found
from gankit.data.download import download

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
    monkeypatch.setattr("gankit.data.download._PAUSE", 0.001)
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
