"""What is left of a crawl that has ended or was killed, in its folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psutil

from concurcrawl.control import address
from concurcrawl.monitor import last_values
from concurcrawl.monitor.snapshot import CrawlSnapshot

if TYPE_CHECKING:
    from pathlib import Path

#: The state of a crawl whose process is gone without an end.
KILLED = "killed"


def is_alive(pid: int | None) -> bool:
    """Return whether the process *pid* is there, as far as this machine knows."""
    return pid is None or psutil.pid_exists(pid)


def values_in(folder: Path, last: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the last values of the crawl of *folder*.

    Args:
        folder: Its ``JOBDIR``, or the folder that its log named.
        last: The values that were seen last, or None.

    Returns:
        They, with the state ``finished``, ``stalled`` or ``killed``; None if the crawl
        may still run.
    """
    seen = last or CrawlSnapshot(at_s=0.0, spider=folder.name).values()
    try:
        door = json.loads((folder / address.FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        left = last_values.read(folder)
        if left is not None:
            return left.values
        # Without a JOBDIR the folder is removed at the end, and only then.
        return None if folder.exists() else seen | {"state": "finished"}
    except (OSError, ValueError):
        return None
    return None if is_alive(door.get("pid")) else seen | {"state": KILLED}
