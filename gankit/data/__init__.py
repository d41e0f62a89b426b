"""Files to pixels to batches. Names are imported when they are first used: the registry needs the catalogue alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gankit.core.lazy import lazy

if TYPE_CHECKING:
    from gankit.data.captions import CAPTION_FILES
    from gankit.data.catalogue import About, DataOptions, Remote, cache_folder, fetched
    from gankit.data.choice import chosen
    from gankit.data.dataset import (
        Dataset,
        ImageSet,
        check_eight_bits,
        check_pictures,
        check_split,
        frame,
        image_set,
        pixel_set,
        unpaired_set,
    )
    from gankit.data.decoding import Frame
    from gankit.data.download import download
    from gankit.data.labels import in_order, labels_file, labels_in
    from gankit.data.order import Order
    from gankit.data.sources import Pictures, Pixels, Unpacked
    from gankit.data.tree import Tree, is_run
    from gankit.data.unpacking import Bounded, checked_shape, most_bytes, npz_array, npz_member, plain_file

__getattr__ = lazy(
    __name__,
    {
        "captions": ("CAPTION_FILES",),
        "catalogue": (
            "About",
            "DataOptions",
            "Remote",
            "cache_folder",
            "fetched",
        ),
        "choice": ("chosen",),
        "dataset": (
            "Dataset",
            "ImageSet",
            "check_pictures",
            "check_eight_bits",
            "check_split",
            "frame",
            "image_set",
            "pixel_set",
            "unpaired_set",
        ),
        "decoding": ("Frame",),
        "download": ("download",),
        "labels": ("in_order", "labels_file", "labels_in"),
        "order": ("Order",),
        "sources": (
            "Pictures",
            "Pixels",
            "Unpacked",
        ),
        "tree": ("Tree", "is_run"),
        "unpacking": ("Bounded", "checked_shape", "most_bytes", "npz_array", "npz_member", "plain_file"),
    },
)

__all__ = [
    "CAPTION_FILES",
    "About",
    "Bounded",
    "DataOptions",
    "Dataset",
    "Frame",
    "ImageSet",
    "Order",
    "Pictures",
    "Pixels",
    "Remote",
    "Tree",
    "Unpacked",
    "cache_folder",
    "check_eight_bits",
    "check_pictures",
    "check_split",
    "checked_shape",
    "chosen",
    "download",
    "fetched",
    "frame",
    "image_set",
    "in_order",
    "is_run",
    "labels_file",
    "labels_in",
    "most_bytes",
    "npz_array",
    "npz_member",
    "pixel_set",
    "plain_file",
    "unpaired_set",
]
