"""Runs the C kernels under the address and undefined-behaviour sanitizers: `make sanitize`.

Builds the extension with both, starts itself again with their runtimes loaded first, and runs every shared case
and products of all kinds at every SIMD level that this processor has, with one thread and with several.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLAGS = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"


def build_and_restart() -> int:
    """Builds into a temporary folder and runs this file on it."""
    compiler = os.environ.get("CC", "gcc")
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", folder, "--build-temp", folder]
        subprocess.run(build, cwd=ROOT, env=os.environ | {"CFLAGS": FLAGS, "CC": compiler}, check=True)
        (library,) = Path(folder).glob("gankit/kernels/_cpu*.so")
        runtimes = [
            subprocess.run([compiler, f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True)
            for name in ("asan", "ubsan")
        ]
        environment = os.environ | {
            "LD_PRELOAD": " ".join(each.stdout.strip() for each in runtimes),
            "ASAN_OPTIONS": "detect_leaks=0",  # Python's own allocations are no leak of ours
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
        return subprocess.run([sys.executable, __file__, str(library)], env=environment, check=False).returncode


def streamed() -> None:
    """Outputs that are large enough for streaming stores, from an odd address."""
    import torch

    from gankit.kernels import gather, interpolate

    real, fake = (torch.randn(7_000_003)[3:].view(7, 1_000_000) for _ in range(2))
    t = torch.rand(7)
    assert interpolate(real, fake, t).equal(interpolate(real, fake, t, impl="ref"))
    images, index = torch.randint(0, 256, (9, 3, 261, 263), dtype=torch.uint8), torch.arange(40) % 9
    assert gather(images, index, index > 3).equal(gather(images, index, index > 3, impl="ref"))


def multiplied() -> None:
    """Products with tiles of every size, packed in passing and not, along k in one part and in several."""
    import itertools

    import torch

    from gankit.kernels.cpu import gemm, gemm_batch

    types = (torch.float64, torch.float32, torch.bfloat16)
    for m, n, k in ((1, 1, 1), (5, 70, 3), (64, 129, 67), (67, 33, 1100), (128, 64, 2100), (3, 0, 2), (4, 5, 0)):
        for turned, dtype, bf16 in itertools.product(range(4), types, (False, True)):
            a = torch.randn(k, m, dtype=dtype).t() if turned & 1 else torch.randn(m, k, dtype=dtype)
            b = torch.randn(n, k, dtype=dtype).t() if turned & 2 else torch.randn(k, n, dtype=dtype)
            gemm(a, b, torch.zeros(m, n, dtype=dtype), torch.randn(n), turned > 1, bf16)
    gemm(torch.randn(20, 30)[::2, ::3], torch.randn(20, 30)[::2, ::3].t(), torch.empty(10, 10))
    for count, m, n, k in ((1, 1, 1, 1), (25, 100, 70, 130), (3, 200, 64, 1100), (0, 5, 5, 5)):
        gemm_batch(torch.randn(count, m, k), torch.randn(count, k, n), torch.zeros(count, m, n), accumulate=True)


def convolved() -> None:
    """Winograd's transforms of images that whole vectors and tiles do not fill, in memory of the exact size."""
    import torch

    from gankit.cpu import scratch, winograd
    from gankit.cpu import strided_winograd as strided

    for way, n, into, out, height, width, padding in (
        (winograd, 2, 5, 7, 3, 3, 0), (winograd, 1, 1, 1, 1, 1, 1), (winograd, 1, 3, 2, 4, 301, 1),
        (winograd, 2, 3, 2, 37, 45, 1), (winograd, 1, 2, 2, 34, 34, 0), (winograd, 0, 5, 7, 9, 9, 0),
        (winograd, 1, 65, 9, 18, 66, 0), (strided, 2, 16, 16, 2, 2, 1), (strided, 3, 16, 48, 14, 6, 1),
        (strided, 2, 32, 16, 23, 17, 0), (strided, 4, 64, 256, 8, 8, 1), (strided, 0, 16, 16, 8, 8, 1),
    ):  # fmt: skip
        scratch._scratch.blocks.clear()
        side, stride = (3, 1) if way is winograd else (4, 2)
        order = torch.contiguous_format if way is winograd else torch.channels_last
        x, weight = torch.randn(n, into, height, width), torch.randn(out, into, side, side)
        x, weight = (each.contiguous(memory_format=order).requires_grad_() for each in (x, weight))
        y = torch.nn.functional.conv2d(x, weight, stride=stride, padding=padding)
        grad = torch.randn_like(y).contiguous(memory_format=order)
        with torch.no_grad():
            torch.testing.assert_close(way.convolve(x, weight, padding), y, rtol=1e-3, atol=1e-3)
            found = way.input_gradient(grad, weight, x.shape[2:], padding), way.weight_gradient(grad, x, padding)
        for one, two in zip(found, torch.autograd.grad(y, (x, weight), grad), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)


def planned() -> None:
    """Plans of elementwise steps and sums over spaces that whole tiles and vectors do not fill."""
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    from gankit.cpu import Plan

    def steps(x: torch.Tensor, w: torch.Tensor) -> list[torch.Tensor]:
        h = torch.nn.functional.leaky_relu(x @ w, 0.2)
        rows, columns = h - h.mean(1, keepdim=True), h / h.abs().sum(0)
        turned = (h.t() * 2).tanh().bfloat16()
        return [
            rows.exp().sum(0),
            columns.square().sum(),
            turned,
            torch.cat([h, h[1:] + 1]),
            h.amax(1),
            (h > 0) & (h < 1),
        ]

    for dtype in (torch.float32, torch.float64):
        for rows, columns in ((2, 1), (3, 7), (65, 33), (5, 5000), (300, 17)):
            x, w = torch.randn(rows, 9, dtype=dtype), torch.randn(9, columns, dtype=dtype)
            found = Plan(make_fx(steps, tracing_mode="fake")(x, w))(x, w)
            for one, two in zip(found, steps(x, w), strict=True):
                torch.testing.assert_close(one, two, rtol=2e-2 if one.dtype == torch.bfloat16 else 1e-3, atol=1e-3)


def run(library: str) -> None:
    """Every case with the instrumented extension in the place of the built one."""
    loader = ExtensionFileLoader("gankit.kernels._cpu", library)
    spec = importlib.util.spec_from_file_location("gankit.kernels._cpu", library, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules["gankit.kernels._cpu"] = module

    import torch

    from gankit.kernels import cases

    count = 0
    for level in module.levels():
        module.use(level)
        for threads in (1, 3):
            torch.set_num_threads(threads)
            for op in cases.OPS:
                for case in cases.cases(op):
                    assert cases.failures(case, "cpu") == [], (level, threads, op, str(case))
                    count += 1
            streamed()
            multiplied()
            convolved()
            planned()
    assert "asan" in Path("/proc/self/maps").read_text(encoding="utf-8")
    print(f"{count} cases at {', '.join(module.levels())} with 1 and 3 threads: clean under ASan and UBSan")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(sys.argv[1])
    else:
        sys.exit(build_and_restart())
