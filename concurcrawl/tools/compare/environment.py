"""Versions and hardware on which a comparison was made."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from concurcrawl.cpus import usable_cpus


def environment() -> dict[str, str | int | float | None]:
    """Return names and versions of the machine, the system and the libraries."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu_model": _cpu_model(),
        "usable_cpus": usable_cpus(),
        "machine_cpus": os.cpu_count(),
        "load_1min": _load(),
        "platform": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "scrapy": _version("scrapy"),
        "twisted": _version("twisted"),
        "concurcrawl": _version("concurcrawl"),
        "pycurl": _version("pycurl"),
        "isal": _version("isal"),
        "uvloop": _version("uvloop"),
    }


def _cpu_model() -> str:
    # platform.processor() is empty on most Linux systems.
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    names = (
        line.partition(":")[2].strip()
        for line in text.splitlines()
        if line.startswith("model name")
    )
    return next(names, "") or platform.processor() or platform.machine()


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
