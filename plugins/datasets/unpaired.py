"""Two sets of images in the layout of CycleGAN's own data sets: trainA, trainB, testA, testB; those, and anyone's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gankit import DataOptions, Dataset, ImageSet, UsageError
from gankit.data import Pictures, Tree, check_pictures, check_split, fetched, frame, unpaired_set
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
        tree = Tree(Path(options.path))
        found = two_domains(tree, options, _whole(tree))
        check_pictures(options, *found.prepared)
        return found


class Published(Dataset):
    """One of the data sets that Zhu, Park, Isola & Efros published with CycleGAN (2017, arXiv:1703.10593)."""

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        known = PAIRS[options.name]
        check_split(options, known)
        path = fetched(options, known)
        return two_domains(Tree(path.parent if path.name == "trainA" else path), options)


def _whole(tree: Tree) -> list[str]:
    """All pictures of both domains, of all parts: one rule scales their values."""
    ends = ("trainA", "trainB", "testA", "testB")
    return [name for name in tree.pictures() if any(f"/{end}/" in f"/{name}" for end in ends)]


def two_domains(tree: Tree, options: DataOptions, whole: list[str] | None = None) -> ImageSet:
    """The pictures in the folders trainA and trainB (or testA and testB) of ``tree``; --limit holds for each.

    ``whole``: as in ``Pictures``.
    """
    top = tree.parent_of(f"{options.split}A/") if tree.is_archive else ""
    parts = [f"{options.split}{domain}" for domain in "AB"]
    shape = frame(options, DEFAULT_SIZE)
    passed = [tree.passed_over(top + part) for part in parts]
    one, other = (
        Pictures(tree, part, tree.pictures(top + part), whole=whole, passed_over=said).prepared(
            options.name, shape, options.limit
        )
        for part, said in zip(parts, passed, strict=True)
    )
    return dataclasses.replace(unpaired_set(one, other), passed_over=sum(passed, ()))
