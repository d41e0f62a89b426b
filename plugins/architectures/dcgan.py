"""Radford, Metz & Chintala 2016, "Unsupervised representation learning with deep convolutional GANs", section 3."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from gankit import Architecture, Discriminator, Generator, Spec, UsageError
from gankit.cpu import ChannelsLast, Conv2d, ConvTranspose2d
from gankit.models import NetworkOptions, doublings, drop, needs_bias, norm


class DCGANArchitecture(Architecture):
    """Strided convolutions from few pixels to the full size and back; widths double up to eight times the base."""

    def generator(self, inputs: int, spec: Spec, options: NetworkOptions) -> Generator:
        return ConvGenerator(inputs, spec, options)

    def discriminator(
        self, spec: Spec, options: NetworkOptions, *, outputs: int = 1, extra_channels: int = 0, extra_features: int = 0
    ) -> Discriminator:
        (height, width), k = doublings(spec.sides)
        widths = [options.ndf * min(8, 1 << i) for i in range(k)]
        layers: list[nn.Module] = []
        channels = spec.channels + extra_channels
        kernel = options.discriminator_kernel or options.kernel
        for i, after in enumerate(widths):
            layers += down(channels, after, options, kernel, normed=i > 0)
            channels = after
        trunk = nn.Sequential(*layers, ChannelsLast(), nn.Flatten())
        return Discriminator(trunk, channels * height * width, options, outputs=outputs, extra_features=extra_features)


class ConvGenerator(Generator):
    """z -> linear to the smallest maps -> k times doubled. The linear layer is the paper's first transposed
    convolution, which on a 1 x 1 input is the same sum.
    """

    def __init__(self, inputs: int, spec: Spec, options: NetworkOptions) -> None:
        super().__init__()
        self.base, k = doublings(spec.sides)
        widths = [options.ngf * min(8, 1 << i) for i in reversed(range(k))]
        self.rate, (rows, columns) = options.dropout, self.base
        self.order = ChannelsLast()
        kind, bias = options.generator_norm, needs_bias(options.generator_norm, options.bias)
        features = widths[0] * rows * columns
        self.project = nn.Linear(inputs, features, bias=bias)
        apart = options.first_norm == "features"
        if apart and kind != "batch":
            raise UsageError(f"--first-norm features is a batch norm; --generator-norm {kind} takes none: use batch")
        self.first_norm = norm(kind, features) if apart else nn.Identity()
        first = [] if apart else [norm(kind, widths[0])]
        self.blocks = nn.ModuleList([nn.Sequential(*first, nn.ReLU(inplace=True))])
        for before, width in itertools.pairwise(widths):
            self.blocks.append(
                nn.Sequential(up(before, width, options, bias), norm(kind, width), nn.ReLU(inplace=True))
            )
        # Without a bias as in the published code.
        self.image = up(widths[-1], spec.channels, options, options.bias == "on")
        if options.dropout:
            self.mask_shapes = tuple((width, rows << i, columns << i) for i, width in enumerate(widths))

    def forward(self, z: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        h: Tensor = self.order(self.first_norm(self.project(z)).unflatten(1, (-1, *self.base)))
        for i, block in enumerate(self.blocks):
            h = drop(block(h), masks[i] if self.rate else None, self.rate)
        return F.tanh(self.image(h))


def up(before: int, after: int, options: NetworkOptions, bias: bool) -> nn.Module:
    """[n, before, h, w] -> [n, after, 2h, 2w]."""
    kernel = options.generator_kernel or options.kernel
    if options.upsample == "shuffle":
        size = kernel | 1  # an odd kernel, so that the size is kept
        return nn.Sequential(Conv2d(before, after * 4, size, padding=size // 2, bias=bias), nn.PixelShuffle(2))
    return ConvTranspose2d(before, after, kernel, 2, (kernel - 1) // 2, output_padding=kernel % 2, bias=bias)


def down(before: int, after: int, options: NetworkOptions, kernel: int, *, normed: bool) -> list[nn.Module]:
    """[n, before, h, w] -> [n, after, h/2, w/2]: convolution, norm where ``normed``, LeakyReLU 0.2."""
    kind = options.discriminator_norm if normed else "none"
    average = options.downsample == "average"
    size = kernel | 1 if average else kernel
    bias = needs_bias(kind, options.bias)
    conv: nn.Module = Conv2d(before, after, size, 1 if average else 2, (size - 1) // 2, bias=bias)
    if options.discriminator_norm == "spectral":
        conv = spectral_norm(conv)
    pool = [nn.AvgPool2d(2)] if average else []
    return [conv, *pool, norm(kind, after), nn.LeakyReLU(0.2, inplace=True)]
