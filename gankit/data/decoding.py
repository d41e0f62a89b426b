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

from gankit.core.sides import sides

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
    """What images are brought to: ``size`` pixels, 64 or "96x160" (height, width), grey (1 channel) or in colour (3).

    ``fit`` says how pictures of another shape come to that: the middle cropped, black bars added, or stretched. With
    ``crop`` only the middle square of so many pixels of the original is taken.
    """

    size: int | str
    channels: int
    fit: str = "crop"
    crop: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what comes of it."""
        return (self.channels, *sides(self.size))


def framed(source: Source, frame: Frame) -> NDArray[np.uint8]:
    """The first picture in ``source`` as uint8 [height, width, channels]. Raises one of UNREADABLE.

    A JPEG is decoded at a half, a quarter or an eighth of its size where that is enough (Pillow's draft mode).
    """
    with _opened(source) as image:
        width, height = image.size
        # EXIF, which is read later, may turn the picture; a square frame asks the same of both ways.
        scale = max(1, min(_shrinks(width, height, frame), _shrinks(height, width, frame)))
        image.draft("L" if frame.channels == 1 else "RGB", (max(1, width // scale), max(1, height // scale)))
        ratio = image.size[0] / width
        image = fitted(plain(image, frame.channels), frame, ratio)
        return np.asarray(image).reshape(*sides(frame.size), frame.channels)


def digest(image: NDArray[np.uint8]) -> str:
    """What tells a finished image [C,H,W] from others: of its sha256 the first 16 bytes."""
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


def _part(width: float, height: float, frame: Frame, ratio: float = 1.0) -> tuple[float, float]:
    """(width, height) of the part of a picture that ``frame`` takes: with fit "crop" the largest of its shape."""
    if frame.fit != "crop":
        return width, height
    rows, columns = sides(frame.size)
    if frame.crop:
        width, height = min(width, frame.crop * ratio), min(height, frame.crop * ratio)
    if rows == columns:  # by itself: the sums below would round
        return min(width, height), min(width, height)
    if width * rows > height * columns:
        return height * columns / rows, height
    return width, width * rows / columns


def _shrinks(width: int, height: int, frame: Frame) -> int:
    """By how many whole times the original is larger than what is made of it."""
    rows, columns = sides(frame.size)
    used_width, used_height = _part(width, height, frame)
    across, down = int(used_width // columns), int(used_height // rows)
    return max(across, down) if frame.fit == "pad" else min(across, down)


def fitted(image: Image.Image, frame: Frame, ratio: float = 1.0) -> Image.Image:
    """``image`` in the size of ``frame``, resized with a Lanczos filter. ``ratio``: its size over the original's."""
    rows, columns = sides(frame.size)
    if frame.fit == "pad" and image.width * rows != image.height * columns:
        return _padded(image, rows, columns)
    width, height = _part(image.width, image.height, frame, ratio)
    # The corner lies on a whole pixel of the original, as if that had been cropped.
    left = (image.width - width) / ratio // 2 * ratio
    top = (image.height - height) / ratio // 2 * ratio
    right, bottom = min(image.width, left + width), min(image.height, top + height)
    box = (left, top, right, bottom)
    if (right - left, bottom - top) == (columns, rows) and left.is_integer() and top.is_integer():
        return image if image.size == (columns, rows) else image.crop(box)
    return image.resize((columns, rows), Image.Resampling.LANCZOS, box=box)


def _padded(image: Image.Image, rows: int, columns: int) -> Image.Image:
    """All of ``image`` in the middle of ``rows`` x ``columns`` black pixels."""
    wide = image.width * rows > image.height * columns
    width = columns if wide else max(1, round(image.width * rows / image.height))
    height = max(1, round(image.height * columns / image.width)) if wide else rows
    sheet = Image.new(image.mode, (columns, rows))
    sheet.paste(image.resize((width, height), Image.Resampling.LANCZOS), ((columns - width) // 2, (rows - height) // 2))
    return sheet
