"""What extractors with published weights share."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from gankit import UsageError


def load_weights(net: nn.Module, path: Path, published: str) -> str:
    """Fill ``net`` from the state_dict in ``path``, which must hold exactly its tensors. Returns the file's sha256.

    UsageError where it does not, naming ``published``, the file that does.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            tensors = torch.load(file, map_location="cpu", weights_only=True)
        net.load_state_dict(tensors)
    except Exception as error:  # torch.load raises many kinds for a file that is no state_dict
        cause = str(error).splitlines()[0]
        raise UsageError(f"{path}: not the weights of {published} ({type(error).__name__}: {cause})") from error
    return digest


def rgb(images: Tensor) -> Tensor:
    """[n,C,H,W] with C of 1 or 3 -> [n,3,H,W]; grey becomes three equal channels. UsageError for another C."""
    if images.shape[1] not in (1, 3):
        raise UsageError(f"this extractor looks at grey or colour images, not at {images.shape[1]} channels")
    return images.expand(-1, 3, -1, -1)
