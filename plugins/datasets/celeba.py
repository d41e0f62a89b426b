"""CelebA, aligned and cropped: a folder or a zip archive of 202,599 JPEGs of 178x218."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from gankit import DamagedFile, DataOptions, Dataset, ImageSet
from gankit.data import Pictures, Tree, check_split, fetched, frame, image_set
from gankit.plugins.datasets import about

CROP = 148
"""The middle of each picture, which is kept: Dinh et al. 2017 (arXiv:1605.08803, 4.1), after Larsen et al. 2016."""
SIZE = 64
SPLITS = {"train": (1, 162_770), "valid": (162_771, 182_637), "test": (182_638, 202_599), "all": (1, 202_599)}
"""The first and the last number of each part, as list_eval_partition.txt has them."""


class CelebA(Dataset):
    """Liu, Luo, Wang & Tang 2015, Deep learning face attributes in the wild."""

    about = about.CELEBA

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        split = check_split(options, self.about)
        path = fetched(options, self.about)
        tree = Tree(path.parent if path.name == "000001.jpg" else path)
        first, last = SPLITS[split]
        names = [name for name in tree.pictures() if first <= number(name) <= last]
        if not names:
            raise DamagedFile(f"{path}: holds no pictures {first:06d}.jpg to {last:06d}.jpg; fetch it again")
        pictures = Pictures(tree, split, names)
        return image_set(pictures.prepared(options.name, frame(options, SIZE, CROP), options.limit))


def number(name: str) -> int:
    """The number of a picture, which says what part it belongs to; 0 for another file."""
    found = re.fullmatch(r"(\d{6})\.jpg", PurePosixPath(name).name)
    return int(found[1]) if found else 0
