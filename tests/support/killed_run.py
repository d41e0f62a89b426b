"""The process in which test_resume.py trains runs that it kills.

For each line on standard input, a JSON list [window, run folder, flags], it forks a child that trains or resumes that
run and says on standard output where it is: "pid N" first, "here" each time it is in the window; the parent then says
"ended STATUS". Forking spares the seconds that each start of PyTorch takes, so that hundreds of kills are cheap.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

import gankit
from gankit.core import checkpoint, files
from gankit.runs import folder as run
from gankit.training import trainer


def main():
    with (
        tempfile.TemporaryDirectory() as folder
    ):  # so that what PyTorch imports at its first step is there before the forks
        gankit.train("wgan-gp", data="shapes", arch="mlp", limit=8, steps=1, out=Path(folder) / "run", quiet=True)
    for line in sys.stdin:
        window, root, flags = json.loads(line)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                print("pid", os.getpid(), flush=True)
                train_or_resume(window, Path(root), flags)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        print("ended", os.waitpid(child, 0)[1], flush=True)


def train_or_resume(window, root, flags):
    announce(window)
    if (root / "config.json").exists():
        gankit.resume(root, quiet=True)
    else:
        gankit.train(out=root, quiet=True, **flags)


def announce(window):
    """Make the training say "here" whenever it is in ``window``, and stretch that window."""

    def here(what):
        if what == window:
            print("here", flush=True)

    step, atomic_write, save_checkpoint, replace = (
        trainer.Trainer.step,
        files.atomic_write,
        run.RunFolder.save_checkpoint,
        os.replace,
    )

    def told_step(self):
        here("steps" if self.done > 6 else "before the first checkpoint")
        step(self)

    def told_save(self, *args):
        here("around")
        return save_checkpoint(self, *args)

    def slow_write(path, data):
        if path.suffix == ".pt" and window == "writing":
            with path.with_name(f".{path.name}.tmp").open("wb") as file:
                for i in range(0, len(data), 1 + len(data) // 40):
                    file.write(data[i : i + 1 + len(data) // 40])
                    file.flush()
                    here("writing")
                    time.sleep(0.001)
        atomic_write(path, data)

    def told_replace(source, target):
        pause = 0.02 if str(target).endswith(".pt") and window == "rename" else 0
        if pause:
            here("rename")
        time.sleep(pause)
        replace(source, target)
        time.sleep(pause)

    trainer.Trainer.step, run.RunFolder.save_checkpoint = told_step, told_save
    checkpoint.atomic_write = slow_write
    os.replace = told_replace


main()
