"""One case of each kind through every Triton kernel, for compute-sanitizer; called by gpu_kernels.sh."""

from __future__ import annotations

import os

# Each tensor its own allocation: the caching allocator would hide a read past the end of one.
os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"

from gankit.kernels import cases


def main() -> None:
    """Runs the cases and checks them, too."""
    count = 0
    for op in cases.OPS:
        for case in cases.cases(op):
            if case.type not in ("fp32", "bf16"):
                continue
            cases.run(case, "triton")
            count += 1
    print(f"{count} cases ran")


if __name__ == "__main__":
    main()
