"""Versions, CPUs and start method on this machine."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pycurl

from concurcrawl.config import Config
from concurcrawl.cpus import cgroup_cpus, usable_cpus
from concurcrawl.errors import ConcurcrawlError, ConfigError
from concurcrawl.modes import PLACES
from concurcrawl.tuning.event_loop import quickest
from concurcrawl.workers.launch import ways

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

#: How long it waits for the scheduler of a cluster.
_PATIENCE_S = 5.0

_LIBRARIES = (
    *(
        "scrapy",
        "twisted",
        "concurcrawl",
        "pycurl",
        "redis",
        "msgpack",
        "isal",
        "uvloop",
    ),
)


def versions() -> dict[str, str | None]:
    """Return the versions of Python and libraries; None for one not installed."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: _version(name) for name in _LIBRARIES},
        "libcurl": pycurl.version_info()[1],
    }


def machine(settings: BaseSettings) -> dict[str, Any]:
    """Return platform, CPUs, event loop, and how workers would be started.

    Args:
        settings: Of the project.
    """
    start_method = str(settings.get("CONCURCRAWL_START_METHOD") or "auto")
    why_not = ways.hindrance()
    is_forked = start_method != "spawn" and why_not is None
    return {
        "platform": platform.platform(),
        "usable_cpus": usable_cpus(),
        "machine_cpus": os.cpu_count(),
        "affinity_cpus": _affinity(),
        "quota_cpus": cgroup_cpus(),
        "start_method": "fork" if is_forked else "spawn",
        "start_method_setting": start_method,
        "event_loop": str(
            settings.get("ASYNCIO_EVENT_LOOP") or quickest() or "asyncio"
        ),
        "why_not_fork": "" if start_method == "spawn" else why_not or "",
        **_cluster(settings),
    }


def _cluster(settings: BaseSettings) -> dict[str, Any]:
    """Return where the workers are to run, if that is a cluster, and how many can.

    The number is left in *settings*, for the plan of each mode.
    """
    try:
        config = replace(Config.from_settings(settings), cluster_wait_s=_PATIENCE_S)
    except ConfigError:  # it is named with the other settings
        return {"cluster": "", "cluster_workers": 0, "why_no_cluster": ""}
    found = {"cluster": config.cluster, "cluster_workers": 0, "why_no_cluster": ""}
    if config.cluster:
        from concurcrawl.workers.launch.cluster import setup  # most projects have none

        try:
            found["cluster_workers"] = setup.count_places(config)
        except ConcurcrawlError as error:
            found["why_no_cluster"] = str(error)
        settings.set(PLACES, found["cluster_workers"], "cmdline")
    return found


def _affinity() -> int | None:
    asked = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    return len(asked(0)) if asked else None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
