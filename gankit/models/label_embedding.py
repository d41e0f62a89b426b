"""Labels as numbers that networks can take: four kinds, any of which any conditional variant may use.

A label is a class, int64, or shares of each class, floating, for what lies between classes: every kind is linear in
the shares up to its first layer, so half of two classes is half of what each gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gankit.core.errors import UsageError
from gankit.core.options import option
from gankit.core.rng import RandomStream
from gankit.core.types import Spec

KINDS = ("onehot", "embedding", "text", "projection")
TEXT_LAYER = 256
GRAM = 3


@dataclass(frozen=True)
class LabelOptions:
    """How a label is given to a network."""

    conditioning: str = option(
        "onehot", "what a label is as numbers: one-hot, a learned embedding, its class's name as a text vector, or an "
        "embedding for G and a projection of D's features", choices=KINDS, group="Conditioning",
    )  # fmt: skip
    embedding_width: int = option(
        50, "width of --conditioning embedding, and of G's with projection", low=1, high=65536, group="Conditioning"
    )
    embedding_scale: str = option(
        "unit", "length of --conditioning embedding beside z: about 1, as a one-hot vector's, or none: its numbers are "
        "N(0, 1) at first, as z's", choices=("unit", "none"), group="Conditioning", later=True,
    )  # fmt: skip
    text_width: int = option(119, "width of --conditioning text", low=1, high=65536, group="Conditioning")
    captions: str | None = option(
        None, "file with a text or a vector of --text-width numbers for each class, for --conditioning text: .csv of "
        "NAME,TEXT or NAME,NUMBER,... or .npy [classes, width]; unset: captions.csv or .npy beside the pictures, else "
        "the classes' names", group="Conditioning", later=True,
    )  # fmt: skip


class LabelEmbedding(nn.Module):
    """Shares of each class [n, classes] -> [n, width]."""

    width: int

    def forward(self, shares: Tensor) -> Tensor:
        raise NotImplementedError


class OneHot(LabelEmbedding):
    """The shares themselves."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.width = classes

    def forward(self, shares: Tensor) -> Tensor:
        return shares


class Embedding(LabelEmbedding):
    """A learned vector for each class, at first N(0, 1), times ``scale``."""

    def __init__(self, classes: int, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.width, self.scale = width, scale
        self.weight = nn.Parameter(torch.randn(classes, width))

    def forward(self, shares: Tensor) -> Tensor:
        return shares @ self.weight * self.scale


class Projection(LabelEmbedding):
    """V of D(x, y) = head(h) + <V y, h>, a learned vector for each class as wide as D's features h, in a layer that
    spectral norm can hold (Miyato & Koyama 2018, eq. 3).
    """

    def __init__(self, classes: int, width: int, *, spectral: bool) -> None:
        super().__init__()
        self.width = width
        self.layer = nn.Linear(classes, width, bias=False)
        if spectral:
            spectral_norm(self.layer)

    def forward(self, shares: Tensor) -> Tensor:
        found: Tensor = self.layer(shares)
        return found


class Text(LabelEmbedding):
    """The vector of each class's caption, or the text vector of it -> Linear 256 -> ReLU (Reed et al. 2016, 4.1)."""

    table: Tensor

    def __init__(self, captions: Sequence[str | Sequence[float]], width: int) -> None:
        """UsageError where a caption is a vector of another ``width``."""
        super().__init__()
        self.width = TEXT_LAYER
        # Made of the captions each time, so a checkpoint need not hold it: config.json does.
        vectors = [text_vector(each, width) if isinstance(each, str) else torch.tensor(each) for each in captions]
        if wrong := [len(vector) for vector in vectors if len(vector) != width]:
            raise UsageError(
                f"--text-width {width}: the captions have {wrong[0]} numbers; pass --text-width {wrong[0]}"
            )
        self.register_buffer("table", torch.stack(vectors), persistent=False)
        self.hidden = nn.Sequential(nn.Linear(width, TEXT_LAYER), nn.ReLU(inplace=True))

    def forward(self, shares: Tensor) -> Tensor:
        found: Tensor = self.hidden(shares @ self.table)
        return found


def text_vector(text: str, width: int) -> Tensor:
    """``text`` as a vector [width] of variance about 1: the sum of one random vector for each three letters in a row.

    A stand-in for embedded captions, which --captions takes: texts that share letters are alike, and nothing is
    known of what they mean. A function of the text alone, upper and lower case being the same.
    """
    padded = f" {text.lower().strip()} "
    grams = [padded[i : i + GRAM] for i in range(max(1, len(padded) - GRAM + 1))]
    return torch.stack([RandomStream("text", gram).normal(width) for gram in grams]).sum(0) / math.sqrt(len(grams))


def label_embedding(options: LabelOptions, spec: Spec, *, beside_latent: bool = False) -> LabelEmbedding:
    """The network's embedding of the labels of ``spec``, of the kind that ``options`` ask for.

    ``beside_latent``: it is joined to z. There an embedding is about as long as a one-hot vector, 1. It is the same for
    every image of a class, so Adam moves all its weights together, and at the length of z they would outgrow z's share
    of the first layer within a hundred steps: one image for all latents of a class. --embedding-scale none has
    it so all the same, as published networks do.
    """
    match options.conditioning:
        case "embedding" | "projection":
            width, short = options.embedding_width, beside_latent and options.embedding_scale == "unit"
            return Embedding(spec.classes, width, 1 / math.sqrt(width) if short else 1.0)
        case "text":
            names = spec.names or tuple(f"class {i}" for i in range(spec.classes))
            return Text(spec.captions or names, options.text_width)
    return OneHot(spec.classes)


def labels_like(counts: Sequence[int], n: int, draws: RandomStream) -> Tensor:
    """Classes, int64 [n], each as likely as it is frequent in ``counts``."""
    ends = torch.tensor(counts).cumsum(0)
    return torch.searchsorted(ends, draws.integers(int(ends[-1]), n), right=True)


def shares(labels: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Labels int64 [n] as shares of each class, one-hot [n, classes]; what is floating holds shares already."""
    if labels.is_floating_point():
        return labels.to(dtype)
    # F.one_hot would read the largest label back from the device.
    return (labels[:, None] == torch.arange(classes, device=labels.device)).to(dtype)


def planes(label: Tensor, images: Tensor) -> Tensor:
    """``images`` [n,C,H,W] with ``label`` [n, k] beside them as k more channels, each constant."""
    height, width = images.shape[2:]
    constant = label.to(images.dtype)[:, :, None, None].expand(-1, -1, height, width)
    return torch.cat([images, constant], 1)


def check_labelled(spec: Spec) -> None:
    """UsageError where the images of ``spec`` have no labels to be conditioned on."""
    if not spec.classes:
        raise UsageError(
            "a conditional variant needs labelled images, and these have no classes: use --data shapes or "
            "fashion-mnist, folder:PATH with a folder for each class, or in a program ImageSet(images, labels, classes)"
        )
