"""Anyone's two sets of images, in the layout of CycleGAN's own data sets: trainA, trainB, testA, testB."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gankit.data import DataOptions, Dataset, ImageSet
from gankit.errors import UsageError
from gankit.images import find_images
from gankit.plugins.datasets.folder import read_images

DEFAULT_SIZE = 256


class Unpaired(Dataset):
    """unpaired:PATH"""

    name = "unpaired"
    summary = "your own two domains: unpaired:PATH with trainA and trainB in it"

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        if not options.path:
            raise UsageError(
                "--data unpaired needs a path: --data unpaired:PATH with the folders trainA and trainB in it"
            )
        if options.channels not in (None, 1, 3):
            raise UsageError(f"--channels {options.channels}: images are read as grey (1) or colour (3)")
        return ImageSet(self._domain(options, "A"), other=self._domain(options, "B"))

    @staticmethod
    def _domain(options: DataOptions, domain: str) -> Tensor:
        paths = find_images(Path(str(options.path)) / f"{options.split}{domain}")[: options.limit]
        images, _ = read_images(paths, options.size or DEFAULT_SIZE, options.channels or 3, options.fit)
        return torch.from_numpy(images)
