"""What Windows and macOS lack a run on a CPU must not need. It is hidden here, since no such machine is at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HIDE = """
import ctypes, json, os, signal, sys, warnings
warnings.simplefilter("ignore")  # filelock says that it has no locks of files here
for name in ("fcntl", "resource", "pwd", "gankit.kernels._cpu"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGUSR1", "SIGUSR2"):
    if hasattr(signal, name):
        delattr(signal, name)
class Libraries(ctypes.CDLL):
    def __init__(self, name=None, *args, **kwargs):
        if name is None:
            raise OSError("no C library of its own")
        super().__init__(name, *args, **kwargs)
ctypes.CDLL = Libraries
os.supports_dir_fd = set()
"""
WORK = """
import gankit
from gankit.cli import main
options = json.loads(sys.argv[1])
run = gankit.train("wgan-gp", out="run", data="folder:photos", steps=2, **options)
again = gankit.resume("run", steps=4, quiet=True)
assert [row["step"] for row in again.metrics()] == [1, 2, 3, 4]
main(["report", "run", "-o", "report.html"], standalone_mode=False)
main(["doctor"], standalone_mode=False)
"""


@pytest.fixture
def photos(tmp_path):
    from PIL import Image

    for i in range(12):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 20 * i).save(path)
    return tmp_path


def test_a_run_trains_resumes_and_reports_without_what_only_linux_has(photos, tiny):
    tiny = {**tiny, "limit": 12, "batch_size": 4}
    environment = os.environ | {"GANKIT_CACHE": str(photos / "cache")}
    command = [sys.executable, "-c", HIDE + WORK, json.dumps(tiny)]
    done = subprocess.run(command, cwd=photos, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (photos / "report.html").stat().st_size > 10_000
    assert "the C extension is missing" in done.stdout


@pytest.mark.parametrize("call", [["doctor"], ["data", "list"], ["train", "gan", "--help"]], ids=" ".join)
def test_a_user_without_a_home_and_without_an_entry_gets_an_answer(call, tmp_path):
    """As in a container that runs as a number: neither HOME nor the list of users says where home is."""
    hide = "import os, sys; os.environ.pop('HOME', None); sys.modules['pwd'] = None; os.path.expanduser = str"
    code = hide + f"\nfrom gankit.cli import main; main({call!r})"
    environment = {name: value for name, value in os.environ.items() if name not in ("GANKIT_CACHE", "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
