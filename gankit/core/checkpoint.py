"""Checkpoints: tensors and plain values only, with a digest of their content."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gankit.core.errors import DamagedFile
from gankit.core.files import atomic_write

FORMAT = "gankit checkpoint 1"


def save(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write named ``tensors`` and the JSON values ``meta``, whole or not at all."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(meta, sort_keys=True)
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "digest": digest(flat, text), "meta": text, "tensors": flat}, buffer)
    atomic_write(path, buffer.getvalue())


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, meta) as saved, on the CPU. DamagedFile where the file is torn, altered or not gankit's."""
    try:
        raw = path.read_bytes()
        content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for a file that is damaged
        raise DamagedFile(f"{path}: not a readable checkpoint ({type(error).__name__})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DamagedFile(f"{path}: not a checkpoint of gankit ({FORMAT})")
    tensors, text = content["tensors"], content["meta"]
    if digest(tensors, text) != content["digest"]:
        raise DamagedFile(f"{path}: its content is not what was saved (the digest differs)")
    return tensors, json.loads(text)


def digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """sha256 over the names, types, shapes and bytes of ``tensors`` and over ``text``."""
    whole = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        whole.update(f"\x1f{name}:{tensor.dtype}:{tuple(tensor.shape)}\x1f".encode())
        whole.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """Nested mappings of tensors as one, the keys joined by "/"."""
    flat: dict[str, Tensor] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def under(flat: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with ``prefix``, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in flat.items() if name.startswith(prefix)}
