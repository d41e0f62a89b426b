"""Fully connected networks, as in Goodfellow et al. 2014 and the tutorials that repeat it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from gankit import Architecture, Discriminator, Generator, Spec
from gankit.models import NetworkOptions, drop, flat, needs_bias, norm


class MLPArchitecture(Architecture):
    """Generator 128-256-512-1024-pixels, discriminator 512-256-1 at the default widths of 64."""

    def generator(self, inputs: int, spec: Spec, options: NetworkOptions) -> Generator:
        return MLPGenerator(inputs, spec, options)

    def discriminator(
        self, spec: Spec, options: NetworkOptions, *, outputs: int = 1, extra_channels: int = 0, extra_features: int = 0
    ) -> Discriminator:
        layers: list[nn.Module] = [nn.Flatten()]
        before = (spec.channels + extra_channels) * math.prod(spec.sides)
        for i, width in enumerate((8 * options.ndf, 4 * options.ndf)):
            kind = flat(options.discriminator_norm) if i else "none"
            linear = nn.Linear(before, width, bias=needs_bias(kind, options.bias))
            layers += [
                spectral_norm(linear) if options.discriminator_norm == "spectral" else linear,
                norm(kind, width),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            before = width
        return Discriminator(nn.Sequential(*layers), before, options, outputs=outputs, extra_features=extra_features)


class MLPGenerator(Generator):
    """z -> four hidden layers, norm after all but the first, LeakyReLU 0.2 -> tanh."""

    def __init__(self, inputs: int, spec: Spec, options: NetworkOptions) -> None:
        super().__init__()
        widths = [options.ngf * multiple for multiple in (2, 4, 8, 16)]
        self.rate, self.shape = options.dropout, spec.shape
        self.blocks = nn.ModuleList()
        before = inputs
        for i, width in enumerate(widths):
            kind = flat(options.generator_norm) if i else "none"
            linear = nn.Linear(before, width, bias=needs_bias(kind, options.bias))
            self.blocks.append(nn.Sequential(linear, norm(kind, width), nn.LeakyReLU(0.2, inplace=True)))
            before = width
        self.image = nn.Linear(before, math.prod(spec.shape), bias=needs_bias("none", options.bias))
        if options.dropout:
            self.mask_shapes = tuple((width,) for width in widths)

    def forward(self, z: Tensor, masks: Sequence[Tensor] = ()) -> Tensor:
        h = z
        for i, block in enumerate(self.blocks):
            h = drop(block(h), masks[i] if self.rate else None, self.rate)
        return F.tanh(self.image(h)).view(-1, *self.shape)
