"""The settings of concurcrawl: name, type, default, bound and meaning, in one place.

The settings table of the README is generated from this module.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from concurcrawl.errors import ConfigError

if TYPE_CHECKING:
    from dataclasses import Field

    from scrapy.settings import BaseSettings

PREFIX = "CONCURCRAWL_"


def _option(default: float | str, doc: str, *, unit: str, at_least: float = 0) -> Any:
    return field(
        default=default, metadata={"doc": doc, "unit": unit, "at_least": at_least}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the user asked for, checked once.

    Every field ``some_name`` is read from the setting ``CONCURCRAWL_SOME_NAME``.
    """

    workers: int = _option(
        0,
        "Crawler processes of `parallel` and `hybrid`; 0 means one per usable CPU.",
        unit="processes",
    )
    threads: int = _option(
        16,
        "Blocking downloads at a time in `concurrent`.",
        unit="threads",
        at_least=1,
    )
    max_attempts: int = _option(
        3,
        "Workers that one request may kill before it is set aside.",
        unit="workers",
        at_least=1,
    )
    max_restarts: int = _option(
        16,
        "Workers that are replaced before the crawl gives up.",
        unit="processes",
    )
    pages_dir: str = _option(
        "pages", "Where the spider `countries` saves its pages.", unit="folder"
    )
    records: str = _option(
        "",
        "Write one JSON line a request (when, where, how long); empty means don't.",
        unit="file",
    )

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Self:
        """Read every option.

        Args:
            settings: The crawler's settings, before or after they are frozen.

        Raises:
            ConfigError: If a value is not a number or is below its bound.
        """
        return cls(**{f.name: _read(settings, f) for f in fields(cls)})

    @property
    def worker_count(self) -> int:
        """Number of crawler processes to start, at least 1."""
        return self.workers or usable_cpus()


def _read(settings: BaseSettings, option: Field[Any]) -> Any:
    name = PREFIX + option.name.upper()
    value = settings.get(name, option.default)
    if isinstance(option.default, str):
        return str(value)
    low = option.metadata["at_least"]
    expected = f"a whole number >= {low} ({option.metadata['unit']})"
    try:
        # A float would lose what it has after the point.
        number = int(value) if isinstance(value, str) else index(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(name, value, expected) from error
    if number < low:
        raise ConfigError(name, value, expected)
    return number


def usable_cpus() -> int:
    """Return how many CPUs this process may use, at least 1.

    Affinity and the cgroup's quota count, not only what the machine has.
    """
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    return max(1, min(cpus, cgroup_cpus(Path("/sys/fs/cgroup")) or cpus))


def cgroup_cpus(root: Path) -> int | None:
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


def markdown_table() -> str:
    """Return the settings table as the README shows it."""
    head = "| Setting | Default | Unit | Meaning |\n|:---|---:|:---|:---|\n"
    rows = (
        f"| `{PREFIX}{f.name.upper()}` | {f.default} | {f.metadata['unit']} "
        f"| {f.metadata['doc']} |\n"
        for f in fields(Config)
    )
    return head + "".join(rows)
