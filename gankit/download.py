"""Downloads: checked against a digest, resumed where they broke off, and written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from gankit.errors import GankitError

_BLOCK = 1 << 18


def download(
    url: str, to: Path, digest: str, *, algorithm: str = "sha256", tries: int = 4, timeout: float = 30
) -> Path:
    """Fetch ``url`` into file ``to`` unless it is there with this ``digest``.

    A connection that breaks is taken up where it stopped, where the server allows that. GankitError where the server
    cannot be reached or what came has another digest; then nothing is left under the name ``to``.
    """
    if to.exists():
        if _digest(to, algorithm) == digest:
            return to
        raise GankitError(f"{to}: its {algorithm} is not the published one; delete it to download it again")
    part = to.with_name(to.name + ".part")
    to.parent.mkdir(parents=True, exist_ok=True)
    problem = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(min(2.0, 0.1 * 4**attempt))
        try:
            _fetch(url, part, timeout)
        except (OSError, EOFError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
            continue
        found = _digest(part, algorithm)
        if found == digest:
            os.replace(part, to)
            return to
        problem = f"what came has the {algorithm} {found[:16]}... instead of {digest[:16]}..."
        part.unlink()
    raise GankitError(f"could not download {url}: {problem}; place the file at {to} yourself, or try again later")


def _fetch(url: str, part: Path, timeout: float) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return  # nothing is left to fetch; the digest decides whether what is here is right
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        done = have if response.status == 206 else 0
        expected = response.headers.get("Content-Length")
        total = done + int(expected) if expected else None
        while block := response.read(_BLOCK):
            file.write(block)
            done += len(block)
            _show(part.stem, done, total)
        if total is not None and done < total:
            raise EOFError(f"the connection closed after {done} of {total} bytes")


def _show(name: str, done: int, total: int | None) -> None:
    if sys.stderr.isatty():
        share = f" of {total / 1e6:.1f}" if total else ""
        print(f"\r{name}: {done / 1e6:.1f}{share} MB", end="" if total and done < total else "\n", file=sys.stderr)


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
