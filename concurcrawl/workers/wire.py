"""What a supervisor and its workers say to each other, and how it becomes bytes.

Both ends are processes of one machine that run the same code, started by one another,
so objects travel by pickle. Nothing that came from the network is ever unpickled.
"""

from __future__ import annotations

import asyncio
import io
import pickle
import socket
import struct
import sys
from dataclasses import dataclass, field
from types import FunctionType
from typing import TYPE_CHECKING, Any

import dill
from lxml import etree
from parsel import Selector, SelectorList
from scrapy.http import Response

from concurcrawl.errors import NotShippableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scrapy import Spider
    from scrapy.crawler import Crawler

    from concurcrawl.frontier.limits import Visit
    from concurcrawl.records import Record
    from concurcrawl.workers.cookies import CookieChange

_LENGTH = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class Job:
    """Supervisor to worker, first: what to be.

    Attributes:
        name: The worker's name, as it stands in the log.
        sys_path: Where to import from; set before ``crawl`` is decoded.
        slots: Requests it may have in flight.
        crawl: Encoded :class:`Crawl`.
    """

    name: str
    sys_path: tuple[str, ...]
    slots: int
    crawl: bytes


@dataclass(frozen=True, slots=True)
class Crawl:
    """What a worker crawls with.

    Attributes:
        spidercls: The spider's class.
        settings: Value and priority of each setting that is not Scrapy's default.
        addons: Paths or classes of the add-ons; their settings are applied already.
        args: What the spider was made with.
        kwargs: Likewise.
    """

    spidercls: type[Spider]
    settings: Mapping[str, tuple[Any, int]]
    addons: tuple[Any, ...]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lend:
    """Supervisor to worker: do this request."""

    ticket: int
    queued_s: float
    payload: bytes


@dataclass(frozen=True, slots=True)
class Listen:
    """Supervisor to worker: somebody here wants to be told of these signals.

    Attributes:
        signals: Their names in ``scrapy.signals``.
    """

    signals: frozenset[str]


@dataclass(frozen=True, slots=True)
class SetCookies:
    """Supervisor to worker: another process got or dropped these cookies."""

    changes: tuple[CookieChange, ...]


@dataclass(frozen=True, slots=True)
class Troubled:
    """Supervisor to worker: from now on ask before each request to this group."""

    group: str


@dataclass(frozen=True, slots=True)
class Enter:
    """A worker's question: may this request start? Answered when it may."""

    group: str
    ticket: int | None


@dataclass(frozen=True, slots=True)
class FetchRobots:
    """A worker's question: what does this robots.txt say? It is fetched once for all.

    The answer is encoded ``(is_first, response)``; of those who ask for one robots.txt
    only the first is told that it is, so that only one counts it.
    """

    request: bytes


Question = Enter | FetchRobots


@dataclass(frozen=True, slots=True)
class Ask:
    """Worker to supervisor: a question, with a number to answer it by."""

    number: int
    question: Question


@dataclass(frozen=True, slots=True)
class Answer:
    """Supervisor to worker: an answer, or why there is none."""

    number: int
    value: bytes = b""
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """Worker to supervisor: a request is done at its site.

    Attributes:
        group: Its group.
        ticket: Its ticket, or None.
        visit: How it went.
    """

    group: str
    ticket: int | None
    visit: Visit


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Worker to supervisor: the site's robots.txt wants this pace."""

    group: str
    delay_s: float


@dataclass(frozen=True, slots=True)
class Ping:
    """Supervisor to worker: answer, to show that nothing blocks you."""


@dataclass(frozen=True, slots=True)
class Pong:
    """Worker to supervisor: nothing blocks me."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Supervisor to worker: end when what you were lent is done."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to supervisor: the spider is open."""

    pid: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Worker to supervisor: I cannot start, and this is why."""

    reason: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log record, with its message and traceback made text."""

    logger: str
    level: int
    created_s: float
    message: str
    traceback: str | None


@dataclass(frozen=True, slots=True)
class Head:
    """A response without its body."""

    kind: type[Response]
    url: str
    status: int
    headers: Mapping[bytes, list[bytes]]
    flags: tuple[str, ...]
    protocol: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """A signal that the supervisor sends in the worker's stead.

    Attributes:
        signal: Its name in ``scrapy.signals``.
        head: Index of the response in :attr:`Outcome.heads`, or None.
        error: For ``spider_error``, type and text of the exception.
    """

    signal: str
    head: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A request or an item that came of a request, encoded.

    Attributes:
        is_item: An item; else a request.
        payload: It, encoded.
        key: A request's fingerprint.
    """

    is_item: bool
    payload: bytes
    key: bytes = b""


@dataclass(slots=True)
class Outcome:
    """Worker to supervisor: what came of a lease, or, without one, of the worker.

    It is filled while the request is worked on and sent once, when it is done.

    Attributes:
        ticket: The lease it ends, or None.
        heads: The responses that came.
        page: Index of the one that the callback got, or None.
        events: The signals to send, in order.
        products: The items and requests, in the order they were yielded.
        stats: The stats written, by key and way of writing.
        cookies: The cookies got and dropped.
        logs: The log lines since the last outcome.
        close_reason: Set if a callback raised ``CloseSpider``.
        record: How the request went, if records are kept.
    """

    ticket: int | None = None
    heads: list[Head] = field(default_factory=list)
    page: int | None = None
    events: list[Event] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    stats: dict[tuple[str, str], Any] = field(default_factory=dict)
    cookies: list[CookieChange] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    close_reason: str | None = None
    record: Record | None = None


ToWorker = Job | Lend | Listen | SetCookies | Troubled | Answer | Ping | Stop
ToSupervisor = Ready | Failed | Pong | Outcome | Ask | Left | SlowDown

#: Signals that workers report and the supervisor sends, by their names in
#: ``scrapy.signals``.
REPLAYED = (
    "request_reached_downloader",
    "request_left_downloader",
    "response_downloaded",
    "response_received",
    "spider_error",
)


class Codec:
    """Turns requests, items and spider classes into bytes and back.

    Objects that exist once in each process (the spider, its crawler, its settings)
    travel as their names, so that a callback that is a spider's method, or a lambda
    that mentions ``self``, means the receiving process's own spider.
    """

    def __init__(self, residents: Mapping[str, object] | None = None) -> None:
        """Name the residents.

        Args:
            residents: Objects by name; the other end must know the same names.
        """
        self._residents = dict(residents or {})
        self._names = {id(thing): name for name, thing in self._residents.items()}

    def encode(self, thing: object) -> bytes:
        """Return *thing* as bytes.

        Raises:
            NotShippableError: If it holds something that cannot leave the process.
        """
        buffer = io.BytesIO()
        try:
            _Pickler(buffer, self._names).dump(thing)
        except Exception:  # noqa: BLE001 - a pickler runs anybody's code
            buffer = io.BytesIO()
            try:
                _ClosurePickler(buffer, self._names).dump(thing)
            except Exception as error:
                raise NotShippableError(_describe(thing), str(error)) from error
        return buffer.getvalue()

    def decode(self, payload: bytes) -> Any:
        """Return what :meth:`encode` was given."""
        return _Unpickler(io.BytesIO(payload), self._residents).load()


class _Pickler(pickle.Pickler):
    """The quick one: in C, by reference, no closures."""

    def __init__(self, file: io.BytesIO, names: Mapping[int, str]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._names = names

    def persistent_id(self, obj: Any) -> str | None:
        return self._names.get(id(obj))

    def reducer_override(self, obj: Any) -> Any:
        return _reduce(obj)


class _ClosurePickler(dill.Pickler):  # type: ignore[misc]  # dill has no types
    """The thorough one: lambdas, closures and local classes, by value."""

    def __init__(self, file: io.BytesIO, names: Mapping[int, str]) -> None:
        # recurse: of a function's globals only those it mentions travel with it.
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL, recurse=True)
        self._resident_names = names

    def persistent_id(self, obj: Any) -> str | None:
        return self._resident_names.get(id(obj))

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type) and _has_an_address(obj):
            # dill would copy those of a script's own module, and a copy of a class is
            # another class. Workers have that module too.
            return obj.__qualname__
        return _reduce(obj)


class _Unpickler(dill.Unpickler):  # type: ignore[misc]  # dill has no types
    def __init__(self, file: io.BytesIO, residents: Mapping[str, object]) -> None:
        super().__init__(file)
        self._residents_by_name = residents

    def persistent_load(self, pid: str) -> object:
        return self._residents_by_name[pid]


def _reduce(obj: Any) -> Any:
    """Return how to rebuild what pickle alone cannot, or NotImplemented."""
    if isinstance(obj, Selector):
        if not isinstance(obj.root, etree._Element):  # a text, or JSON
            return _selector, (type(obj), obj.type, obj.namespaces, obj.root)
        tag = str(obj.root.tag)
        return _part, (type(obj), obj.type, obj.namespaces, obj.get(), tag)
    if isinstance(obj, SelectorList):
        return type(obj), (list(obj),)
    if isinstance(obj, Response):
        # A certificate belongs to the connection, which stays behind.
        names = [name for name in obj.attributes if name != "certificate"]
        return _response, (type(obj), {name: getattr(obj, name) for name in names})
    return NotImplemented


def _has_an_address(obj: FunctionType | type) -> bool:
    """Tell whether *obj* is what its module and name lead to."""
    found: Any = sys.modules.get(obj.__module__)
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def _response(kind: type[Response], attributes: dict[str, Any]) -> Response:
    return kind(**attributes)


def _selector(
    kind: type[Selector], type_: str, namespaces: dict[str, str], root: Any
) -> Selector:
    return kind(root=root, type=type_, namespaces=namespaces)


def _part(
    kind: type[Selector], type_: str, namespaces: dict[str, str], text: str, tag: str
) -> Selector:
    whole = kind(text=text, type=type_, namespaces=namespaces)
    if type_ != "html":
        return whole
    # An HTML parser wraps a part in <html><body>; relative paths start below it.
    inner = whole.xpath("(//*[name() = $tag])[1]", tag=tag)
    return inner[0] if inner else whole


def _describe(thing: object) -> str:
    if isinstance(thing, FunctionType | type):
        return thing.__qualname__
    text = repr(thing)
    return text if len(text) <= 200 else text[:200] + "…"


def residents(crawler: Crawler) -> dict[str, object]:
    """Return the objects that travel by name, the same ones in each process."""
    return {
        "spider": crawler.spider,
        "crawler": crawler,
        "settings": crawler.settings,
        "engine": crawler.engine,
        "stats": crawler.stats,
    }


def frame(message: ToWorker | ToSupervisor) -> bytes:
    """Return *message* as it goes over a socket: length, then pickle."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


async def connect(
    sock: socket.socket, protocol: Callable[[], asyncio.Protocol]
) -> None:
    """Hand *sock* to the running event loop."""
    loop = asyncio.get_running_loop()
    if sock.family == getattr(socket, "AF_UNIX", None):
        await loop.create_unix_connection(protocol, sock=sock)
    else:
        await loop.create_connection(protocol, sock=sock)


class Frames:
    """Cuts a stream of bytes into messages. Feed it; it yields what is whole."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Add *data* and yield each message that is complete with it.

        Raises:
            pickle.UnpicklingError: If a message holds what is no part of messages.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield _MessageUnpickler(io.BytesIO(body)).load()


class _MessageUnpickler(pickle.Unpickler):
    """Knows the types that messages are made of, and no others.

    What people put into requests and items is inside, as bytes, for :class:`Codec`.
    """

    def find_class(self, module: str, name: str) -> Any:
        if module in _MESSAGE_MODULES or (module, name) in _MESSAGE_TYPES:
            return super().find_class(module, name)
        found = super().find_class(module, name)
        if isinstance(found, type) and issubclass(found, Response | Exception):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a message")


_MESSAGE_MODULES = {
    "concurcrawl.errors",
    "concurcrawl.frontier.limits",
    "concurcrawl.records",
    "concurcrawl.workers.cookies",
    "concurcrawl.workers.wire",
}
_MESSAGE_TYPES = {
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "frozenset"),
    ("builtins", "set"),
    ("collections", "Counter"),
    ("collections", "OrderedDict"),
    ("copyreg", "__newobj__"),
    ("copyreg", "_reconstructor"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("decimal", "Decimal"),
    ("http.cookiejar", "Cookie"),
}
