"""Downloads: checked against a digest, resumed where they broke off, and written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from gankit.core.errors import GankitError
from gankit.core.lock import beside, hold
from gankit.core.progress import ProgressBar

_BLOCK = 1 << 18
_MOST = 1 << 40
_PAUSE = 0.1


def download(
    url: str,
    to: Path,
    digest: str,
    *,
    algorithm: str = "sha256",
    size: int | None = None,
    tries: int = 4,
    timeout: float = 30,
) -> Path:
    """Fetch ``url`` into file ``to`` unless it is there with this ``digest``; ``size``: its bytes, where known.

    A connection that breaks is taken up where it stopped, where the server allows that. Processes that ask for one file
    at once fetch it once. GankitError where the server cannot be reached or what came has another digest; then nothing
    is left under the name ``to``.
    """
    with hold(beside(to), waiting=f"{to.name} is being downloaded by another process; waiting"):
        if to.exists():
            if _digest(to, algorithm) == digest:
                return to
            raise GankitError(f"{to}: its {algorithm} is not the published one; delete it to download it again")
        part = to.with_name(to.name + ".part")
        problem = ""
        for attempt in range(tries):
            if attempt:
                time.sleep(min(2.0, _PAUSE * 4**attempt))
            try:
                _fetch(url, part, size, timeout)
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


def _fetch(url: str, part: Path, size: int | None, timeout: float) -> None:
    """Add to ``part`` what is missing of ``url``. EOFError where the connection ends early, ValueError for more than
    ``size`` bytes.
    """
    import urllib.error  # a tenth of a second to import, and only needed where something is fetched
    import urllib.request

    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return  # nothing is left to fetch; the digest decides whether what is here is right
    goes_on = response.status == 206 and (response.headers.get("Content-Range") or f"bytes {have}-").startswith(
        f"bytes {have}-"
    )
    with response, part.open("ab" if goes_on else "wb") as file:
        done = have if goes_on else 0
        expected = response.headers.get("Content-Length")
        total = done + int(expected) if expected else size
        tally = ProgressBar(part.stem, total, "MB", scale=1e6)
        while block := response.read(_BLOCK):
            done += len(block)
            if done > (size or _MOST):
                file.truncate(0)
                raise ValueError(f"the server sends more than the {size or _MOST} bytes it should")
            file.write(block)
            tally.update(done)
        tally.close()
        if total is not None and done < total:
            raise EOFError(f"the connection closed after {done} of {total} bytes")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
