"""The mean and covariance of real images' features in a file, in the form that pytorch-fid writes and reads."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gankit.core.errors import DamagedFile, UsageError
from gankit.core.files import atomic_write, explained
from gankit.data.decoding import UNREADABLE
from gankit.data.unpacking import npz_array
from gankit.evaluation.statistics import Moments


@dataclass(frozen=True)
class MomentsFile:
    """The ``moments`` in the .npz file ``path``, and its sha256. How many images they are of it does not say."""

    path: Path
    moments: Moments
    digest: str


def read_moments(path: Path) -> MomentsFile:
    """The arrays "mu" [F] and "sigma" [F,F] in ``path``. UsageError where there is no such file, or they have other
    shapes; DamagedFile where it cannot be read.
    """
    if not path.is_file():
        raise UsageError(f"--data {path}: no such file; name one that pytorch-fid or --save-statistics wrote")
    try:
        with zipfile.ZipFile(path) as archive:
            there = archive.namelist()
        found = {name: npz_array(path, name) for name in ("mu", "sigma") if f"{name}.npy" in there}
    except UNREADABLE as error:
        raise DamagedFile(f"{path}: cannot be read as an .npz file ({error})") from error
    for name in ("mu", "sigma"):
        if name not in found:
            raise UsageError(f"{path}: holds no array '{name}'; statistics have mu [F] and sigma [F,F]")
        if found[name].dtype.kind not in "fiu" or not np.isfinite(found[name]).all():
            raise UsageError(f"{path}: '{name}' must be finite numbers, not {found[name].dtype} with others among them")
    mean, covariance = found["mu"], found["sigma"]
    if mean.ndim != 1 or not len(mean) or covariance.shape != 2 * mean.shape:
        raise UsageError(f"{path}: mu {mean.shape} and sigma {covariance.shape}; statistics have mu [F], sigma [F,F]")
    if not np.allclose(covariance, covariance.T, rtol=1e-4, atol=1e-6 * max(1.0, float(np.abs(covariance).max()))):
        raise UsageError(f"{path}: sigma is no covariance: it is not symmetric")
    moments = Moments()
    moments.restore(
        {
            "count": torch.tensor(2),  # the covariance is then the scatter as it is
            "mean": torch.from_numpy(mean.astype(np.float64)),
            "scatter": torch.from_numpy(covariance.astype(np.float64)),
        }
    )
    return MomentsFile(path, moments, hashlib.sha256(path.read_bytes()).hexdigest()[:32])


def write_moments(moments: Moments, path: Path) -> None:
    """Write the mean and the unbiased covariance to ``path``, as float64. UsageError where it does not end in .npz."""
    check_npz(path)
    buffer = io.BytesIO()
    np.savez(buffer, mu=moments.mean.numpy(), sigma=moments.covariance.numpy())
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, buffer.getbuffer())


def check_npz(path: Path) -> None:
    """UsageError where statistics cannot be saved as ``path``."""
    if path.suffix != ".npz":
        raise UsageError(f"--save-statistics {path}: end it with .npz")
