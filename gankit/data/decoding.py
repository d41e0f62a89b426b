"""One image file to the pixels of a training image. Imports no PyTorch: the processes that decode run this."""

from __future__ import annotations

import hashlib
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNREADABLE = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
    RuntimeError, struct.error, zlib.error, zipfile.BadZipFile, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for a file that is no whole image. Its readers of rarer formats trip over damage in many ways."""

Source = str | Path | BinaryIO | Image.Image


@dataclass(frozen=True)
class Frame:
    """What images are brought to: ``size`` x ``size`` pixels, grey (1 channel) or in colour (3).

    ``fit`` says how others become square: the middle cropped, black bars added, or stretched. With ``crop`` only the
    middle square of so many pixels of the original is taken.
    """

    size: int
    channels: int
    fit: str = "crop"
    crop: int | None = None


def framed(source: Source, frame: Frame) -> NDArray[np.uint8]:
    """The first picture in ``source`` as uint8 [size, size, channels]. Raises one of UNREADABLE.

    A JPEG is decoded at a half, a quarter or an eighth of its size where that is enough (Pillow's draft mode).
    """
    with _opened(source) as image:
        width, height = image.size
        scale = max(1, _used(width, height, frame) // frame.size)
        image.draft("L" if frame.channels == 1 else "RGB", (max(1, width // scale), max(1, height // scale)))
        ratio = image.size[0] / width
        image = square(plain(image, frame.channels), frame, ratio)
        return np.asarray(image).reshape(frame.size, frame.size, frame.channels)


def digest(image: NDArray[np.uint8]) -> str:
    """What tells a finished image [C,S,S] from others: of its sha256 the first 16 bytes."""
    return hashlib.sha256(image.data).hexdigest()[:32]


def decoded(source: Source, channels: int) -> Image.Image:
    """The first picture in ``source`` in its own size, in mode L or RGB. Raises one of UNREADABLE."""
    with unwarned(), _opened(source) as image:
        image.load()
        return plain(image, channels)


def _opened(source: Source) -> AbstractContextManager[Image.Image]:
    return nullcontext(source) if isinstance(source, Image.Image) else Image.open(source)


@contextmanager
def unwarned() -> Iterator[None]:
    """Keep to ourselves what Pillow warns of: odd files, pictures of over 89 million pixels. Twice that it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def plain(image: Image.Image, channels: int) -> Image.Image:
    """``image`` grey (mode L) or in colour (RGB): turned as its EXIF says, transparent parts on black, 8 bits each."""
    with suppress(*UNREADABLE):  # broken EXIF: as it lies; broken pixels fail again below
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Grey of 16 or 32 bits scaled to 8, rounded to the nearest.

    16 bits are known from the format. Numbers of 32 bits have no agreed range: they are taken for the narrowest of
    [0, 1] (floats only), [0, 255] and [0, 65535] that holds them all.
    """
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    top = 65535.0
    if not (image.mode.startswith("I;16") or image.format in ("PNG", "PPM")):
        largest = values.max(initial=0)
        tops = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        top = next((top for top in tops if largest <= top), 65535.0)
    return np.asarray(np.rint(values.clip(0, top) * (255 / top)), np.uint8)


def _used(width: int, height: int, frame: Frame) -> int:
    """The pixels along the side of the original that will be ``frame.size`` pixels."""
    if frame.fit == "pad":
        return max(width, height)
    return min(width, height, frame.crop or width)


def square(image: Image.Image, frame: Frame, ratio: float = 1.0) -> Image.Image:
    """``image`` as size x size, resized with a Lanczos filter. ``ratio``: its size over the original's."""
    size, (width, height) = frame.size, image.size
    if frame.fit == "pad" and width != height:
        return _padded(image, size)
    left, top, right, bottom = 0.0, 0.0, float(width), float(height)
    if frame.fit == "crop":
        side = min(width, height, frame.crop * ratio if frame.crop else width)
        # The corner lies on a whole pixel of the original, as if that had been cropped.
        left, top = ((edge - side) / ratio // 2 * ratio for edge in (width, height))
        right, bottom = min(width, left + side), min(height, top + side)
    box = (left, top, right, bottom)
    if (right - left, bottom - top) == (size, size) and left.is_integer() and top.is_integer():
        return image if image.size == (size, size) else image.crop(box)
    return image.resize((size, size), Image.Resampling.LANCZOS, box=box)


def _padded(image: Image.Image, size: int) -> Image.Image:
    """All of ``image`` in the middle of a black square."""
    width, height = (max(1, round(edge * size / max(image.size))) for edge in image.size)
    sheet = Image.new(image.mode, (size, size))
    sheet.paste(image.resize((width, height), Image.Resampling.LANCZOS), ((size - width) // 2, (size - height) // 2))
    return sheet
