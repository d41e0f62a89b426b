"""The memory that training from a large cache takes, beside that from a small one.

    python benchmarks/resident.py FOLDER [--gigabytes 0.01 10]     # appends rows to benchmarks/resident.csv

The caches are of random pixels, 64x64x3, written to the disk in FOLDER through the cache's own code, and removed
afterwards. A WGAN's critic is trained on each for one epoch, in which every image is drawn at least once (its first 25
steps have 100 updates each), by a process of its own that watches the anonymous part of its resident memory (RssAnon,
which the system cannot drop) and the part that is cache of files (RssFile).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

import numpy as np

ROWS = Path(__file__).with_name("resident.csv")
BATCH = 1024
IMAGE = 3 * 64 * 64
BLOCK = 5000


def resident():
    """{part of the resident memory: MB} of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if line.startswith("Rss"))
    return {name: int(value.split()[0]) / 1024 for name, value in fields.items()}


def build(folder, count):
    """Fill a cache folder with random images."""
    from gankit.data import cache

    rng = np.random.default_rng(0)
    block = rng.integers(0, 256, (min(count, BLOCK), IMAGE), dtype=np.uint8)
    start = cache.write_header(folder / "images.npy", (count, 3, 64, 64))
    with (folder / "images.npy").open("r+b") as file:
        file.seek(start)
        for first in range(0, count, BLOCK):
            file.write(block[: count - first])
        file.flush()
        os.fsync(file.fileno())
    return {"digest": "random", "skipped": []}


def images_of(count):
    """The cache of ``count`` random images, made where it is not there."""
    from gankit.data import cache

    return cache.kept("resident", count, "", lambda folder: build(folder, count))


def train(count):
    """Train for one epoch and print the most that each part of the memory reached, in MB."""
    import gankit
    from gankit.data.dataset import image_set

    images = image_set(images_of(count))
    most, ended = {}, threading.Event()

    def watch():
        while not ended.wait(0.05):
            for name, value in resident().items():
                most[name] = max(value, most.get(name, 0))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = gankit.train(
            "wgan", preset="paper", images=images, arch="mlp", ngf=1, ndf=1, nz=8, batch_size=BATCH, epochs=1,
            out=Path(folder) / "run", samples=4, log_every=200, checkpoint_every=10**9, sample_every=10**9, threads=2,
        )  # fmt: skip
        steps = run.config.train.steps
    ended.set()
    thread.join()
    print(json.dumps({**most, "seconds": time.perf_counter() - began, "steps": steps}))


def measure(folder, size):
    """Append a row for a cache of ``size`` GB: it is built by one process and trained on by another."""
    from gankit.runs.folder import processor

    count = int(size * 1e9 / IMAGE)
    environment = {**os.environ, "GANKIT_CACHE": str(folder)}
    found = {}
    for what in ("build", "train"):
        command = [sys.executable, __file__, str(folder), "--only", what, "--count", str(count)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout.splitlines()[-1]) if what == "train" else {}
    print(size, found, flush=True)
    new = not ROWS.exists()
    with ROWS.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(("date", "machine", "GB", "images", "steps", "seconds", "RssAnon MB", "RssFile MB"))
        writer.writerow(
            [date.today().isoformat(), processor(), size, count, found["steps"], round(found["seconds"]),
             round(found["RssAnon"], 1), round(found["RssFile"], 1)]
        )  # fmt: skip


def main():
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=(0.01, 10))
    parser.add_argument("--only", choices=("build", "train"), help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only == "build":
        images_of(options.count)
    elif options.only == "train":
        train(options.count)
    else:
        for size in options.gigabytes:
            with tempfile.TemporaryDirectory(dir=options.folder) as cache:
                measure(Path(cache), size)


main()
