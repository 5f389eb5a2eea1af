"""The last values of a crawl, for pages that are opened after its end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from concurcrawl.durable.atomic_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: The name of the file.
FILE = "concurcrawl.last.json"


@dataclass(frozen=True, slots=True)
class LastValues:
    """What a page shows of a crawl that has ended.

    Attributes:
        values: The last snapshot, as values that JSON has.
        history: Points of the charts: elapsed seconds, pages and items.
    """

    values: dict[str, Any]
    history: Sequence[tuple[float, int, int]]

    def write(self, folder: Path) -> None:
        """Write it into *folder*.

        Raises:
            OSError: If it cannot be written.
        """
        body = {"values": self.values, "history": list(self.history)}
        write_whole(folder, FILE, json.dumps(body).encode())


def read(folder: Path) -> LastValues | None:
    """Return what was left in *folder*; None if there is nothing that can be read."""
    try:
        found = json.loads((folder / FILE).read_bytes())
        points = [(point[0], point[1], point[2]) for point in found["history"]]
        return LastValues(dict(found["values"]), points)
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return None


def forget(folder: Path) -> None:
    """Remove what an earlier crawl has left in *folder*.

    Raises:
        OSError: If it cannot be removed.
    """
    (folder / FILE).unlink(missing_ok=True)
