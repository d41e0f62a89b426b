"""The textbook's loop without an end, for benchmarks/shared_machine.py, which ends it.

    python benchmarks/endless.py dcgan '{"data": "fashion-mnist", "ngf": 32}' FOLDER --every 5

Rows of FOLDER/timing.jsonl are those of gankit's own, so that one reader serves both.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parent))
from baseline import job_of, loop_of
from textbook import LOOPS, batches

from gankit.build import load_images
from gankit.config import configure

ENDLESS = 10**6
"""Steps; nobody waits for the last."""


@click.command(help=__doc__)
@click.argument("variant")
@click.argument("flags")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--every", default=5, show_default=True, help="Steps a row.")
def main(variant: str, flags: str, folder: Path, every: int) -> None:
    config = configure(variant, json.loads(flags))
    job = replace(job_of(config, load_images(config)), steps=ENDLESS)
    loop, images = loop_of(LOOPS, job), batches(job, 0)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = job.draws * config.train.batch_size
    with (folder / "timing.jsonl").open("w", encoding="utf-8", buffering=1) as file:
        for last in range(every, ENDLESS, every):
            began = time.perf_counter()
            for _ in range(every):
                loop.step(images)
            step = (time.perf_counter() - began) / every
            row = {"step": last, "seconds per step": step, "images per second": drawn / step}
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
