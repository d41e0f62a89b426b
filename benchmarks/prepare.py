"""How fast pictures are prepared, beside a bare Pillow loop; and how long training waits for the prepared ones.

    python benchmarks/prepare.py pictures FOLDER      # draw 20,000 JPEGs of 178x218, once
    python benchmarks/prepare.py speed FOLDER         # append rows to benchmarks/prepare.csv
    python benchmarks/prepare.py waiting FOLDER

The bare loop opens, drafts, crops, resizes and stores each picture, the least that any program must do; its time is
that of the loop alone, in as many processes as there are cores. The time of preparing is all of it: listing the folder,
starting the workers, digests, and flushing the array to the disk. The two take turns, on files that are in the
system's cache already.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 64
ROWS = Path(__file__).with_name("prepare.csv")
COLUMNS = ("date", "machine", "what", "cores", "images", "n", "prepare", "bare", "ratio", "unit")


def draw(folder, count=20_000):
    """JPEGs like CelebA's: smooth pictures with a little noise, about 13 KB each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 6, (436, 356, 1)).astype(np.float32)
    for i in range(count):
        smooth = Image.fromarray(rng.integers(0, 256, (8, 7, 3), dtype=np.uint8)).resize((178, 218), Image.BICUBIC)
        top, left = rng.integers(218), rng.integers(178)
        pixels = np.asarray(smooth, np.float32) + grain[top : top + 218, left : left + 178]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:06d}.jpg", quality=88)


def bare(paths):
    """Seconds that a bare loop takes for ``paths``."""
    out = np.empty((len(paths), SIZE, SIZE, 3), np.uint8)
    start = time.perf_counter()
    for i, path in enumerate(paths):
        with Image.open(path) as image:
            image.draft("RGB", (SIZE, SIZE))
            side = min(image.size)
            left, top = (image.size[0] - side) // 2, (image.size[1] - side) // 2
            box = (left, top, left + side, top + side)
            out[i] = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.LANCZOS, box=box))
    return time.perf_counter() - start


def bare_on(folder, cores):
    """Seconds that the slowest of ``cores`` bare loops takes for its share."""
    parts = [f"{i}/{cores}" for i in range(cores)]
    command = [sys.executable, __file__, "bare", str(folder), "--part"]
    loops = [subprocess.Popen([*command, part], stdout=subprocess.PIPE) for part in parts]
    return max(float(loop.communicate()[0]) for loop in loops)


def prepare(folder):
    """Seconds that preparing takes from nothing."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as cache:
        code = (
            "import sys, time; from pathlib import Path; from gankit.decoding import Frame\n"
            "from gankit.sources import Pictures, Tree; start = time.perf_counter(); tree = Tree(Path(sys.argv[1]))\n"
            f"Pictures(tree, '', tree.pictures()).prepared('speed', Frame({SIZE}, 3))\n"
            "print(time.perf_counter() - start)"
        )
        environment = {**os.environ, "GANKIT_CACHE": cache}
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], env=environment, stdout=subprocess.PIPE, check=True
        )
        return float(done.stdout)


def speed(folder, rounds):
    """Append a row for one core and one for all of them."""
    everything = sorted(os.sched_getaffinity(0))
    count = len(list(folder.iterdir()))
    for cores in sorted({1, len(everything)}):
        os.sched_setaffinity(0, everything[:cores])
        bare_on(folder, cores)  # warms the system's cache
        pairs = [(prepare(folder), bare_on(folder, cores)) for _ in range(rounds)]
        per_core = [[count / seconds / cores for seconds in side] for side in zip(*pairs, strict=True)]
        ours, theirs = map(statistics.median, per_core)
        print(f"{cores} cores: {[[round(v) for v in side] for side in per_core]} images/s per core")
        append("decode to 64x64", cores, count, rounds, round(ours), round(theirs), "images/s per core")
    os.sched_setaffinity(0, everything)


def append(what, cores, images, n, ours, theirs, unit):
    """Add a row to prepare.csv."""
    from gankit.runs.folder import processor

    new = not ROWS.exists()
    with ROWS.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(COLUMNS)
        writer.writerow(
            [date.today().isoformat(), processor(), what, cores, images, n, ours, theirs, round(ours / theirs, 3), unit]
        )


def waiting(folder, steps):
    """Append a row with the share of a step of DCGAN, 64x64, batch 64, that goes into its batch of images."""
    import gankit
    from gankit.config import configure
    from gankit.training.trainer import Trainer

    with tempfile.TemporaryDirectory(dir=folder.parent) as cache:
        os.environ["GANKIT_CACHE"] = cache
        flags = {
            "preset": "paper",
            "data": f"folder:{folder}",
            "size": SIZE,
            "batch_size": 64,
            "flip": True,
            "device": "cpu",
        }
        trainer = Trainer(configure("dcgan", flags))
        spent = []
        batch = trainer.batch

        def timed(*args):
            start = time.perf_counter()
            found = batch(*args)
            spent.append(time.perf_counter() - start)
            return found

        trainer.batch = timed
        trainer.step()
        spent.clear()
        each, waits = [], []
        for _ in range(steps):
            start = time.perf_counter()
            trainer.step()
            each.append(time.perf_counter() - start)
            waits.append(sum(spent))
            spent.clear()
        step, wait = statistics.median(each), statistics.median(waits)
        print(
            f"gankit {gankit.__version__}: step {step * 1e3:.1f} ms, of which {wait * 1e3:.2f} ms ({wait / step:.2%})"
        )
        print(f"slowest wait: {max(waits) * 1e3:.2f} ms; all waits over all steps: {sum(waits) / sum(each):.2%}")
        append("batch / step, dcgan 64x64 bs 64", trainer.threads, len(trainer.images), steps,
               round(wait * 1e3, 2), round(step * 1e3, 1), "ms")  # fmt: skip
        shutil.rmtree(Path(cache) / "prepared")


def main():
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pictures", "speed", "waiting", "bare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--part", default="0/1")
    options = parser.parse_args()
    if options.what == "pictures":
        draw(options.folder)
    elif options.what == "bare":
        first, step = map(int, options.part.split("/"))
        print(bare(sorted(options.folder.iterdir())[first::step]))
    elif options.what == "speed":
        speed(options.folder, options.rounds)
    else:
        waiting(options.folder, options.steps)


main()
