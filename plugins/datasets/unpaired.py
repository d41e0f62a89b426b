"""Two sets of images in the layout of CycleGAN's own data sets: trainA, trainB, testA, testB; those, and anyone's."""

from __future__ import annotations

from pathlib import Path

from gankit import DataOptions, Dataset, ImageSet, UsageError
from gankit.data import Pictures, Tree, check_split, fetched, frame, unpaired_set
from gankit.plugins.datasets.about import PAIRS, UNPAIRED

DEFAULT_SIZE = 256


class Unpaired(Dataset):
    """unpaired:PATH, a folder or a zip archive"""

    about = UNPAIRED

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        if not options.path:
            raise UsageError(
                "--data unpaired needs a path: --data unpaired:PATH with the folders trainA and trainB in it"
            )
        return two_domains(Tree(Path(options.path)), options)


class Published(Dataset):
    """One of the data sets that Zhu, Park, Isola & Efros published with CycleGAN (2017, arXiv:1703.10593)."""

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        known = PAIRS[options.name]
        check_split(options, known)
        path = fetched(options, known)
        return two_domains(Tree(path.parent if path.name == "trainA" else path), options)


def two_domains(tree: Tree, options: DataOptions) -> ImageSet:
    """The pictures in the folders trainA and trainB (or testA and testB) of ``tree``; --limit holds for each."""
    top = tree.parent_of(f"{options.split}A/") if tree.is_archive else ""
    parts = [f"{options.split}{domain}" for domain in "AB"]
    shape = frame(options, DEFAULT_SIZE)
    one, other = (
        Pictures(tree, part, tree.pictures(top + part)).prepared(options.name, shape, options.limit) for part in parts
    )
    return unpaired_set(one, other)
