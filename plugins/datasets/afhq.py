"""Animal Faces HQ: class folders of 512x512 pictures, version 1 (JPEG) or 2 (PNG)."""

from __future__ import annotations

from pathlib import Path

from gankit import DataOptions, Dataset, ImageSet
from gankit.data import Tree, check_split, fetched
from gankit.plugins.datasets import about
from gankit.plugins.datasets.folder import class_folders


class AFHQ(Dataset):
    """Choi, Uh, Yoo & Ha 2020, arXiv:1912.01865."""

    about = about.AFHQ

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        split = check_split(options, self.about)
        path = fetched(options, self.about)
        tree = Tree(path if path.is_file() else Path(str(path).removesuffix("train/cat")))
        return class_folders(tree, f"{tree.parent_of('train/')}{split}", options)
