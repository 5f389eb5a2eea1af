"""The report of a crawl's records, made when it is asked for."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from concurcrawl.errors import ControlError


async def report_of(records: str) -> bytes:
    """Return the page that ``concurcrawl report`` makes of the file *records*.

    The command runs in a process of its own: what draws the charts takes a second and
    100 MB, and stays out of the one that serves pages.

    Raises:
        ControlError: If there is no report, for the reason that the command gives.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "concurcrawl", "report", records),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, wrong = await process.communicate()
    if process.returncode:
        reason = " ".join(wrong.decode(errors="replace").split())
        raise ControlError(reason or f"there is no report of {records}")
    where = printed.decode().partition("Report: ")[2].strip()
    return await asyncio.to_thread(Path(where).read_bytes)
