"""Zhu et al. 2017, "Unpaired image-to-image translation", appendix 7.2; the generator is Johnson et al.'s (2016).

As in the published code instance norm has no weights of its own. The biases that the code keeps before it are left out,
because the norm subtracts them again; --bias on has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from gankit import Architecture, Discriminator, Generator, Spec, UsageError, option
from gankit.core.sides import as_size
from gankit.cpu import Conv2d, ConvTranspose2d
from gankit.models import NetworkOptions, drop, needs_bias, norm


@dataclass(frozen=True)
class ResnetOptions(NetworkOptions):
    """The options of this family, for the variants that translate images."""

    blocks: int | None = option(
        None, "residual blocks of a resnet generator; unset: 9 from 256 pixels up, else 6",
        low=1, high=100, group="Networks",
    )  # fmt: skip
    patch_layers: int | None = option(
        None, "strided layers of a patch discriminator: 3 judges patches of 70x70, 2 of 34x34, 1 of 16x16; "
        "unset: 3 from 64 pixels up, 2 from 32, else 1", low=1, high=8, group="Networks",
    )  # fmt: skip


class ResnetArchitecture(Architecture):
    """Residual blocks at a quarter of the size, and discriminators that judge overlapping patches."""

    def generator(self, inputs: int, spec: Spec, options: NetworkOptions) -> Generator:
        raise UsageError("--arch resnet maps images to images, not latents; it is for cyclegan; use dcgan or mlp")

    def translator(self, spec: Spec, options: NetworkOptions) -> Generator:
        return ResnetTranslator(spec, own(options))

    def discriminator(
        self, spec: Spec, options: NetworkOptions, *, outputs: int = 1, extra_channels: int = 0, extra_features: int = 0
    ) -> Discriminator:
        if outputs != 1 or extra_features:
            raise UsageError("--arch resnet judges patches: it has one score a patch, and no place to join features")
        return PatchDiscriminator(spec, extra_channels, own(options))


def own(options: NetworkOptions) -> ResnetOptions:
    """``options`` with this family's. UsageError for a variant that does not have them."""
    if not isinstance(options, ResnetOptions):
        raise UsageError("--arch resnet is for variants that translate images, such as cyclegan; use dcgan or mlp")
    return options


def normed(kind: str, channels: int) -> nn.Module:
    """The norm ``kind``, instance norm without weights."""
    return nn.InstanceNorm2d(channels) if kind == "instance" else norm(kind, channels)


class ResnetTranslator(Generator):
    """c7s1-64, d128, d256, R256 x blocks, u128, u64, c7s1-C in the paper's words, at ngf 64; images of any size."""

    any_size = True

    def __init__(self, spec: Spec, options: ResnetOptions) -> None:
        super().__init__()
        if any(side % 4 for side in spec.sides):
            near = as_size((max(4, spec.size // 4 * 4), max(4, spec.width // 4 * 4)))
            raise UsageError(f"--size {as_size(spec.sides)} is not divisible by 4, as --arch resnet needs; use {near}")
        width, kind, self.rate = options.ngf, options.generator_norm, options.dropout
        bias = needs_bias(kind, options.bias)

        def stage(conv: nn.Module, channels: int) -> list[nn.Module]:
            return [conv, normed(kind, channels), nn.ReLU(inplace=True)]

        self.down = nn.Sequential(
            nn.ReflectionPad2d(3),
            *stage(Conv2d(spec.channels, width, 7, bias=bias, last=False), width),
            *stage(Conv2d(width, 2 * width, 3, 2, 1, bias=bias, last=False), 2 * width),
            *stage(Conv2d(2 * width, 4 * width, 3, 2, 1, bias=bias, last=False), 4 * width),
        )
        count = options.blocks or (9 if min(spec.sides) >= 256 else 6)
        self.blocks = nn.ModuleList([ResidualBlock(4 * width, kind, self.rate, bias) for _ in range(count)])
        self.up = nn.Sequential(
            *stage(ConvTranspose2d(4 * width, 2 * width, 3, 2, 1, output_padding=1, bias=bias, last=False), 2 * width),
            *stage(ConvTranspose2d(2 * width, width, 3, 2, 1, output_padding=1, bias=bias, last=False), width),
            nn.ReflectionPad2d(3),
            Conv2d(width, spec.channels, 7, bias=needs_bias("none", options.bias), last=False),
        )
        self.width = 4 * width
        self.mask_shapes = self.mask_shapes_at(*spec.sides)

    def mask_shapes_at(self, height: int, width: int) -> tuple[tuple[int, ...], ...]:
        quarters = (padded_size(height) // 4, padded_size(width) // 4)
        return tuple((self.width, *quarters) for _ in self.blocks) if self.rate else ()

    def forward(self, z: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        height, width = z.shape[2:]
        h = self.down(padded(z))
        for i, block in enumerate(self.blocks):
            h = block(h, masks[i] if self.rate else None)
        return F.tanh(self.up(h))[:, :, :height, :width]


class ResidualBlock(nn.Module):
    """x + conv(norm(relu(conv x))); dropout, where asked for, between the two, as in the published code."""

    def __init__(self, channels: int, kind: str, rate: float, bias: bool) -> None:
        super().__init__()
        self.rate = rate
        conv = [nn.ReflectionPad2d(1), Conv2d(channels, channels, 3, bias=bias, last=False), normed(kind, channels)]
        self.first = nn.Sequential(*conv, nn.ReLU(inplace=True))
        self.second = nn.Sequential(
            nn.ReflectionPad2d(1), Conv2d(channels, channels, 3, bias=bias, last=False), normed(kind, channels)
        )

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        change: Tensor = self.second(drop(self.first(x), mask, self.rate))
        return x + change


def padded_size(side: int) -> int:
    """The next multiple of 4, and at least the 8 pixels that the reflections inside need."""
    return max(8, -(-side // 4) * 4)


def padded(images: Tensor) -> Tensor:
    """``images`` grown at the right and bottom to a ``padded_size``, by reflection where they are large enough."""
    height, width = images.shape[2:]
    right, below = padded_size(width) - width, padded_size(height) - height
    if not right and not below:
        return images
    return F.pad(images, (0, right, 0, below), "reflect" if right < width and below < height else "replicate")


class PatchDiscriminator(Discriminator):
    """Images [n,C,H,W] -> scores [n,h,w], one for each patch; C64-C128-C256-C512 in the paper's words, at ndf 64."""

    def __init__(self, spec: Spec, extra_channels: int, options: ResnetOptions) -> None:
        short = min(spec.sides)
        auto = 3 if short >= 64 else 2 if short >= 32 else 1
        count, kind = options.patch_layers or auto, options.discriminator_norm
        if short >> count < 3:
            raise UsageError(f"--patch-layers {count}: images of {short} pixels are too small for it; take fewer")
        layers: list[nn.Module] = []
        before = spec.channels + extra_channels
        for i in range(count + 1):
            width = options.ndf * min(8, 1 << i)
            mine = kind if i else "none"
            conv: nn.Module = Conv2d(before, width, 4, 2 if i < count else 1, 1, bias=needs_bias(mine, options.bias))
            conv = spectral_norm(conv) if kind == "spectral" else conv
            layers += [conv, normed(mine, width), nn.LeakyReLU(0.2, inplace=True)]
            before = width
        super().__init__(nn.Sequential(*layers), before, options)
        head: nn.Module = Conv2d(before, 1, 4, 1, 1, bias=needs_bias("none", options.bias), last=False)
        self.head = spectral_norm(head) if kind == "spectral" else head  # type: ignore[assignment]

    def forward(self, x: Tensor, extra: Tensor | None = None) -> Tensor:
        scores: Tensor = self.head(self.trunk(x))
        return scores.squeeze(1)
