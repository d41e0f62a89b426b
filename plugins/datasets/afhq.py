"""Animal Faces HQ: class folders of 512x512 pictures, version 1 (JPEG) or 2 (PNG)."""

from __future__ import annotations

from pathlib import Path

from gankit.data.catalogue import DataOptions, fetched
from gankit.data.dataset import Dataset, ImageSet, check_split
from gankit.data.sources import Tree
from gankit.plugins.datasets import about
from gankit.plugins.datasets.folder import class_folders


class AFHQ(Dataset):
    """Choi, Uh, Yoo & Ha 2020, arXiv:1912.01865."""

    name = "afhq"
    summary = "faces of cats, dogs and wild animals"
    about = about.AFHQ

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        split = check_split(options, self.about)
        path = fetched(options, self.about)
        tree = Tree(path if path.is_file() else Path(str(path).removesuffix("train/cat")))
        return class_folders(tree, f"{tree.parent_of('train/')}{split}", options)
