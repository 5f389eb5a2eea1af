"""What Redis runs in each exchange: one script, a file for each concern."""

from __future__ import annotations

import hashlib
from importlib.resources import files

#: The files, in the order in which they need each other: each uses what stands before
#: it, and the last does the exchange.
_PARTS = (
    "keys",
    "message",
    "job",
    "notes",
    "limiter",
    "queue",
    "items",
    "leases",
    "admission",
    "nodes",
    "join",
    "dispatch",
    "exchange",
)

_FOLDER = files(__package__) / "lua"

#: Its text.
SCRIPT = b"\n".join((_FOLDER / f"{part}.lua").read_bytes() for part in _PARTS)

#: How Redis knows it once it has seen it.
SHA = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()
