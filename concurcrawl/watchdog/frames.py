"""Finds the line at which a suspended coroutine waits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: Packages whose frames say nothing about the code of a project.
_LIBRARIES = ("scrapy", "twisted", "asyncio", "concurcrawl", "contextlib")


def suspended_frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """Yield the frames of a suspended task, from the outermost to the innermost.

    The chain ends at the first future, which does not know what will complete it.
    """
    awaited: Any = task.get_coro()
    while awaited is not None:
        for kind in ("cr", "ag", "gi"):
            frame = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                break
        awaited = next(
            (
                getattr(awaited, name)
                for name in ("cr_await", "ag_await", "gi_yieldfrom")
                if getattr(awaited, name, None) is not None
            ),
            None,
        )


def package_of(frame: FrameType) -> str:
    """Return the top-level package that the code of *frame* belongs to."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def where_awaited(thing: object) -> str | None:
    """Return where a project's code awaits something for *thing*.

    Args:
        thing: A local variable of one of the suspended frames, such as a request.

    Returns:
        File, line and function, or None if no code of a project is suspended for it.
    """
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        frames = [*suspended_frames(task)]
        own = [frame for frame in frames if package_of(frame) not in _LIBRARIES]
        if own and any(_has(frame, thing) for frame in frames):
            code = own[-1].f_code
            line = own[-1].f_lineno
            return f"{Path(code.co_filename).name}:{line} in {code.co_qualname}"
    return None


def _has(frame: FrameType, thing: object) -> bool:
    return any(value is thing for value in frame.f_locals.values())
