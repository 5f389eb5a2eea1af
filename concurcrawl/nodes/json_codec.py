"""Requests and items as JSON, from one machine to another.

What JSON does not know is an object with one key that begins with ``!``:
``{"!bytes": "<base64>"}``, ``!tuple``, ``!set``, ``!frozenset``, ``!float`` (infinite
or no number), ``!datetime``, ``!date``, ``!time``, ``!timedelta`` (seconds),
``!decimal``, ``!dict`` (pairs: keys that are no text, or begin with ``!``), ``!item``
(class and fields). Nothing else is read, so that foreign data in Redis
can make nothing but requests and items: no code travels, and classes are only looked
up in Scrapy, in the spider's own package, and in what is imported already.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib import import_module
from types import MethodType
from typing import TYPE_CHECKING, Any

from itemadapter import ItemAdapter
from scrapy import Item, Request
from scrapy.utils.serialize import ScrapyJSONEncoder

from concurcrawl.compat.callback_cache import name_of
from concurcrawl.errors import NotJsonError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Spider

_DEFAULTS: dict[str, Any] = {
    "body": b"",
    "callback": None,
    "cb_kwargs": {},
    "cookies": {},
    "dont_filter": False,
    "encoding": "utf-8",
    "errback": None,
    "flags": [],
    "headers": {},
    "meta": {},
    "method": "GET",
    "priority": 0,
}

_PLAIN = (str, int, bool, type(None))

#: How to write what JSON does not know, and how to read it.
_WRITE: dict[type, tuple[str, Callable[[Any], Any]]] = {
    float: ("!float", repr),  # infinite, or no number
    bytes: ("!bytes", lambda value: base64.b64encode(value).decode()),
    datetime: ("!datetime", datetime.isoformat),
    date: ("!date", date.isoformat),
    time: ("!time", time.isoformat),
    timedelta: ("!timedelta", timedelta.total_seconds),
    Decimal: ("!decimal", str),
}
_READ: dict[str, Callable[[Any], Any]] = {
    "!bytes": base64.b64decode,
    "!datetime": datetime.fromisoformat,
    "!date": date.fromisoformat,
    "!time": time.fromisoformat,
    "!timedelta": lambda seconds: timedelta(seconds=seconds),
    "!decimal": Decimal,
    "!float": float,
}
_GROUPS: dict[type, str] = {tuple: "!tuple", set: "!set", frozenset: "!frozenset"}
_MADE = {name: kind for kind, name in _GROUPS.items()}


class JsonCodec:
    """Writes and reads what a spider's nodes tell each other."""

    def __init__(self, spider: Spider) -> None:
        """Make one for *spider*, whose methods callbacks are."""
        self._spider = spider
        self._encoder = ScrapyJSONEncoder(ensure_ascii=False)
        self._roots = {"scrapy", type(spider).__module__.partition(".")[0]}

    def write_request(self, request: Request) -> bytes:
        """Return *request* as JSON.

        Raises:
            NotJsonError: If it holds something that is not portable.
        """
        kind = type(request)
        base = _scrapys(kind)
        fields: dict[str, Any] = {}
        try:
            if kind is not base and (own := _own_state(request, base)):
                fields["!own"] = _write_own(own)
            for name in base.attributes:
                value = getattr(request, name)
                if name in ("callback", "errback"):
                    value = self._name_of(value, name)
                elif name == "headers":
                    value = dict(value)
                if value != _DEFAULTS.get(name, self):
                    fields[name] = _write(value)
        except _NotPortableError as error:
            raise NotJsonError(repr(request), str(error)) from None
        if kind is not Request:
            fields["!class"] = _address(kind)
        return _dump(fields)

    def read_request(self, payload: bytes) -> Request:
        """Return the request that :meth:`write_request` was given.

        Raises:
            NotJsonError: If it is none, or is of a spider that this one is not.
        """
        try:
            fields = json.loads(payload)
            kind = self._find(fields.pop("!class", "scrapy.http.request:Request"))
            if not (isinstance(kind, type) and issubclass(kind, Request)):
                raise _NotPortableError(f"{kind!r} is no class of requests")
            own = self._read(fields.pop("!own", {}))
            values = {name: self._read(value) for name, value in fields.items()}
            for name in ("callback", "errback"):
                if values.get(name):
                    values[name] = getattr(self._spider, values[name])
            return _make_request(kind, values, own)
        except (AttributeError, TypeError, ValueError, ImportError) as error:
            shown = payload[:200].decode(errors="replace")
            raise NotJsonError(f"the request {shown}", str(error)) from None

    def write_item(self, item: Any, page: tuple[str, int] | None) -> bytes:
        """Return *item*, and the URL and status of the page it came of, as JSON.

        Raises:
            NotJsonError: If it holds something that is not portable.
        """
        try:
            return _dump({"item": _write(item), "page": page})
        except _NotPortableError as error:
            shown = repr(item)
            shown = shown if len(shown) <= 200 else shown[:200] + "…"
            raise NotJsonError(f"the item {shown}", str(error)) from None

    def write_line(self, item: Any) -> bytes:
        """Return *item* as a feed of JSON lines has it, without the end of the line.

        Raises:
            NotJsonError: If it holds something that such a feed cannot have.
        """
        try:
            return self._encoder.encode(item).encode()
        except (TypeError, ValueError) as error:
            raise NotJsonError(f"the item {item!r:.200}", str(error)) from None

    def read_item(self, payload: bytes) -> tuple[Any, tuple[str, int] | None]:
        """Return what :meth:`write_item` was given.

        Raises:
            NotJsonError: If it is none.
        """
        try:
            found = json.loads(payload)
            page = found["page"]
            return self._read(found["item"]), None if page is None else tuple(page)
        except (AttributeError, TypeError, ValueError, ImportError) as error:
            shown = payload[:200].decode(errors="replace")
            raise NotJsonError(f"the item {shown}", str(error)) from None

    def _name_of(self, callback: Any, role: str) -> str | None:
        if callback is None or isinstance(callback, str):
            return callback
        if isinstance(callback, MethodType) and callback.__self__ is self._spider:
            name = name_of(callback)
            if name is not None:
                return name
        shown = getattr(callback, "__qualname__", repr(callback))
        raise _NotPortableError(f"its {role} {shown} is no method of the spider")

    def _read(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._read(one) for one in value]
        if not isinstance(value, dict):
            return value
        name, inner = next(iter(value.items()), ("", None))
        if name.startswith("!"):
            return self._read_marked(name, inner)
        return {name: self._read(inner) for name, inner in value.items()}

    def _read_marked(self, name: str, inner: Any) -> Any:
        if name in _READ:
            return _READ[name](inner)
        if name in _MADE:
            return _MADE[name](self._read(one) for one in inner)
        if name == "!dict":
            return {_hashable(self._read(k)): self._read(v) for k, v in inner}
        if name == "!item":
            return self._item(*inner)
        raise _NotPortableError(f"{name} is unknown")

    def _item(self, address: str, fields: dict[str, Any]) -> Any:
        kind = self._find(address)
        if not (isinstance(kind, type) and ItemAdapter.is_item_class(kind)):
            raise _NotPortableError(f"{address} is no class of items")
        return kind(**{name: self._read(value) for name, value in fields.items()})

    def _find(self, address: str) -> Any:
        module, _, name = address.partition(":")
        root = module.partition(".")[0]
        if module not in sys.modules:
            if root not in self._roots:
                raise _NotPortableError(f"{module} is not the spider's")
            import_module(module)
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
        return found


def _scrapys(kind: type[Request]) -> type[Request]:
    """Return the class of Scrapy's that *kind* is, or derives from."""
    return next(
        cls
        for cls in kind.__mro__
        if issubclass(cls, Request) and cls.__module__.startswith("scrapy.")
    )


def _own_state(request: Request, base: type[Request]) -> dict[str, Any]:
    """Return what a request has that *base*, its class of Scrapy's, does not know."""
    own = dict(getattr(request, "__dict__", {}))
    for cls in type(request).__mro__:
        if cls in base.__mro__:
            continue
        slots = vars(cls).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            name = f"_{cls.__name__.lstrip('_')}{slot}" if _is_mangled(slot) else slot
            if not slot.endswith("__") and hasattr(request, name):
                own[name] = getattr(request, name)
    return own


def _is_mangled(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")


def _write_own(own: dict[str, Any]) -> Any:
    written: dict[str, Any] = {}
    for name, value in own.items():
        try:
            written[name] = _write(value)
        except _NotPortableError as error:
            raise _NotPortableError(f"its attribute {name}: {error}") from None
    return written


def _make_request(
    kind: type[Request], values: dict[str, Any], own: dict[str, Any]
) -> Request:
    """Return the request again, without the ``__init__`` of a project's class.

    That may take anything; what it has left on the request is in *own*.
    """
    base = _scrapys(kind)
    if kind is base:
        return kind(**values)
    request = kind.__new__(kind)
    base.__init__(request, **values)
    for name, value in own.items():
        setattr(request, name, value)
    return request


class _NotPortableError(ValueError):
    """Says what is not."""


def _write(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN or (kind is float and math.isfinite(value)):
        return value
    if kind is list:
        return [_write(one) for one in value]
    if kind is dict:
        return _write_dict(value)
    if kind in _GROUPS:
        return {_GROUPS[kind]: [_write(one) for one in value]}
    return _write_special(kind, value)


def _write_special(kind: type, value: Any) -> Any:
    if kind in _WRITE:
        name, write = _WRITE[kind]
        return {name: write(value)}
    if isinstance(value, str):  # a subclass: what is text stays text
        return str(value)
    if isinstance(value, Item) or (ItemAdapter.is_item(value) and kind is not dict):
        return {"!item": [_address(kind), _fields(value)]}
    raise _NotPortableError(f"it holds a {kind.__module__}.{kind.__qualname__}")


def _write_dict(value: dict[Any, Any]) -> dict[str, Any]:
    if all(type(name) is str and not name.startswith("!") for name in value):
        return {name: _write(inner) for name, inner in value.items()}
    return {"!dict": [[_write(k), _write(v)] for k, v in value.items()]}


def _fields(item: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(item):
        made = [field.name for field in dataclasses.fields(item) if field.init]
        return {name: _write(getattr(item, name)) for name in made}
    return {name: _write(value) for name, value in ItemAdapter(item).items()}


def _address(kind: type) -> str:
    if "<locals>" in kind.__qualname__:
        raise _NotPortableError(f"its class {kind.__qualname__} is a local one")
    return f"{kind.__module__}:{kind.__qualname__}"


def _hashable(key: Any) -> Any:
    return tuple(key) if isinstance(key, list) else key


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
