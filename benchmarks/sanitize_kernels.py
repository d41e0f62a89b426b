"""Runs the C kernels under the address and undefined-behaviour sanitizers: `make sanitize`.

Builds the extension with both, starts itself again with their runtimes loaded first, and runs every shared case
at every SIMD level that this processor has, with one thread and with several.
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
    """Winograd's transforms of planes that whole vectors and tiles do not fill, in memory of the exact size."""
    import torch

    from gankit import winograd

    for n, into, out, height, width, padding in (
        (2, 5, 7, 3, 3, 0), (1, 1, 1, 1, 1, 1), (1, 3, 2, 4, 301, 1), (2, 3, 2, 37, 45, 1), (1, 2, 2, 34, 34, 0),
        (0, 5, 7, 9, 9, 0), (1, 65, 9, 18, 66, 0),
    ):  # fmt: skip
        winograd._scratch.held.clear()
        x, weight = torch.randn(n, into, height, width), torch.randn(out, into, 3, 3)
        x.requires_grad_()
        weight.requires_grad_()
        y = torch.nn.functional.conv2d(x, weight, padding=padding)
        grad = torch.randn_like(y)
        with torch.no_grad():
            torch.testing.assert_close(winograd.convolved(x, weight, padding), y, rtol=1e-3, atol=1e-3)
            found = winograd.by_input(grad, weight, x.shape[2:], padding), winograd.by_weight(grad, x, padding)
        for one, two in zip(found, torch.autograd.grad(y, (x, weight), grad), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)


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
                    for impl in ("cpu", "auto"):  # by address, and by the quick way through tensors
                        assert cases.failures(case, impl) == [], (level, threads, op, str(case))
                    count += 1
            streamed()
            multiplied()
    assert "asan" in Path("/proc/self/maps").read_text(encoding="utf-8")
    print(f"{count} cases at {', '.join(module.levels())} with 1 and 3 threads: clean under ASan and UBSan")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(sys.argv[1])
    else:
        sys.exit(build_and_restart())
