"""Tiny ImageNet, in its published folders or the archive of them."""

from __future__ import annotations

from pathlib import PurePosixPath

from gankit import DamagedFile, DataOptions, Dataset, ImageSet
from gankit.data import Pictures, Tree, check_split, fetched, frame, image_set
from gankit.plugins.datasets import about


class TinyImageNet(Dataset):
    """Le & Yang 2015. Classes are in the order of their WordNet numbers, named as words.txt names them."""

    about = about.TINY_IMAGENET

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        split = check_split(options, self.about)
        path = fetched(options, self.about)
        tree = Tree(path.parent if path.name == "wnids.txt" else path)
        top = tree.parent_of("wnids.txt")
        ids = sorted(tree.text(f"{top}wnids.txt").split())
        words = dict(line.split("\t", 1) for line in tree.text(f"{top}words.txt").splitlines() if "\t" in line)
        names = [name for name in tree.pictures(f"{top}{split}") if PurePosixPath(name).parent.name == "images"]
        labels = _labels(tree, top, split, names, {each: i for i, each in enumerate(ids)})
        prepared = Pictures(tree, split, names, labels).prepared(options.name, frame(options, 64), options.limit)
        return image_set(prepared, [words.get(each, each) for each in ids])


def _labels(tree: Tree, top: str, split: str, names: list[str], index: dict[str, int]) -> list[int]:
    """The class of each picture: of train by its folder, of val by val_annotations.txt."""
    try:
        if split == "train":
            return [index[PurePosixPath(name).parts[-3]] for name in names]
        rows = (line.split("\t") for line in tree.text(f"{top}val/val_annotations.txt").splitlines())
        of = {row[0]: row[1] for row in rows if len(row) > 1}
        return [index[of[PurePosixPath(name).name]] for name in names]
    except KeyError as error:
        raise DamagedFile(f"{tree.root}: {error} in {split} is not what wnids.txt says; fetch it again") from error
