"""`gankit sample` of many images: the same images as ever, in bounded memory, whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import gankit
from gankit import RandomStream, Run
from gankit.core import images as saving
from gankit.core.images import save_parts, to_uint8
from gankit.core.types import placed
from gankit.inference.sample import stream
from gankit.models import sampling

PEAK = """
import json, resource, sys
from gankit.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
"""


def parts_of(*counts):
    return [torch.full((n, 3, 4, 5), i / 10) for i, n in enumerate(counts)]


@pytest.mark.parametrize("channels", [1, 3])
def test_an_array_written_in_parts_is_the_one_that_numpy_would_save(channels, tmp_path):
    parts = [2 * RandomStream(0, "part", i).uniform(n, channels, 4, 5) - 1 for i, n in enumerate((3, 1, 2))]
    save_parts(parts, 6, tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.ascontiguousarray(to_uint8(torch.cat(parts)).movedim(1, -1).numpy()))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_a_folder_written_in_parts_has_the_images_in_order(tmp_path):
    save_parts(parts_of(2, 1, 3), 6, tmp_path / "folder")
    names = sorted(path.name for path in (tmp_path / "folder").iterdir())
    assert names == [f"{i:06d}.png" for i in range(6)]
    with Image.open(tmp_path / "folder" / "000003.png") as image:
        assert np.asarray(image).max() == round((0.2 + 1) * 127.5)


@pytest.mark.parametrize("name", ["a.npy", "folder", "g.png", "empty"])
def test_what_fails_half_way_leaves_nothing_behind(name, tmp_path):
    def failing():
        yield from parts_of(2, 2)
        raise gankit.GankitError("broke")

    (tmp_path / "empty").mkdir()
    with pytest.raises(gankit.GankitError, match="broke"):
        save_parts(failing(), 6, tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_an_array_that_was_there_stays_until_the_new_one_is_whole(tmp_path):
    save_parts(parts_of(2), 2, tmp_path / "a.npy")
    before = (tmp_path / "a.npy").read_bytes()

    def stopped():
        yield from parts_of(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_parts(stopped(), 6, tmp_path / "a.npy")
    assert (tmp_path / "a.npy").read_bytes() == before


def as_before(run, n, seed):
    """The images as they were made when all of them were held: one draw, then slices of it."""
    model = run.load()
    noise = placed(model.noise("sample", n, RandomStream(seed, "sample")), torch.device("cpu"), torch.float32)
    batch = None
    if model.reads_images:
        batch = gankit.build.load_images(run.config).pick(n, seed, run.spec.size)
    made = []
    for i in range(0, n, sampling.CHUNK):
        some = slice(i, i + sampling.CHUNK)
        with torch.no_grad():
            made.append(model.sample({k: v[some] for k, v in noise.items()}, batch and batch.part(some)))
    return torch.cat(made)


@pytest.mark.parametrize("variant", ["dcgan", "cdcgan", "cyclegan", "infogan"])
def test_parts_are_the_images_of_one_draw_bit_for_bit(variant, tmp_path, tiny, monkeypatch, cli):
    monkeypatch.setattr(sampling, "CHUNK", 7)
    run = gankit.train(variant, out=tmp_path / "run", steps=1, **tiny)
    parts = list(stream(run, 24, 5))
    assert [len(part) for part in parts] == [7, 7, 7, 3]
    assert torch.equal(torch.cat(parts), as_before(run, 24, 5))
    assert torch.equal(run.sample(24, 5), as_before(run, 24, 5))
    assert cli("sample", run.root, "-n", 24, "--seed", 5, "-o", tmp_path / "s.npy").exit_code == 0
    expected = to_uint8(as_before(run, 24, 5)).movedim(1, -1).numpy()
    assert np.array_equal(np.load(tmp_path / "s.npy"), expected)


def test_noise_too_large_to_be_held_is_drawn_part_by_part_and_the_same_again(finished, monkeypatch):
    monkeypatch.setattr(sampling, "CHUNK", 7)
    monkeypatch.setattr(sampling, "NOISE_BYTES", 10)
    run = Run(finished)
    one, again = run.sample(24), run.sample(24)
    assert torch.equal(one, again)
    assert len(np.unique(one.flatten(1).numpy(), axis=0)) == 24  # the parts are not copies of each other


def test_progress_is_said_of_a_long_sampling(tmp_path, monkeypatch, capsys):
    made = saving.ProgressBar

    def at_once(*args, **options):
        bar = made(*args, **options)
        bar._next = 0
        return bar

    monkeypatch.setattr(saving, "ProgressBar", at_once)
    save_parts(parts_of(2, 1), 3, tmp_path / "a.npy")
    assert "saving images: 2 of 3 images" in capsys.readouterr().err


def test_options_without_an_effect_on_the_output_are_refused(finished, tmp_path, cli):
    refused = cli("sample", finished, "-n", 4, "--columns", 2, "-o", tmp_path / "s.npy")
    assert (refused.exit_code, "--columns: only a grid" in refused.stderr) == (2, True)
    assert not (tmp_path / "s.npy").exists()


@pytest.mark.parametrize("name", ["s.npy", "folder"])
def test_memory_does_not_grow_with_the_number_of_samples(name, tmp_path):
    root = tmp_path / "run"
    small = {"arch": "mlp", "size": 64, "channels": 3, "limit": 16, "batch_size": 4, "ngf": 2, "ndf": 2}
    gankit.train("gan", out=root, steps=1, threads=1, quiet=True, **small)

    def peak(n):
        words = [sys.executable, "-c", PEAK, "sample", root, "-n", n, "-o", tmp_path / f"{n}-{name}"]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    assert peak(3000) - peak(500) < 30  # MiB; held as float32, 2,500 images more are 117
