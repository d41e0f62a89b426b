"""Makes glibc keep freed memory for the next step."""

from __future__ import annotations

import ctypes
import functools
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Options of mallopt, as glibc's malloc.h numbers them."""
KEPT = 1 << 30
"""Bytes of freed memory that glibc keeps."""
LARGEST = 1 << 25
"""The largest threshold that glibc accepts, in bytes. Larger blocks still return to the system when they are freed."""

SET_BY_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Environment variables that set these options or load another allocator; they take precedence."""


@functools.cache
def keep_freed() -> bool:
    """Make glibc keep up to 1 GiB of freed memory, for the whole process. Returns whether that succeeded.

    A step frees what it allocated, and the next step allocates the same again. By default glibc returns large blocks to
    the system in between, and the system clears and maps every page again, which takes a tenth to a third of a training
    step on a CPU. Peak memory does not change.
    """
    if any(name in os.environ for name in SET_BY_USER):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library or system
        return False
    return bool(mallopt(TRIM_THRESHOLD, KEPT) and mallopt(MMAP_THRESHOLD, LARGEST))
