"""Convolutions by Winograd's algorithm beside PyTorch's, how fast and how exact: `make bench-convolutions`.

Layers of DCGAN and WGAN-GP (4x4, stride 2) and CycleGAN's residual blocks (3x3), each with its three products: the
output, the gradient by the input, the gradient by the weight. Rows are appended to benchmarks/convolutions.csv:
milliseconds, ours and PyTorch's in turn, and the error against float64, relative to the result.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import click
import torch
from steps import append as add_row
from torch import Tensor

from gankit.cpu import keep_freed, strided_winograd, winograd
from gankit.kernels import cpu

# images, channels in and out, output's side, side of the filter
LAYERS = ((64, 64, 128, 16, 4), (64, 128, 256, 8, 4), (64, 256, 512, 4, 4), (128, 64, 128, 8, 4), (64, 64, 128, 7, 4),
          (1, 256, 256, 32, 3), (2, 256, 256, 32, 3))  # fmt: skip
PRODUCTS = ("output", "input", "weight")
COLUMNS = ("date", "layer", "product", "type", "threads", "ours_p50_ms", "torch_p50_ms", "n", "ours_error",
           "torch_error", "torch", "simd")  # fmt: skip
Way = Callable[[], Tensor]


def products(layer: tuple[int, int, int, int, int], dtype: torch.dtype) -> Iterator[tuple[str, Way, Way, Tensor]]:
    """Each product's name, ours, PyTorch's, and its result in float64."""
    n, into, out, side, kernel = layer
    stride, padding = (1, 0) if kernel == 3 else (2, 1)
    size = (side - 1) * stride + kernel - 2 * padding
    order = torch.contiguous_format if kernel == 3 else torch.channels_last
    x, weight, grad = (
        torch.randn(shape).to(dtype).contiguous(memory_format=order)
        for shape in ((n, into, size, size), (out, into, kernel, kernel), (n, out, side, side))
    )
    settings = ([stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)

    def backward(grad: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(grad, x, weight, None, *settings, wanted)
        return found

    wide = [tensor.double() for tensor in (grad, x, weight)]
    exact = [torch.convolution(wide[1], wide[2], None, *settings), *backward(*wide, [True, True, False])[:2]]
    way = winograd if kernel == 3 else strided_winograd
    ours: list[Way] = [
        lambda: way.convolve(x, weight, padding),
        lambda: way.input_gradient(grad, weight, x.shape[2:], padding),
        lambda: way.weight_gradient(grad, x, padding),
    ]
    theirs: list[Way] = [
        lambda: torch.convolution(x, weight, None, *settings),
        lambda: backward(grad, x, weight, [True, False, False])[0],
        lambda: backward(grad, x, weight, [False, True, False])[1],
    ]
    yield from zip(PRODUCTS, ours, theirs, exact, strict=True)


def timed(run: Way) -> float:
    """Milliseconds."""
    start = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start) / 1e6


def error(found: Tensor, exact: Tensor) -> float:
    """The norm of what is wrong over that of what is right."""
    return float((found.double() - exact).norm() / exact.norm())


@click.command()
@click.option("--n", default=40, show_default=True, help="Products of each kind that are timed.")
@click.option("--threads", default=2, show_default=True)
@click.option("--append", type=click.Path(path_type=Path), help="A CSV file that gets the rows.")
def main(n: int, threads: int, append: Path | None) -> None:
    """Print both ways' times and errors, a line for each product of a layer."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    keep_freed()  # as in training
    rows = []
    for layer in LAYERS:
        for name, dtype in {"fp32": torch.float32, "bf16": torch.bfloat16}.items():
            if dtype == torch.bfloat16 and layer[-1] == 4:  # which are PyTorch's own
                continue
            for product, ours, theirs, exact in products(layer, dtype):
                times: list[list[float]] = [[], []]
                for way in (ours, theirs):
                    way()
                for _ in range(n):
                    for way, each in zip((ours, theirs), times, strict=True):
                        each.append(timed(way))
                own, other = (median(each) for each in times)
                errors = error(ours(), exact), error(theirs(), exact)
                values = (datetime.date.today(), "x".join(map(str, layer)), product, name, threads, round(own, 2),
                          round(other, 2), n, f"{errors[0]:.2g}", f"{errors[1]:.2g}", torch.__version__,
                          cpu._cpu and cpu._cpu.level())  # fmt: skip
                rows.append(dict(zip(COLUMNS, values, strict=True)))
                print(
                    f"{values[1]} {product} {name}: {own:.2f} against {other:.2f} ms, {other / own:.2f}x; "
                    f"error {errors[0]:.1e} against {errors[1]:.1e}, {errors[0] / errors[1]:.1f}x"
                )
    for row in rows if append else ():
        add_row(append, row)


if __name__ == "__main__":
    main()
