"""Anyone's images: every picture below a folder; the first level of subfolders, where all are in one, gives labels."""

from __future__ import annotations

from pathlib import Path

from gankit import DataOptions, Dataset, ImageSet, UsageError
from gankit.data import Pictures, Tree, frame, image_set
from gankit.plugins.datasets.about import FOLDER

DEFAULT_SIZE = 64


class Folder(Dataset):
    """folder:PATH, a folder or a zip archive"""

    about = FOLDER

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        if not options.path:
            raise UsageError("--data folder needs a path: --data folder:PATH")
        if options.split != "train":
            raise UsageError(f"--split {options.split}: a folder has no parts; name the subfolder itself")
        return class_folders(Tree(Path(options.path)), "", options)


def class_folders(tree: Tree, under: str, options: DataOptions) -> ImageSet:
    """All pictures below folder ``under`` of ``tree``; their labels are its subfolders where all are in one."""
    names = tree.pictures(under)
    inner = [name[len(under) :].strip("/").split("/") for name in names]
    classes: list[str] = []
    labels = None
    if all(len(parts) > 1 for parts in inner):
        classes = sorted({parts[0] for parts in inner})
        index = {name: i for i, name in enumerate(classes)}
        labels = [index[parts[0]] for parts in inner]
    pictures = Pictures(tree, under, names, labels)
    return image_set(pictures.prepared(options.name, frame(options, DEFAULT_SIZE), options.limit), classes)
