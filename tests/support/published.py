"""Data sets as they are published, written by tests, and read."""

from __future__ import annotations

import io
import zipfile

from PIL import Image

from gankit.data.catalogue import DataOptions
from gankit.registry import registry


def load(data, **options):
    options = DataOptions(data=data, **options)
    return registry().get("datasets", options.name)().load(options, 0)


def bmp(colour, size=(8, 8)):
    """A picture of one colour, as bytes that hold it exactly."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "BMP")
    return buffer.getvalue()


def jpeg(image):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=100, subsampling=0)
    return buffer.getvalue()


def write(root, files, as_zip=None):
    """Write {name: bytes} below folder ``root``, or into the zip ``as_zip`` in it; returns where."""
    if as_zip:
        with zipfile.ZipFile(root / as_zip, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return root / as_zip
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root
