"""How many processor cores this process may use, and how many of them others leave to it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
STAT = Path("/proc/stat")
DELAYS = Path("/proc/self/task")


def allowed() -> list[int]:
    """The numbers of the cores that this process may run on, by its affinity mask."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cores() -> int:
    """The cores that this process may run on, at most what a container's quota (cgroup) comes to; at least 1."""
    most = len(allowed())
    return max(1, min(most, quota(most)))


def quota(most: int) -> int:
    """The whole cores that the limits of this process's control group and of those above it come to; ``most`` without.

    Version 2 keeps them in cpu.max, version 1 in cpu.cfs_quota_us beside cpu.cfs_period_us.
    """
    try:
        lines = [line.split(":", 2) for line in OWN.read_text().splitlines()]
    except OSError:
        return most
    files: tuple[str, ...]
    for number, controllers, name in (line for line in lines if len(line) == 3):
        if number == "0":
            top, files = CGROUPS, ("cpu.max",)
        elif "cpu" in controllers.split(","):
            top, files = CGROUPS / controllers, ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        else:
            continue
        here = top / name.strip("/")
        for folder in (here, *here.parents):
            if not folder.is_relative_to(top):
                break
            try:
                limit, period = " ".join((folder / file).read_text() for file in files).split()
                if limit != "max" and int(limit) > 0:
                    most = min(most, int(limit) // int(period))
            except (OSError, ValueError, ZeroDivisionError):
                continue
    return most


@dataclass(frozen=True)
class Load:
    """A reading of the clocks: the wall's, that of this process, and of all that ran on the cores it may use; seconds.

    ``busy`` is None where the system does not say it (it is Linux that does).
    """

    wall: float
    own: float
    busy: float | None

    @classmethod
    def now(cls) -> Load:
        """A reading now."""
        times = os.times()
        return cls(time.monotonic(), sum(times[:4]), _busy())

    def others(self) -> float:
        """How many cores processes other than this one have kept busy since this reading, on average; 0 where nothing
        says it.
        """
        now = Load.now()
        if self.busy is None or now.busy is None or now.wall <= self.wall:
            return 0.0
        return max(0.0, (now.busy - self.busy - (now.own - self.own)) / (now.wall - self.wall))


def _busy() -> float | None:
    """Seconds that the cores this process may use have worked, for whom ever, since the machine started."""
    mine = {f"cpu{number}" for number in allowed()}
    try:
        rows = [line.split() for line in STAT.read_text().splitlines() if line.startswith("cpu")]
        # user, nice, system, idle, iowait, irq, softirq, steal: in ticks
        ticks = sum(sum(map(int, row[1:9])) - int(row[4]) - int(row[5]) for row in rows if row[0] in mine)
        return ticks / float(os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return None


def waited() -> float:
    """Seconds that the threads of this process have been ready to run and had no core, since each began; 0 where
    nothing says it.
    """
    found = 0
    try:
        for task in DELAYS.iterdir():
            found += int((task / "schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return found / 1e9
