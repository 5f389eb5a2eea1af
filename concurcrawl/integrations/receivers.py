"""Receivers of signals, and names of signals that are valid in another process."""

from __future__ import annotations

import inspect
import pickle
import sys
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pydispatch import dispatcher  # type: ignore[import-untyped]
from scrapy import signals

from concurcrawl.compat.signals import wrap_methods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scrapy.crawler import Crawler

#: Scrapy's signals; any other is a project's or a plugin's own.
SCRAPYS = frozenset(
    value for name, value in vars(signals).items() if type(value) is object
)

#: Packages whose receivers are known to read neither body nor ``meta``.
_KNOWN = {"scrapy", "concurcrawl"}


class SignalName(NamedTuple):
    """The name of a project's own signal, by which another process finds it.

    Attributes:
        number: Its number in messages of workers.
        addresses: Modules, and the names of the attributes that hold it.
        value: Pickled, if equal values are the same signal, as strings are.
    """

    number: int
    addresses: tuple[tuple[str, str], ...] = ()
    value: bytes | None = None


def receivers_of(crawler: Crawler, signal: Any) -> Iterator[Callable[..., Any]]:
    """Yield the receivers of *signal* when it is sent for *crawler*."""
    found = dispatcher.getAllReceivers(crawler, signal)
    yield from dispatcher.liveReceivers(found)


def has_receivers(crawler: Crawler, signal: Any) -> bool:
    """Return whether *signal* has a receiver when it is sent for *crawler*."""
    return any(True for _ in receivers_of(crawler, signal))


def own_signals(crawler: Crawler) -> list[Any]:
    """Return the signals that are not Scrapy's and have receivers here."""
    found: dict[Any, None] = {}
    for sender in (crawler, dispatcher.Any):
        found |= dict.fromkeys(dispatcher.connections.get(id(sender), {}))
    return [
        signal
        for signal in found
        if signal is not dispatcher.Any
        and signal not in SCRAPYS
        and has_receivers(crawler, signal)
    ]


def watch_connections(crawler: Crawler, on_change: Callable[[Any], None]) -> None:
    """Call *on_change* with each signal that gets or loses a receiver from now on.

    Extensions may connect at any time, and Scrapy has no hook for that.
    """
    watched = partial(_watched, on_change)
    wrap_methods(crawler.signals, ("connect", "disconnect"), watched)


def _watched(
    on_change: Callable[[Any], None], method: Callable[..., None]
) -> Callable[..., None]:
    def watched(receiver: Any, signal: Any, **kwargs: Any) -> None:
        method(receiver, signal, **kwargs)
        on_change(signal)

    return watched


def is_foreign(receiver: Callable[..., Any]) -> bool:
    """Return whether *receiver* is neither Scrapy's nor ours."""
    while isinstance(receiver, partial):
        receiver = receiver.func
    owner = getattr(receiver, "__self__", None)
    if owner is None and not hasattr(receiver, "__qualname__"):
        owner = receiver  # an object with __call__()
    modules = [getattr(receiver, "__module__", None)]
    if owner is not None:
        # Also an inherited method: it may call one that the project's class has.
        modules.append(type(owner).__module__)
    return any((name or "").partition(".")[0] not in _KNOWN for name in modules)


def takes(receiver: Callable[..., Any], name: str) -> bool:
    """Return whether *receiver* takes an argument of that name."""
    try:
        parameters = inspect.signature(receiver).parameters
    except (TypeError, ValueError):  # written in C, without a signature
        return True
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return takes_all or name in parameters


def receiver_name(receiver: Callable[..., Any]) -> str:
    """Return a name for a receiver that is the same in another process."""
    owner = getattr(receiver, "__self__", None)
    module = getattr(receiver, "__module__", None)
    name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
    kind = "" if owner is None else f"{type(owner).__module__}.{type(owner).__name__} "
    return f"{kind}{module}.{name}"


@lru_cache(maxsize=1024)  # some connect and disconnect all the time
def name_signal(signal: Any) -> SignalName | None:
    """Return a name by which another process finds *signal*, or None.

    A bare ``object()`` is found by where it is: as an attribute of a module, or of a
    class in one.
    """
    try:
        value = pickle.dumps(signal, pickle.HIGHEST_PROTOCOL)
        copy = pickle.loads(value)  # noqa: S301 - our own
        if type(copy) is type(signal) and copy == signal and hash(copy) == hash(signal):
            return SignalName(0, value=value)
    except Exception:  # noqa: BLE001, S110 - any class's pickling and comparing
        pass
    addresses = tuple(_addresses(signal))
    return SignalName(0, addresses) if addresses else None


def _addresses(signal: Any) -> Iterator[tuple[str, str]]:
    """Yield each module, and the name by which it or a class in it has *signal*.

    All of them: the first may be one that the other process does not import.
    """
    for name, module in list(sys.modules.items()):
        for attribute, value in list(getattr(module, "__dict__", {}).items()):
            if value is signal:
                yield name, attribute
            elif isinstance(value, type) and value.__module__ == name:
                for inner, held in list(vars(value).items()):
                    if held is signal:
                        yield name, f"{attribute}.{inner}"


class SignalsElsewhere:
    """Signals with receivers in another process, found in this one."""

    def __init__(self, names: Sequence[SignalName] = ()) -> None:
        self._unfound = list(names)
        self._numbers: dict[Any, int] = {}

    def number_of(self, signal: Any) -> int | None:
        """Return the number of *signal*; None if it has no receiver there."""
        if signal in SCRAPYS or not (self._unfound or self._numbers):
            return None
        if signal not in self._numbers and self._unfound:
            self._look_again()
        return self._numbers.get(signal)

    def _look_again(self) -> None:
        """Look for signals whose modules may have been imported meanwhile."""
        unfound, self._unfound = self._unfound, []
        for name in unfound:
            found = list(_find(name))
            self._numbers |= dict.fromkeys(found, name.number)
            if not found:
                self._unfound.append(name)


def _find(name: SignalName) -> Iterator[Any]:
    """Yield the signals of that name that are here: none, or one."""
    if name.value is not None:
        try:
            yield pickle.loads(name.value)  # noqa: S301 - the supervisor's
        except Exception:  # noqa: BLE001 - its class is not here
            return
    for module, path in name.addresses:
        found: Any = sys.modules.get(module)
        for part in path.split("."):
            found = getattr(found, part, None)
        if found is not None:
            yield found
            return
