"""What the modes of a comparison have to work with. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the modes had to work with.

    Attributes:
        slots: The requested modes, in order, and the requests each may have in flight
            over all its processes; 0 means no limit.
        processes: How many of each download and run callbacks.
        cores: That this machine lets us use.
    """

    slots: Mapping[str, int]
    processes: Mapping[str, int] = field(default_factory=dict)
    cores: int = 1
