"""Anyone's images: every picture below a folder; labels by the first level of subfolders, or by a file beside them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gankit import DataOptions, Dataset, ImageSet, UsageError
from gankit.core.progress import warn
from gankit.data import (
    CAPTION_FILES,
    Pictures,
    Tree,
    check_pictures,
    frame,
    image_set,
    in_order,
    is_run,
    labels_file,
    labels_in,
)
from gankit.plugins.datasets.about import FOLDER

DEFAULT_SIZE = 64
NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""The folders, in capitals or not, that are parts of a set where nothing else lies beside them; the part each is."""


class Folder(Dataset):
    """folder:PATH, a folder or a zip or tar archive"""

    about = FOLDER

    def load(self, options: DataOptions, seed: int) -> ImageSet:
        if not options.path:
            raise UsageError("--data folder needs a path: --data folder:PATH")
        root = Path(options.path)
        if is_run(root):
            raise UsageError(f"--data {options.data}: the folder of a run, not of images; name one of images")
        tree = Tree(root)
        top = only_folder(tree)
        found = class_folders(tree, under=top, options=options, split=options.split, parts=parts_of(tree, top, options))
        check_pictures(options, *found.prepared)
        return found


def only_folder(tree: Tree) -> str:
    """The one folder in which all of an archive lies, so that it holds what the folder does; "" where there is none."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in tree.pictures()} if tree.is_archive else {""}
    (top,) = tops if len(tops) == 1 else ("",)
    return "" if top.lower() in NAMES else top


def parts_of(tree: Tree, top: str, options: DataOptions) -> list[str]:
    """The folders right below ``top`` that are parts of the set, by their names: where all pictures lie in such, train
    being one of them. UsageError where --split names another part.
    """
    inner = [_inside(name, top) for name in tree.pictures(top)]
    folders = sorted({parts[0] if len(parts) > 1 else "" for parts in inner})
    named = [name for name in folders if name.lower() in NAMES]
    train = any(name.lower() == "train" for name in named)
    if train and len(named) == len(folders):
        return named
    if train and len(named) > 1:
        other = next(name for name in folders if name not in named)
        warn(f"--data {options.data}: {', '.join(named)} are not taken for parts: {other or 'pictures'} beside them")
    if options.split != "train":
        raise UsageError(f"--split {options.split}: {options.data} has no such parts; name the subfolder itself")
    return []


def class_folders(
    tree: Tree, under: str, options: DataOptions, split: str | None = None, parts: list[str] | None = None
) -> ImageSet:
    """The pictures below folder ``under`` of ``tree``. Their labels are in a file beside them, or are its subfolders
    where all are in one. Of several ``parts``, folders right below, those of ``split``; all have the same classes.
    """
    here, every = under, tree.pictures(under)
    if parts:
        here = f"{under}/{_part(split or 'train', parts, options)}".strip("/")
    names = tree.pictures(here)
    starts = [f"{under}/{part}".strip("/") for part in parts or [""]]
    named, files = _classes(tree, under, starts, every)
    classes, labels = in_order(list(named.values())) if files else sorted(set(named.values())), None
    if all(name in named for name in names):
        index = {name: i for i, name in enumerate(classes)}
        labels = [index[named[name]] for name in names]
    passed = tree.passed_over(under, [*files, *CAPTION_FILES])
    pictures = Pictures(tree, here, names, labels, every if parts else None, passed)
    prepared = pictures.prepared(options.name, frame(options, DEFAULT_SIZE), options.limit)
    found = image_set(prepared, classes if labels else ())
    return dataclasses.replace(found, passed_over=passed)


def _part(split: str, parts: list[str], options: DataOptions) -> str:
    """The folder that is ``split``. UsageError where there is none, or two."""
    meant = NAMES.get(split.lower(), split)
    fitting = [split] if split in parts else [name for name in parts if NAMES[name.lower()] == meant]
    if len(fitting) != 1:
        raise UsageError(f"--split {split}: {options.data} has {', '.join(parts)}")
    return fitting[0]


def _classes(tree: Tree, under: str, starts: list[str], names: list[str]) -> tuple[dict[str, str], list[str]]:
    """(the class of each picture that has one, the files that say so): by a file on top, by one in each of ``starts``,
    or by the folders right below those, where all pictures of one are in such.
    """
    found, files = dict[str, str](), list[str]()
    for start in dict.fromkeys((under, *starts)):
        file = labels_file(tree, start)
        here = [name for name in names if name.startswith(f"{start}/" if start else "")]
        if file is not None:
            files.append(file)
            found |= labels_in(tree, file, here)
        elif not files and start in starts and all(len(_inside(name, start)) > 1 for name in here):
            found |= {name: _inside(name, start)[0] for name in here}
    return found, files


def _inside(name: str, under: str) -> list[str]:
    """The folders and the file name of ``name`` below ``under``."""
    return name[len(under) :].strip("/").split("/")
