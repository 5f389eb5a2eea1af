"""How many CPUs this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cpus(cgroup: Path = _CGROUP) -> int:
    """Return how many CPUs this process may use, at least 1.

    It considers CPU affinity and the quota of the cgroup.

    Args:
        cgroup: Where the files of this process's cgroup are.
    """
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    return max(1, min(cpus, cgroup_cpus(cgroup) or cpus))


def cgroup_cpus(root: Path = _CGROUP) -> int | None:
    """Return the CPU quota in whole CPUs, rounded up, or None if there is none.

    Args:
        root: Where the cgroup's files are, of version 2 or 1.

    References:
        https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
        https://docs.kernel.org/scheduler/sched-bwc.html
    """
    try:
        quota, period = (root / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:  # cgroup version 1
            quota = (root / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (root / "cpu/cpu.cfs_period_us").read_text(encoding="ascii")
        except OSError:
            return None
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max": no quota
        return None
    return math.ceil(share) if share > 0 else None  # -1 in version 1: no quota
