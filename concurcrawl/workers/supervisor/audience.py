"""The receivers of signals that a supervisor has, and what they are told."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

from pydispatch.robustapply import robustApply  # type: ignore[import-untyped]
from scrapy import signals
from scrapy.utils.python import global_object_name

from concurcrawl.compat.signals import wrap_methods
from concurcrawl.integrations.receivers import (
    SCRAPYS,
    is_foreign,
    name_signal,
    own_signals,
    receiver_name,
    receivers_of,
    takes,
    watch_connections,
)
from concurcrawl.workers.protocol.messages.signals import Subscribe
from concurcrawl.workers.protocol.replayed import REPLAYED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from scrapy.crawler import Crawler

    from concurcrawl.integrations.receivers import SignalName
    from concurcrawl.workers.protocol.messages.signals import OwnEvent
    from concurcrawl.workers.protocol.pickle_codec import Codec

logger = logging.getLogger(__name__)

#: Where a crawl without workers logs what a receiver raises.
_scrapys_logger = logging.getLogger("scrapy.utils.signal")
_CAUGHT = "Error caught on signal handler: %(receiver)s"

_SENDERS = ("send_catch_log", "send_catch_log_async", "send_catch_log_deferred")

#: Signals that the supervisor sends by itself, about what came of a page.
_ITEMS = ("item_scraped", "item_dropped", "item_error")

_REPORTED = {getattr(signals, name): name for name in (*REPLAYED, *_ITEMS)}


class Audience:
    """Knows which signals have receivers here, and sends those of workers to them."""

    def __init__(
        self, crawler: Crawler, codec: Codec, on_change: Callable[[Subscribe], None]
    ) -> None:
        """Make one.

        Args:
            crawler: The crawl.
            codec: Decodes what signals carry.
            on_change: Called when workers must report something else than before.
        """
        self._crawler = crawler
        self._codec = codec
        self._names: dict[Any, SignalName | None] = {}
        self._own: list[Any] = []  # by their numbers
        self._named: set[Any] = set()
        self._last = Subscribe()
        self._on_change = on_change

    def open(self) -> None:
        """Begin to watch who connects; the spider opens."""
        watch_connections(self._crawler, self._on_connection)
        wrap_methods(self._crawler.signals, _SENDERS, self._watched)

    def _watched(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def watched(signal: Any, **about: Any) -> Any:
            if signal not in SCRAPYS:
                self._name_middlewares(signal)
            return send(signal, **about)

        return watched

    def _name_middlewares(self, signal: Any) -> None:
        """Name middlewares that work in workers and receive *signal* only here."""
        engine: Any = self._crawler.engine
        for receiver in self._receivers(signal):
            owner = getattr(receiver, "__self__", None)
            if _is_in(owner, engine.downloader.middleware, engine.scraper.spidermw):
                kind = global_object_name(type(owner))
                self.name_once(
                    ("middleware", signal, kind),
                    f"signal {signal!r} of an extension or a pipeline does not reach "
                    f"{kind} in workers, only the one in the supervisor, through which "
                    "no page goes; set an attribute or a stat and have the middleware "
                    "read it, or leave MODE out.",
                )

    def listen(self) -> Subscribe:
        """Return what workers are to report."""
        found = {name: [*self._receivers(signal)] for signal, name in _REPORTED.items()}
        own = map(self._name, filter(self._is_for_us, own_signals(self._crawler)))
        self._last = Subscribe(
            signals=_those(found, lambda _: True) & {*REPLAYED},
            with_response=_those(found, lambda one: takes(one, "response")),
            with_content=_those(found, _wants_response),
            with_request=_those(found, _wants_request),
            own=tuple(name for name in own if name is not None),
        )
        return self._last

    def _is_for_us(self, signal: Any) -> bool:
        """Return whether any receiver does not belong to a middleware."""
        return any(self._is_called(one, ()) for one in self._receivers(signal))

    def _receivers(self, signal: Any) -> Iterable[Callable[..., Any]]:
        return receivers_of(self._crawler, signal)

    def _on_connection(self, signal: Any) -> None:
        if signal in _REPORTED or signal not in SCRAPYS:
            before, now = self._last, self.listen()
            if now != before:
                self._on_change(now)

    def _name(self, signal: Any) -> SignalName | None:
        if signal not in self._names:
            name = name_signal(signal)
            if name is not None:  # else the project was told
                name = name._replace(number=len(self._own))
                self._own.append(signal)
            self._names[signal] = name
        return self._names[signal]

    def pass_on(self, event: OwnEvent) -> list[asyncio.Task[None]]:
        """Tell receivers here of a signal of the project's own.

        Returns:
            What those that are coroutines have left to do.
        """
        signal = self._own[event.number]
        if event.problem:
            self.name_once(
                ("signal", event.number),
                f"{_described(signal, self._names[signal])}: it does not reach "
                f"extensions and pipelines, since what it carries cannot be sent to "
                f"another process ({event.problem}); let it carry plain values.",
            )
            return []
        try:
            about = self._codec.decode(event.about)
        except Exception:
            logger.exception("A signal of a worker cannot be read back and is dropped")
            return []
        about.setdefault("sender", self._crawler)
        receivers = receivers_of(about["sender"], signal)
        told = [one for one in receivers if self._is_called(one, event.receivers)]
        results = [self._call(one, signal, about) for one in told]
        return [
            asyncio.ensure_future(_finished(one, result))
            for one, result in zip(told, results, strict=True)
            if inspect.isawaitable(result)
        ]

    def _is_called(self, receiver: Callable[..., Any], heard: Sequence[str]) -> bool:
        """Return whether *receiver* is not one that each worker has as well.

        Args:
            receiver: It.
            heard: Names of those that were called in the worker.
        """
        owner = getattr(receiver, "__self__", None)
        engine: Any = self._crawler.engine
        if _is_in(owner, self._crawler.extensions, engine.scraper.itemproc):
            return True  # also if a middleware of its class was called
        if _is_in(owner, engine.downloader.middleware, engine.scraper.spidermw):
            return False
        return receiver_name(receiver) not in heard

    def _call(
        self, receiver: Callable[..., Any], signal: Any, about: dict[str, Any]
    ) -> Any:
        dont_log = about.get("dont_log", ())
        silent = dont_log if isinstance(dont_log, tuple) else (dont_log,)
        told = {name: value for name, value in about.items() if name != "dont_log"}
        try:
            return robustApply(receiver, signal=signal, **told)
        except silent:
            return None
        except Exception:
            _scrapys_logger.exception(_CAUGHT, {"receiver": receiver})
            return None

    def name_left_out(self, keys: Iterable[tuple[str, str]]) -> None:
        """Name keys of ``meta`` that receivers miss, each once."""
        for key, kind in keys:
            self.name_once(
                ("meta", key),
                f"request.meta[{key!r}]: receivers of signals do not find it, since "
                f"a value of class {kind} stays in the worker that has it; put plain "
                "values beside it.",
            )

    def name_once(self, about: Any, sentence: str) -> None:
        """Log *sentence*, unless something was said of *about* before."""
        if about not in self._named:
            self._named.add(about)
            logger.warning("%s", sentence)


def _is_in(component: Any, *managers: Any) -> bool:
    return any(component is one for manager in managers for one in manager.middlewares)


def _those(
    receivers: dict[str, list[Callable[..., Any]]],
    wants: Callable[[Callable[..., Any]], bool],
) -> frozenset[str]:
    return frozenset(
        name for name, found in receivers.items() if any(map(wants, found))
    )


def _wants_response(receiver: Callable[..., Any]) -> bool:
    return is_foreign(receiver) and takes(receiver, "response")


def _wants_request(receiver: Callable[..., Any]) -> bool:
    wants = takes(receiver, "response") or takes(receiver, "request")
    return is_foreign(receiver) and wants


def _described(signal: Any, name: SignalName | None) -> str:
    if name is not None and name.addresses:
        return "signal {}.{}".format(*name.addresses[0])
    return f"signal {signal!r}"


async def _finished(receiver: Callable[..., Any], result: Awaitable[Any]) -> None:
    try:
        await result
    except Exception:
        _scrapys_logger.exception(_CAUGHT, {"receiver": receiver})
