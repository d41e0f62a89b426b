"""The network family of Huang et al. 2024, arXiv:2501.05441, section 4, made small enough for 28 to 64 pixels.

Residual blocks without norm. A block widens by a 1x1 convolution, looks around by a grouped 3x3 one and comes back by a
1x1 one whose weights are at first 0, so each starts as the identity; the others' are scaled by the number of blocks
(Zhang et al. 2019, arXiv:1901.09321). Sizes change by bilinear interpolation, at half the size the mean of 2x2.
One block at each size where the paper has two; tanh at the end, since images are in [-1, 1].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from gankit import Architecture, Discriminator, Generator, Spec
from gankit.cpu import Conv2d
from gankit.models import NetworkOptions, OwnInitial, doublings, drop, needs_bias

EXPANSION = 2
GROUP = 16  # feature maps in a group of the 3x3 convolution
GAIN = math.sqrt(2 / (1 + 0.2**2))  # He et al. 2015, for LeakyReLU 0.2


class R3GANArchitecture(Architecture):
    """Widths double from the full size to the smallest maps, up to eight times the base, as ``dcgan``'s do."""

    def generator(self, inputs: int, spec: Spec, options: NetworkOptions) -> Generator:
        return ResidualGenerator(inputs, spec, options)

    def discriminator(
        self, spec: Spec, options: NetworkOptions, *, outputs: int = 1, extra_channels: int = 0, extra_features: int = 0
    ) -> Discriminator:
        base, k = doublings(spec.sides, "r3gan")
        widths = [options.ndf * min(8, 1 << i) for i in range(k + 1)]
        spectral, bias = options.discriminator_norm == "spectral", needs_bias("none", options.bias)
        layers: list[nn.Module] = [conv(spec.channels + extra_channels, widths[0], 1, spectral=spectral)]
        for i, width in enumerate(widths):
            layers.append(Residual(width, len(widths), bias=bias, spectral=spectral))
            if i < k:
                layers.append(nn.AvgPool2d(2))
                layers += [conv(width, widths[i + 1], 1, spectral=spectral)] if widths[i + 1] != width else []
        layers += [conv(widths[-1], widths[-1], base, groups=widths[-1], padding=0, spectral=spectral), nn.Flatten()]
        return Discriminator(OwnInitial(*layers), widths[-1], options, outputs=outputs, extra_features=extra_features)


class ResidualGenerator(Generator):
    """z -> a learned basis of the smallest maps, each times a number -> blocks, k times doubled -> tanh."""

    def __init__(self, inputs: int, spec: Spec, options: NetworkOptions) -> None:
        super().__init__()
        self.base, k = doublings(spec.sides, "r3gan")
        widths = [options.ngf * min(8, 1 << i) for i in reversed(range(k + 1))]
        self.rate, bias = options.dropout, needs_bias("none", options.bias)
        self.basis = nn.Parameter(torch.randn(widths[0], *self.base))
        project = nn.Linear(inputs, widths[0], bias=False)
        nn.init.normal_(project.weight, 0, inputs**-0.5)
        self.project = OwnInitial(project)
        self.blocks = nn.ModuleList([OwnInitial(Residual(widths[0], k + 1, bias=bias))])
        for before, width in itertools.pairwise(widths):
            wider = [conv(before, width, 1)] if before != width else []
            doubled = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
            # A 1x1 convolution and an interpolation commute; before it, it has a quarter of the pixels.
            self.blocks.append(OwnInitial(*wider, doubled, Residual(width, k + 1, bias=bias)))
        self.image = OwnInitial(conv(widths[-1], spec.channels, 1))
        if options.dropout:
            rows, columns = self.base
            self.mask_shapes = tuple((width, rows << i, columns << i) for i, width in enumerate(widths))

    def forward(self, z: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        h: Tensor = self.project(z)[:, :, None, None] * self.basis
        for i, block in enumerate(self.blocks):
            h = drop(block(h), masks[i] if self.rate else None, self.rate)
        return F.tanh(self.image(h))


class Residual(nn.Module):
    """[n, width, h, w] -> the same: x + what the branch makes of it, one of ``depth`` in a network."""

    def __init__(self, width: int, depth: int, *, bias: bool, spectral: bool = False) -> None:
        super().__init__()
        wide = EXPANSION * width
        groups = wide // GROUP if wide % GROUP == 0 else 1
        gain = GAIN * depth**-0.25  # three layers in a branch: depth^(-1 / (2 * 3 - 2))
        self.branch = nn.Sequential(
            conv(width, wide, 1, gain=gain, bias=bias, spectral=spectral),
            nn.LeakyReLU(0.2, inplace=True),
            conv(wide, wide, 3, gain=gain, groups=groups, bias=bias, spectral=spectral),
            nn.LeakyReLU(0.2, inplace=True),
            # Spectral norm divides by the weights' size, so there a branch begins at full size instead of 0.
            conv(wide, width, 1, gain=1.0 if spectral else 0.0, spectral=spectral),
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.branch(x)
        return found


def conv(
    before: int, after: int, size: int | tuple[int, int], *, gain: float = 1.0, groups: int = 1,
    padding: int | None = None, bias: bool = False, spectral: bool = False,
) -> nn.Module:  # fmt: skip
    """A convolution that keeps the size unless ``padding`` says otherwise; weights N(0, gain^2 / inputs), bias 0."""
    around = (size // 2 if isinstance(size, int) else 0) if padding is None else padding
    made = Conv2d(before, after, size, padding=around, groups=groups, bias=bias)
    nn.init.normal_(made.weight, 0, gain / math.sqrt(made.weight[0].numel()))
    if made.bias is not None:
        nn.init.zeros_(made.bias)
    return spectral_norm(made) if spectral else made
