"""Files to pixels to batches. Names are imported when they are first used: the registry needs the catalogue alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gankit.core.lazy import lazy

if TYPE_CHECKING:
    from gankit.data.catalogue import About, DataOptions, Remote, cache_folder, fetched
    from gankit.data.dataset import Dataset, ImageSet, check_split, frame, image_set, pixel_set, unpaired_set
    from gankit.data.decoding import Frame
    from gankit.data.download import download
    from gankit.data.order import Order
    from gankit.data.sources import Pictures, Pixels, Tree, Unpacked

__getattr__ = lazy(
    __name__,
    {
        "catalogue": (
            "About",
            "DataOptions",
            "Remote",
            "cache_folder",
            "fetched",
        ),
        "dataset": (
            "Dataset",
            "ImageSet",
            "check_split",
            "frame",
            "image_set",
            "pixel_set",
            "unpaired_set",
        ),
        "decoding": ("Frame",),
        "download": ("download",),
        "order": ("Order",),
        "sources": (
            "Pictures",
            "Pixels",
            "Tree",
            "Unpacked",
        ),
    },
)

__all__ = [
    "About",
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
    "check_split",
    "download",
    "fetched",
    "frame",
    "image_set",
    "pixel_set",
    "unpaired_set",
]
