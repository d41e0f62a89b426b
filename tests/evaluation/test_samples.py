"""Arrays and folders of samples, and those that cannot be judged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gankit
from gankit import Run
from gankit.core.images import grid


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 8, 8, 1), np.float32), "uint8 arrays"),
        (np.zeros((3, 8, 9, 1, 1), np.uint8), "uint8 arrays"),
        (np.zeros((0, 8, 8), np.uint8), "uint8 arrays"),
        (b"torn", "cannot be read as a NumPy array"),
    ],
    ids=["float", "deep", "empty", "torn"],
)
def test_arrays_that_cannot_be_judged_are_named(array, said, tmp_path, cli):
    path = tmp_path / "a.npy"
    path.write_bytes(array) if isinstance(array, bytes) else np.save(path, array)
    result = cli("evaluate", path, "--data", "shapes", "--metric", "swd")
    assert result.exit_code in (1, 2)
    assert f"{path}: " in result.stderr
    assert said in result.stderr


def test_folders_that_cannot_be_judged_are_named(tmp_path, cli, finished):
    gankit.save(Run(finished).sample(3), tmp_path / "folder")
    judge = ["--data", "shapes", "--metric", "swd"]
    assert "say what to compare it with" in cli("evaluate", tmp_path / "folder").stderr
    grid(torch.zeros(1, 1, 9, 9, dtype=torch.uint8)).save(tmp_path / "folder" / "zz.png")
    assert "9x9 pixels, but the first image has 8x8" in cli("evaluate", tmp_path / "folder", *judge).stderr
    (tmp_path / "folder" / "zz.png").write_bytes(b"torn")
    assert "zz.png: cannot be read as an image" in cli("evaluate", tmp_path / "folder", *judge).stderr
    assert "neither a run folder" in cli("evaluate", tmp_path / "nothing", *judge).stderr
