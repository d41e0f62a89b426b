"""What the autoencoders share: their options, the stacks of convolutions, optimizer and phase."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gankit.core.errors import UsageError
from gankit.core.options import option
from gankit.core.sides import Sides, Size
from gankit.core.types import Spec
from gankit.cpu import Conv2d, ConvTranspose2d
from gankit.models.interface import Encoder, OptimSpec, Phase
from gankit.models.networks import BIAS_HELP, BIASES, AnyBatchNorm, doublings, needs_bias

LAYERS = 4
"""Convolutions of an encoder, and transposed ones of a decoder before its last; as many as the size allows halve it."""
SLOPE = 0.01


@dataclass(frozen=True)
class AutoencoderOptions:
    """The options of every autoencoder; a variant's own defaults override these."""

    width: int = option(
        32, "feature maps of the encoder's first layer; they double", low=1, high=4096, group="Networks"
    )
    bias: str = option("auto", BIAS_HELP, choices=BIASES, group="Networks", later=True)
    lr: float = option(1e-3, "learning rate", above=0, high=10, group="Optimizers")
    beta1: float = option(0.9, "Adam's decay of the mean gradient", low=0, high=0.9999, group="Optimizers")
    beta2: float = option(0.999, "Adam's decay of the squared gradient", low=0, high=0.999999, group="Optimizers")
    optimizer: str = option("adam", "optimizer", choices=("adam", "rmsprop", "sgd"), group="Optimizers")
    weight_decay: float = option(0.0, "L2 penalty on the weights, in the gradient", low=0, high=1, group="Optimizers")


def strides(size: Size) -> tuple[Sides, list[int]]:
    """((height, width) of the smallest feature maps, stride of each of an encoder's layers) for images of ``size``, one
    of ``doublings``.

    As many of the layers halve the size as k allows, the first ones, and the rest keep it: all four at 64 (to 4x4) and
    128 (to 8x8), three at 32 (to 4x4), two at 28 (to 7x7). UsageError for other sizes.
    """
    (height, width), k = doublings(size)
    halvings = min(k, LAYERS)
    return (height << k - halvings, width << k - halvings), [2] * halvings + [1] * (LAYERS - halvings)


def convolutions(channels: int, widths: list[int], size: Size, bias: str = "auto") -> nn.Sequential:
    """[n, channels, *size] -> [n, widths[-1], h, w] with the (h, w) of ``strides``: 3x3, batch norm, LeakyReLU.

    ``bias``: --bias.
    """
    layers: list[nn.Module] = []
    biased = needs_bias("batch", bias)
    for width, stride in zip(widths, strides(size)[1], strict=True):
        layers += [Conv2d(channels, width, 3, stride, 1, bias=biased), AnyBatchNorm(width), nn.LeakyReLU(SLOPE)]
        channels = width
    return nn.Sequential(*layers)


def transposed(top: int, channels: int, size: Size, bias: str = "auto") -> nn.Sequential:
    """[n, top, h, w] -> [n, channels, *size], unbounded: 3x3 transposed convolutions to top/2, /4, /8 and /8
    channels that undo ``convolutions``, with batch norm and LeakyReLU, and one of stride 1 to the image.

    ``bias``: --bias.
    """
    layers: list[nn.Module] = []
    before, biased = top, needs_bias("batch", bias)
    for divisor, stride in zip((2, 4, 8, 8), reversed(strides(size)[1]), strict=True):
        width = max(1, top // divisor)
        conv = ConvTranspose2d(before, width, 3, stride, 1, output_padding=stride - 1, bias=biased)
        layers += [conv, AnyBatchNorm(width), nn.LeakyReLU(SLOPE)]
        before = width
    return nn.Sequential(*layers, ConvTranspose2d(before, channels, 3, 1, 1, bias=needs_bias("none", bias)))


class Autoencoder(Encoder):
    """Networks named by ``ema_networks``, moved together by one optimizer in the phase "autoencoder"."""

    def __init__(self, options: AutoencoderOptions, spec: Spec) -> None:
        super().__init__()
        if spec.paired_domains:
            raise UsageError("an autoencoder takes one set of images, not two domains; choose another --data")
        self.options, self.spec = options, spec
        betas = (options.beta1, options.beta2)
        optim = OptimSpec(options.optimizer, options.lr, betas, options.weight_decay)
        self.phases = (Phase("autoencoder", self.ema_networks, optim),)


def shown(logits: Tensor) -> Tensor:
    """The pixels whose probability ``logits`` stand for, on the [-1, 1] scale: 2 sigmoid(l) - 1."""
    return (logits / 2).tanh()


def pairs(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Each image [n,C,H,W] followed by its reconstruction: [2n,C,H,W]."""
    return torch.stack([images, reconstructions], 1).flatten(0, 1)
