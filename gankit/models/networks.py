"""What every architecture shares: its interface, its options, norms and weight initialisation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from gankit.core.errors import UsageError
from gankit.core.options import option
from gankit.core.rng import RandomStream
from gankit.core.sides import Sides, Size, as_size, sides
from gankit.core.torch_private import BatchNorm
from gankit.core.types import Spec

NORMS = ("none", "batch", "instance", "layer", "spectral")
BIASES = ("auto", "on", "off")
BIAS_HELP = "which layers have a bias: auto, all but those before a norm that subtracts it again; on, all; off, none"


@dataclass(frozen=True)
class NetworkOptions:
    """The options of the networks, shared by every adversarial variant."""

    arch: str = option("dcgan", "family of networks", registry="architectures", group="Networks")
    nz: int = option(100, "width of the latent z", low=1, high=65536, group="Networks")
    ngf: int = option(
        64, "width of the generator: feature maps of its last hidden layer", low=1, high=4096, group="Networks"
    )
    ndf: int = option(
        64, "width of the discriminator: feature maps of its first layer", low=1, high=4096, group="Networks"
    )
    generator_norm: str = option("batch", "norm in the generator", choices=NORMS[:-1], group="Networks")
    discriminator_norm: str = option(
        "batch", "norm in the discriminator or critic", choices=NORMS, aliases=("critic-norm",), group="Networks"
    )
    kernel: int = option(4, "width of the convolutions, 4 or 5", low=4, high=5, unit="pixels", group="Networks")
    generator_kernel: int | None = option(
        None, "width of the generator's convolutions; unset: --kernel",
        low=4, high=5, unit="pixels", group="Networks", later=True,
    )  # fmt: skip
    discriminator_kernel: int | None = option(
        None, "width of the discriminator's convolutions; unset: --kernel",
        low=4, high=5, unit="pixels", group="Networks", later=True,
    )  # fmt: skip
    first_norm: str = option(
        "maps", "norm after the first layer of a dcgan generator: of each map, or (batch norm alone) of each feature",
        choices=("maps", "features"), group="Networks", later=True,
    )  # fmt: skip
    joint_width: int | None = option(
        None, "width of the discriminator's hidden layer over its features and what is joined to them, a label say; "
        "0: no such layer, both go straight to the head; unset: 8 times --ndf",
        low=0, high=65536, group="Networks", later=True,
    )  # fmt: skip
    bias: str = option("auto", BIAS_HELP, choices=BIASES, group="Networks", later=True)
    upsample: str = option(
        "transposed", "how the generator doubles the size", choices=("transposed", "shuffle"), group="Networks"
    )
    downsample: str = option(
        "stride", "how the discriminator halves the size", choices=("stride", "average"), group="Networks"
    )
    dropout: float = option(
        0.0, "dropout in the generator, at training and at sampling alike", low=0, high=0.9, group="Networks"
    )
    init: str = option(
        "dcgan", "initial weights: N(0, 0.02), or PyTorch's own", choices=("dcgan", "default"), group="Networks"
    )


class Generator(nn.Module):
    """Latents [n, inputs], or images for a translator, -> images [n,C,H,W] in [-1, 1]."""

    mask_shapes: tuple[tuple[int, ...], ...] = ()
    """Shapes, without the batch, of the dropout masks that ``forward`` takes."""
    any_size: bool = False
    """Whether a translator takes images of other sizes than it was built for."""

    rate: float = 0.0
    """The dropout that the masks are drawn for."""

    def mask_shapes_at(self, height: int, width: int) -> tuple[tuple[int, ...], ...]:
        """The ``mask_shapes`` for images of another size."""
        return self.mask_shapes

    def masks(self, n: int, draws: RandomStream, size: Sequence[int] | None = None) -> list[Tensor]:
        """The dropout masks of ``n`` images, of another (height, width) where ``size`` is given."""
        shapes = self.mask_shapes if size is None else self.mask_shapes_at(*size)
        return [draws.bernoulli(1 - self.rate, n, *shape) for shape in shapes]

    def translated(self, images: Tensor, draws: RandomStream) -> Tensor:
        """What a translator makes of ``images`` [n,C,H,W] of any size it takes."""
        masks = self.masks(len(images), draws, images.shape[2:])
        made: Tensor = self(images, [mask.to(images.device) for mask in masks])
        return made

    def forward(self, z: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        raise NotImplementedError


class Discriminator(nn.Module):
    """Images [n,C,H,W] -> scores [n] (or [n, outputs]): a ``trunk`` to flat features, and a linear ``head``.

    ``extra`` features [n, F] are joined to the trunk's before a hidden layer ``joint``. Without one, as with
    --joint-width 0 and in some published networks, the score is a sum of what the image and what the extra features are
    worth, and nothing of whether they go together: its slope at the image, which is all that a generator sees, does not
    depend on them. Where it ``projects``, the extra features are as wide as the trunk's, and their inner product is
    added to the score instead (Miyato & Koyama 2018, arXiv:1802.05637, figure 1 d).
    """

    projects: bool = False

    def __init__(
        self, trunk: nn.Module, features: int, options: NetworkOptions, *, outputs: int = 1, extra_features: int = 0
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.features = features
        self.joint: nn.Module = nn.Identity()
        spectral, bias = options.discriminator_norm == "spectral", needs_bias("none", options.bias)
        width = 8 * options.ndf if options.joint_width is None else options.joint_width
        if extra_features and width:
            linear = nn.Linear(features + extra_features, width, bias=bias)
            self.joint = nn.Sequential(spectral_norm(linear) if spectral else linear, nn.LeakyReLU(0.2, inplace=True))
        before = width if extra_features and width else features + extra_features
        self.head = nn.Linear(before, outputs, bias=bias)
        if spectral:
            spectral_norm(self.head)

    def forward(self, x: Tensor, extra: Tensor | None = None) -> Tensor:
        """x: [n,C,H,W]; extra: [n, F] or None. Returns [n] for one output, else [n, outputs]."""
        h = self.trunk(x)
        if extra is not None and not self.projects:
            h = torch.cat([h, extra], 1)
        out: Tensor = self.head(self.joint(h))
        if extra is not None and self.projects:
            out = out + (h * extra).sum(1, keepdim=True)
        return out.squeeze(1) if out.shape[1] == 1 else out


class Architecture(ABC):
    """A family of networks; what a plugin registers with ``register_architectures``."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def generator(self, inputs: int, spec: Spec, options: NetworkOptions) -> Generator:
        """A generator from ``inputs`` numbers to images of ``spec``. UsageError where it cannot make that size."""

    @abstractmethod
    def discriminator(
        self, spec: Spec, options: NetworkOptions, *, outputs: int = 1, extra_channels: int = 0, extra_features: int = 0
    ) -> Discriminator:
        """A discriminator of images of ``spec``, with ``extra_channels`` more channels and ``extra_features`` joined to
        what it finds in the image.
        """

    def translator(self, spec: Spec, options: NetworkOptions) -> Generator:
        """A generator from images of ``spec`` to images of ``spec``; unless the family has its own, one whose latents
        are the flattened image.
        """
        return FlatTranslator(self.generator(math.prod(spec.shape), spec, options))


class FlatTranslator(Generator):
    """A generator of latents as a map of images [n,C,H,W] of the size it was built for."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator, self.mask_shapes, self.rate = generator, generator.mask_shapes, generator.rate

    def forward(self, z: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        images: Tensor = self.generator(z.flatten(1), masks)
        return images


def norm(kind: str, channels: int) -> nn.Module:
    """The normalisation layer ``kind`` for [n, channels, ...]; "none" and "spectral" add no layer."""
    match kind:
        case "batch":
            return AnyBatchNorm(channels)
        case "instance":
            return nn.GroupNorm(channels, channels)
        case "layer":
            return nn.GroupNorm(1, channels)
        case "none" | "spectral":
            return nn.Identity()
    raise UsageError(f"unknown norm '{kind}': one of {', '.join(NORMS)}")


def flat(kind: str) -> str:
    """The norm that ``kind`` is in a layer without pixels, where the statistics of each feature alone leave nothing."""
    return "layer" if kind == "instance" else kind


def needs_bias(kind: str, asked: str = "auto") -> bool:
    """Whether a layer followed by norm ``kind`` has a bias where --bias is ``asked``: "auto", unless the norm subtracts
    it again.
    """
    return kind not in ("batch", "instance") if asked == "auto" else asked == "on"


class AnyBatchNorm(BatchNorm):
    """Batch norm of [n, C] as well as [n, C, H, W]."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 -- PyTorch's name
        if input.dim() < 2:
            raise ValueError(f"batch norm takes [n, C, ...], not {tuple(input.shape)}")


def uses_batch_statistics(module: nn.Module) -> bool:
    """Whether a sample's output depends on the rest of its batch."""
    return any(isinstance(child, BatchNorm) for child in module.modules())


def forward_batched(
    net: nn.Module, images: Sequence[Tensor], more: Sequence[Tensor | Sequence[Tensor]] | None = None
) -> list[Tensor]:
    """What ``net`` makes of each of ``images``; ``more``: what else it takes with each of them, the dropout masks where
    it is a generator, the extra features where it is a discriminator.

    In one pass over all, but for batch norm: it makes what becomes of a sample depend on the rest of its batch. In the
    type of the images, which autocast would make narrower.
    """
    rest: list[tuple[Any, ...]] = [() if more is None else (more[i],) for i in range(len(images))]
    if len(images) == 1 or uses_batch_statistics(net):
        return [net(some, *its).to(some.dtype) for some, its in zip(images, rest, strict=True)]
    joined = () if more is None else (joined_parts(more),)
    made: Tensor = net(torch.cat(list(images)), *joined)
    return list(torch.split(made.to(images[0].dtype), [len(part) for part in images]))


def joined_parts(parts: Sequence[Tensor | Sequence[Tensor]]) -> Tensor | list[Tensor]:
    """``parts`` as one along the batch: tensors, or lists of tensors that are joined place by place."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) == len(parts):
        return torch.cat(tensors)
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]


def doublings(size: Size, arch: str = "dcgan") -> tuple[Sides, int]:
    """((height, width) of the smallest feature maps, k) with size = that * 2**k: the shorter side has 4 to 7 there.

    UsageError naming ``arch`` and the nearest sizes where there are none.
    """
    pixels, short = sides(size), min(sides(size))
    base, k = short, 0
    while base > 7 and base % 2 == 0:
        base, k = base // 2, k + 1
    if not (4 <= base <= 7 and k >= 1):
        known = sorted(b << i for b in range(4, 8) for i in range(1, 12))
        below = max((s for s in known if s < short), default=known[0])
        above = min((s for s in known if s > short), default=known[-1])
        near = [as_size((some, some) if pixels[0] == pixels[1] else _shaped(pixels, some)) for some in (below, above)]
        which = "" if pixels[0] == pixels[1] else "'s shorter side"
        raise UsageError(
            f"--size {as_size(pixels)}{which} is not b*2^k with b from 4 to 7, which --arch {arch} needs; "
            f"the nearest are {near[0]} and {near[1]}"
        )
    if max(pixels) % (1 << k):
        raise UsageError(
            f"--size {as_size(pixels)}: the longer side is not a multiple of {1 << k}, as --arch {arch} needs beside "
            f"{short}; the nearest is {as_size(_shaped(pixels, short))}"
        )
    return (pixels[0] >> k, pixels[1] >> k), k


def _shaped(pixels: Sides, short: int) -> Sides:
    """(height, width) nearest to the shape of ``pixels`` that has a shorter side of ``short`` pixels, one of
    ``doublings``, and a longer one that goes with it.
    """
    unit = 1
    while short // unit > 7:
        unit *= 2
    long = max(unit, round(max(pixels) * short / min(pixels) / unit) * unit)
    return (short, long) if pixels[0] < pixels[1] else (long, short)


class OwnInitial(nn.Sequential):
    """Layers in a row whose initial weights belong to their architecture, whatever --init asks for."""


def drop(h: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    """``h`` where ``mask`` is true, scaled by 1 / (1 - rate) to keep its mean, and 0 elsewhere."""
    return h if mask is None else h * (mask.to(h.dtype) * (1 / (1 - rate)))


@torch.no_grad()
def initialise(module: nn.Module, kind: str) -> None:
    """Set the initial weights of every layer in ``module``, from PyTorch's global generator: the trainer seeds it from
    the run's key while a model is built, and puts it back.

    "dcgan": convolutions and linear layers N(0, 0.02) with bias 0, norm weights N(1, 0.02) (Radford et al. 2016,
    section 4, and the published code). "default": PyTorch's own, as the layers were made. Either leaves alone what is
    within an ``OwnInitial``.
    """
    if kind == "default":
        return
    own = {layer for part in module.modules() if isinstance(part, OwnInitial) for layer in part.modules()}
    for layer in module.modules():
        if layer in own:
            continue
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            # Spectral norm computes the weight from another tensor; setting the result would change nothing.
            spectral = is_parametrized(layer, "weight")
            weight = layer.get_parameter("parametrizations.weight.original") if spectral else layer.weight
            nn.init.normal_(weight, 0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, BatchNorm | nn.GroupNorm):
            nn.init.normal_(layer.weight, 1, 0.02)
            nn.init.zeros_(layer.bias)
