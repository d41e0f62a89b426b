"""The fused ops: Triton for GPUs, C for CPUs, and one plain PyTorch reference each."""

if not __name__.startswith("gankit."):
    raise ImportError("import this package as gankit.kernels; a bare import from the source folder would make a second copy")
