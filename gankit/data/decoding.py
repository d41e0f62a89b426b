"""One image file to the pixels of a training image. Imports no PyTorch: the processes that decode run this."""

from __future__ import annotations

import hashlib
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache
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

FORMATS = (
    "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "DIB", "DDS", "FITS", "ICO", "IM", "MSP", "PCX",
    "PSD", "QOI", "SGI", "SUN", "TGA", "XBM", "XPM", "AVIF",
)  # fmt: skip
"""The formats that are opened, whatever a file is called. Others that Pillow knows run programs (EPS, PDF, WMF), hold
films, or only describe another file.
"""

Source = str | Path | BinaryIO | Image.Image
Range = tuple[float, float]
SIXTEEN, THIRTY_TWO, FLOAT = "16-bit", "32-bit", "float"
"""The kinds of pictures with more than eight bits a value."""


@cache
def endings() -> frozenset[str]:
    """The endings, as ".png", of the pictures that are read: what Pillow's registry has for ``FORMATS`` and for MPO,
    which it opens as a JPEG.
    """
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in (*FORMATS, "MPO"))


@dataclass(frozen=True)
class Frame:
    """What images are brought to: ``size`` pixels, 64 or "96x160" (height, width), grey (1 channel) or in colour (3).

    ``fit`` says how pictures of another shape come to that: the middle cropped, black bars added, or stretched. With
    ``crop`` only the middle square of so many pixels of the original is taken. ``range``: the values of more than eight
    bits that become 0 and 255, one rule for a whole set of images.
    """

    size: int | str
    channels: int
    fit: str = "crop"
    crop: int | None = None
    range: Range | None = field(default=None, repr=False)  # by its repr prepared images are known of old

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what comes of it."""
        return (self.channels, *sides(self.size))


def framed(source: Source, frame: Frame, look: Callable[[Image.Image], None] | None = None) -> NDArray[np.uint8]:
    """The first picture in ``source`` as uint8 [height, width, channels]. Raises one of UNREADABLE. ``look`` is shown
    the picture as it lies there.

    A JPEG is decoded at a half, a quarter or an eighth of its size where that is enough (Pillow's draft mode).
    """
    with _opened(source) as image:
        if look is not None:
            look(image)
        width, height = image.size
        # EXIF, which is read later, may turn the picture; a square frame asks the same of both ways.
        scale = max(1, min(_shrinks(width, height, frame), _shrinks(height, width, frame)))
        image.draft("L" if frame.channels == 1 else "RGB", (max(1, width // scale), max(1, height // scale)))
        ratio = image.size[0] / width
        image = fitted(plain(image, frame.channels, frame.range), frame, ratio)
        return np.asarray(image).reshape(*sides(frame.size), frame.channels)


def digest(image: NDArray[np.uint8]) -> str:
    """What tells a finished image [C,H,W] from others: of its sha256 the first 16 bytes."""
    return hashlib.sha256(image.data).hexdigest()[:32]


def decoded(source: Source, channels: int, values: Range | None = None) -> Image.Image:
    """The first picture in ``source`` in its own size, in mode L or RGB. ``values``: as ``Frame.range``. Raises one of
    UNREADABLE.
    """
    with unwarned(), _opened(source) as image:
        image.load()
        return plain(image, channels, values)


def _opened(source: Source) -> AbstractContextManager[Image.Image]:
    return nullcontext(source) if isinstance(source, Image.Image) else Image.open(source, formats=FORMATS)


@contextmanager
def unwarned() -> Iterator[None]:
    """Keep to ourselves what Pillow warns of: odd files, pictures of over 89 million pixels. Twice that it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def plain(image: Image.Image, channels: int, values: Range | None = None) -> Image.Image:
    """``image`` grey (mode L) or in colour (RGB): turned as its EXIF says, transparent parts on black, 8 bits each.
    ``values``: as ``Frame.range``.
    """
    with suppress(*UNREADABLE):  # broken EXIF: as it lies; broken pixels fail again below
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_eight_bits(image, values))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bits(image: Image.Image, given: Range | None) -> NDArray[np.uint8]:
    """Grey of 16 or 32 bits scaled to 8, rounded to the nearest; what lies outside the range is clipped.

    A picture alone tells nothing of a set's range: without one, floats go from 0 to 1 and whole numbers to 65535.
    """
    low, high = given or ((0.0, 1.0) if image.mode == "F" else (0.0, 65535.0))
    values = np.asarray(image)
    found = np.empty(values.shape, np.uint8)
    for rows in _strips(values):  # each number takes 32 bytes on its way
        some = np.nan_to_num(values[rows].astype(np.float64), nan=low, posinf=high, neginf=low)
        found[rows] = np.rint((some.clip(low, high) - low) * (255 / (high - low)))
    return found


def _strips(values: NDArray[np.generic]) -> Iterator[slice]:
    """Rows of a picture of about a million numbers each."""
    rows = max(1, (1 << 20) // max(1, values[0].size if len(values) else 1))
    return (slice(first, first + rows) for first in range(0, len(values), rows))


def depth(image: Image.Image) -> str | None:
    """Of what kind the values of ``image`` are: 16-bit, 32-bit or float; None for eight bits."""
    if image.mode == "F":
        return FLOAT
    if not image.mode.startswith("I"):
        return None
    return SIXTEEN if image.mode.startswith("I;16") or image.format in ("PNG", "PPM") else THIRTY_TWO


def extent(image: Image.Image) -> Range | None:
    """The least and the greatest value in ``image``; None where none is a number."""
    values = np.asarray(image)
    strips = (values[rows][np.isfinite(values[rows])] for rows in _strips(values))
    ends = [(float(some.min()), float(some.max())) for some in strips if some.size]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


def is_grey(image: Image.Image) -> bool:
    """Whether ``image`` is grey as it lies there, by its mode or its palette."""
    if image.mode in ("P", "PA") and image.palette is not None:
        colours = image.getpalette("RGB") or []
        return colours[0::3] == colours[1::3] == colours[2::3]
    return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")


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
