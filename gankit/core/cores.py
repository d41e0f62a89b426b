"""How many processor cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def cores() -> int:
    """The cores that this process may run on, at most what a container's quota (cgroup v2) comes to; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, quota(allowed)))


def quota(most: int) -> int:
    """The whole cores that cpu.max of this process's control group and of those above it come to; ``most`` without."""
    try:
        name = next(line for line in OWN.read_text().splitlines() if line.startswith("0::"))[3:]
    except (OSError, StopIteration):
        return most
    here = CGROUPS / name.strip("/")
    for folder in (here, *here.parents):
        if not folder.is_relative_to(CGROUPS):
            break
        try:
            limit, period = (folder / "cpu.max").read_text().split()
            most = most if limit == "max" else min(most, int(limit) // int(period))
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return most
