"""The InceptionV3 that FIDs are published with: Szegedy et al. 2015, as TensorFlow released it on 2015-12-05.

Module names and weights are those of the PyTorch file that everybody uses (pt_inception-2015-12-05-6726825d.pth). It
differs from the InceptionV3 of textbooks in three ways: its average pools do not count the padding, its last block
pools with a maximum, and it has 1008 classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gankit import Extracted, Extractor, Source
from gankit.data import cache_folder, download
from gankit.plugins.extractors.weights import load_weights, rgb

FILE = "pt_inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE = 299

Layer = tuple[int, int | tuple[int, int]]
"""(width, kernel) of a convolution."""


class Conv(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self, inputs: int, width: int, kernel: int | tuple[int, int], stride: int = 1, *, pad: bool = True
    ) -> None:
        super().__init__()
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (high // 2, wide // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(inputs, width, (high, wide), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches of convolutions side by side, then a pooled one; their results are joined in this order.

    A branch of one layer has its own name, one of several has them numbered from 1. With ``stride`` 2 each branch's
    last layer and the pool halve the size; with ``forked`` each branch of several ends in a row and a column.
    """

    def __init__(
        self,
        inputs: int,
        branches: dict[str, list[Layer]],
        pooled: int = 0,
        *,
        pool: str = "average",
        stride: int = 1,
        forked: bool = False,
    ) -> None:
        super().__init__()
        self.pool, self.stride = pool, stride
        self.chains: list[list[tuple[str, ...]]] = []
        for branch, layers in branches.items():
            width = inputs
            chain: list[tuple[str, ...]] = []
            for i, (after, kernel) in enumerate(layers, 1):
                name = branch if len(layers) == 1 else f"{branch}_{i}"
                last = i == len(layers)
                if forked and last and i > 1:
                    self.add_module(f"{name}a", Conv(width, after, (1, 3)))
                    self.add_module(f"{name}b", Conv(width, after, (3, 1)))
                    chain.append((f"{name}a", f"{name}b"))
                else:
                    halves = last and stride == 2
                    self.add_module(name, Conv(width, after, kernel, stride if last else 1, pad=not halves))
                    chain.append((name,))
                width = after
            self.chains.append(chain)
        self.branch_pool = Conv(inputs, pooled, 1) if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        joined = []
        for chain in self.chains:
            h = x
            for names in chain:
                h = torch.cat([self.get_submodule(name)(h) for name in names], 1)
            joined.append(h)
        if self.stride == 2:
            h = F.max_pool2d(x, 3, 2)
        elif self.pool == "max":
            h = F.max_pool2d(x, 3, 1, 1)
        else:
            h = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        joined.append(h if self.branch_pool is None else self.branch_pool(h))
        return torch.cat(joined, 1)


def block_a(inputs: int, pooled: int) -> Mixed:
    """35 x 35: 1x1, 5x5, two 3x3."""
    branches: dict[str, list[Layer]] = {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
    }
    return Mixed(inputs, branches, pooled)


def block_c(width: int) -> Mixed:
    """17 x 17: 7x7 as rows and columns, once and twice."""
    row, column = (1, 7), (7, 1)
    branches: dict[str, list[Layer]] = {
        "branch1x1": [(192, 1)],
        "branch7x7": [(width, 1), (width, row), (192, column)],
        "branch7x7dbl": [(width, 1), (width, column), (width, row), (width, column), (192, row)],
    }
    return Mixed(768, branches, 192)


def block_e(inputs: int, pool: str) -> Mixed:
    """8 x 8: 3x3 as a row and a column side by side."""
    branches: dict[str, list[Layer]] = {
        "branch1x1": [(320, 1)],
        "branch3x3": [(384, 1), (384, 3)],
        "branch3x3dbl": [(448, 1), (384, 3), (384, 3)],
    }
    return Mixed(inputs, branches, 192, pool=pool, forked=True)


class InceptionV3(nn.Module):
    """float [n,3,299,299] in [-1, 1] -> features [n,2048], after the last pool; ``fc`` is the layer of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2, pad=False)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, pad=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = block_a(192, 32), block_a(256, 64), block_a(288, 64)
        halve: dict[str, list[Layer]] = {"branch3x3": [(384, 3)], "branch3x3dbl": [(64, 1), (96, 3), (96, 3)]}
        self.Mixed_6a = Mixed(288, halve, stride=2)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = map(block_c, (128, 160, 160, 192))
        halve = {"branch3x3": [(192, 1), (320, 3)], "branch7x7x3": [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)]}
        self.Mixed_7a = Mixed(768, halve, stride=2)
        self.Mixed_7b, self.Mixed_7c = block_e(1280, "average"), block_e(2048, "max")
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> Tensor:
        h = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        h = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(h, 3, 2)))
        h = F.max_pool2d(h, 3, 2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                h = block(h)
        features: Tensor = h.mean((2, 3))
        return features


class Inception(Extractor):
    """Features of 2048 after the last pool; logits of 1008 without their bias, as Inception Scores are computed."""

    gives = ("features", "logits")
    resize = f"bilinear {SIZE}"

    def __init__(self, source: Source) -> None:
        path = source.weights or download(URL, cache_folder() / "inception" / FILE, SHA256)
        with torch.random.fork_rng(devices=[]):  # the layers draw weights, only to have them replaced
            self.net = InceptionV3()
        self.digest = load_weights(self.net, path, FILE)
        self.net.eval().requires_grad_(False).to(source.device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Extracted:
        x = rgb(images).to(next(self.net.parameters()).device).float() / 255
        x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False)
        features = self.net(2 * x - 1)
        return Extracted(features, features @ self.net.fc.weight.T)
