"""What Redis runs in each exchange: one script, of a file a concern."""

from __future__ import annotations

import hashlib
from importlib.resources import files

#: The files, in the order in which they need each other: each uses what stands before
#: it, and the last does the exchange.
_PARTS = (
    "arguments",
    "job",
    "news",
    "gates",
    "requests",
    "items",
    "leases",
    "visits",
    "nodes",
    "joining",
    "lending",
    "exchange",
)

_FOLDER = files(__package__) / "lua"

#: Its text.
SCRIPT = b"\n".join((_FOLDER / f"{part}.lua").read_bytes() for part in _PARTS)

#: How Redis knows it once it has seen it.
SHA = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest()
