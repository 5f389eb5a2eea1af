"""The methods of a crawler's signal manager."""

from __future__ import annotations

import asyncio
import logging
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from pydispatch.dispatcher import (  # type: ignore[import-untyped]
    getAllReceivers,
    liveReceivers,
)
from pydispatch.robustapply import robustApply  # type: ignore[import-untyped]
from scrapy.utils.defer import ensure_awaitable
from scrapy.utils.python import global_object_name
from twisted.internet.defer import Deferred

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from scrapy.signalmanager import SignalManager


#: The one that Scrapy names receivers that fail by.
_logger = logging.getLogger("scrapy.utils.signal")


@touches(
    "scrapy.signalmanager",
    *("SignalManager.connect", "SignalManager.disconnect"),
    *("SignalManager.send_catch_log", "SignalManager.send_catch_log_async"),
)
def wrap_methods(
    manager: SignalManager,
    names: Iterable[str],
    wrap: Callable[[Callable[..., Any]], Callable[..., Any]],
) -> None:
    """Replace methods of *manager* by what *wrap* makes of them.

    Extensions connect when they like, in ``spider_opened`` or in the middle of the
    crawl, and send signals of their own.

    Touches: replaces ``SignalManager.connect()``, ``.disconnect()`` and those that send
    (Scrapy 2.19.0), on one manager. If they move, workers do not report what an
    extension waits for that connects late. Wished for: a setting for the class of the
    signal manager.
    """
    for name in names:
        setattr(manager, name, wrap(getattr(manager, name)))


@touches("scrapy.signalmanager", "SignalManager.send_catch_log_async")
def send_with_few_tasks(manager: SignalManager, which: Container[object]) -> None:
    """Call receivers of signals without a task for each, where they do not wait.

    Scrapy gathers a task for every receiver of every item; nearly all are plain
    functions. That is 20 % of what the supervisor of a crawl of many items does.

    Touches: replaces ``SignalManager.send_catch_log_async()`` on one manager (Scrapy
    2.19.0). If it moves, that time is lost. Wished for: that Scrapy starts tasks for
    receivers that are coroutines only.

    Args:
        manager: Of a crawl in an asyncio loop.
        which: Signals that are sent in tasks of their own, so that others get a turn.
    """

    def wrap(send: Callable[..., Any]) -> Callable[..., Any]:
        async def sent(signal: Any, **about: Any) -> Any:
            if signal not in which or "dont_log" in about:
                return await send(signal, **about)
            sender = about.pop("sender", manager.sender)
            answers = [
                (receiver, _answer(receiver, signal, sender, about))
                for receiver in liveReceivers(getAllReceivers(sender, signal))
            ]
            return await _all_answers(answers, about)

        return sent

    wrap_methods(manager, ["send_catch_log_async"], wrap)


def _answer(
    receiver: Any, signal: object, sender: object, about: dict[str, Any]
) -> Any:
    try:
        return robustApply(receiver, signal=signal, sender=sender, **about)
    except Exception as error:  # noqa: BLE001 - as Scrapy does
        return _logged(error, receiver, about)


async def _all_answers(
    answers: list[tuple[Any, Any]], about: dict[str, Any]
) -> list[tuple[Any, Any]]:
    """Return *answers* once those that are awaited are there."""
    late = [at for at, (_, answer) in enumerate(answers) if is_late(answer)]
    if late:
        found = await asyncio.gather(
            *(_awaited(*answers[at], about) for at in late), return_exceptions=True
        )
        for at, answer in zip(late, found, strict=True):
            answers[at] = (answers[at][0], answer)
    return answers


def is_late(answer: Any) -> bool:
    """Return whether *answer* is to be awaited."""
    if answer is None:
        return False
    return isinstance(answer, Deferred) or isawaitable(answer)


async def _awaited(receiver: Any, answer: Any, about: dict[str, Any]) -> Any:
    try:
        return await ensure_awaitable(answer, _warn=global_object_name(receiver))
    except Exception as error:  # noqa: BLE001 - as Scrapy does
        return _logged(error, receiver, about)


def _logged(error: Exception, receiver: Any, about: dict[str, Any]) -> Exception:
    _logger.error(
        "Error caught on signal handler: %(receiver)s",
        {"receiver": receiver},
        exc_info=error,
        extra={"spider": about.get("spider")},
    )
    return error
