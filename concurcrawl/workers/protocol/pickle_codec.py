"""Encodes requests, items and spider classes for other processes of the crawl.

Both ends are processes of one machine that run the same code, one started by the other,
so objects are pickled. Nothing that came from the network is ever unpickled.
"""

from __future__ import annotations

import io
import pickle
import sys
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from lxml import etree
from parsel import Selector, SelectorList
from scrapy.http import Response

from concurcrawl.compat.callback_cache import name_of
from concurcrawl.compat.pickling import dill
from concurcrawl.errors import IN_ONE_PROCESS, NotShippableError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scrapy.crawler import Crawler
    from scrapy.settings import BaseSettings

#: Setting of a worker whose supervisor has a ``JOBDIR``.
HAS_JOBDIR = "CONCURCRAWL_HAS_JOBDIR"

#: Setting of a worker whose crawl can be resumed, or is shared with other nodes.
IS_DURABLE = "CONCURCRAWL_IS_DURABLE"


class Codec:
    """Turns requests, items and spider classes into bytes and back.

    Objects that exist once in each process (the spider, its crawler, its settings) are
    encoded as names, so that a callback that is a spider's method, or a lambda that
    mentions ``self``, means the receiving process's own spider.
    """

    def __init__(
        self,
        residents: Mapping[str, object] | None = None,
        remedy: str = IN_ONE_PROCESS,
    ) -> None:
        """Make one.

        Args:
            residents: Objects that exist once in each process, by name; the other end
                must have the same names.
            remedy: Advice for an error that something cannot be encoded, as words
                after "or".
        """
        self._residents = dict(residents or {})
        self._remedy = remedy
        self._names = {id(thing): name for name, thing in self._residents.items()}

    def encode(self, thing: object) -> bytes:
        """Return *thing* as bytes.

        Raises:
            NotShippableError: If it holds something that cannot leave the process.
        """
        buffer = io.BytesIO()
        try:
            _Pickler(buffer, self._names).dump(thing)
        except Exception:  # noqa: BLE001 - a pickler runs code of any class
            buffer = io.BytesIO(_BY_VALUE)
            buffer.seek(len(_BY_VALUE))
            try:
                _ClosurePickler(buffer, self._names).dump(thing)
            except Exception as error:
                raise NotShippableError(
                    _describe(thing), str(error), self._remedy
                ) from error
        return buffer.getvalue()

    def encode_plain(self, thing: object) -> bytes | None:
        """Return *thing* as bytes, or None if it needs more than pickle.

        For what may be left out: the thorough pickler takes long to find that a live
        object, such as a browser, cannot be encoded.
        """
        buffer = io.BytesIO()
        try:
            _Pickler(buffer, self._names).dump(thing)
        except Exception:  # noqa: BLE001 - a pickler runs code of any class
            return None
        return buffer.getvalue()

    def decode(self, payload: bytes) -> Any:
        """Return the object that :meth:`encode` was given."""
        if payload.startswith(_BY_VALUE):
            file = io.BytesIO(payload)
            file.seek(len(_BY_VALUE))
            return _ClosureUnpickler(file, self._residents).load()
        return _Unpickler(io.BytesIO(payload), self._residents).load()


#: Prefix of what the thorough pickler wrote; no pickle begins like this.
_BY_VALUE = b"by value:"


class _Pickler(pickle.Pickler):
    """The fast pickler: in C, by reference, no closures."""

    def __init__(self, file: io.BytesIO, names: Mapping[int, str]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._names = names

    def persistent_id(self, obj: Any) -> str | None:
        return self._names.get(id(obj))

    def reducer_override(self, obj: Any) -> Any:
        return _reduce(obj)


class _ClosurePickler(dill.Pickler):  # type: ignore[misc]  # dill has no types
    """The thorough pickler: lambdas, closures and local classes, by value."""

    def __init__(self, file: io.BytesIO, names: Mapping[int, str]) -> None:
        # recurse: of a function's globals only those that it mentions are encoded.
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL, recurse=True)
        self._resident_names = names

    def persistent_id(self, obj: Any) -> str | None:
        return self._resident_names.get(id(obj))

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type) and has_address(obj):
            # dill would copy functions and classes of ``__main__``, and a copy of a
            # class is another class. Workers have that module too.
            return obj.__qualname__
        return _reduce(obj)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, residents: Mapping[str, object]) -> None:
        super().__init__(file)
        self._residents = residents

    def persistent_load(self, pid: str) -> object:
        return self._residents[pid]


class _ClosureUnpickler(dill.Unpickler):  # type: ignore[misc]  # dill has no types
    def __init__(self, file: io.BytesIO, residents: Mapping[str, object]) -> None:
        super().__init__(file)
        self._residents_by_name = residents

    def persistent_load(self, pid: str) -> object:
        return self._residents_by_name[pid]


def _reduce(obj: Any) -> Any:
    """Return how to rebuild objects that pickle cannot handle, or NotImplemented."""
    if isinstance(obj, Selector):
        if not etree.iselement(obj.root):  # a text, or JSON
            return _selector, (type(obj), obj.type, obj.namespaces, obj.root)
        tag = str(obj.root.tag)
        return _part, (type(obj), obj.type, obj.namespaces, obj.get(), tag)
    if isinstance(obj, SelectorList):
        return type(obj), (list(obj),)
    if isinstance(obj, MethodType):
        return _reduce_method(obj)
    if isinstance(obj, Response):
        return _reduce_response(obj)
    return NotImplemented


def _reduce_method(method: MethodType) -> tuple[Any, ...]:
    name = name_of(method)
    if name is None:
        return MethodType, (method.__func__, method.__self__)
    return getattr, (method.__self__, name)


def _reduce_response(response: Response) -> tuple[Any, ...]:
    # A certificate may be an object of the TLS library, which cannot be pickled.
    kind = type(response)
    if kind.__module__.startswith("scrapy."):
        names = [name for name in response.attributes if name != "certificate"]
        return _response, (kind, {name: getattr(response, name) for name in names})
    reduced: Any = response.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    make, args, (own, slots), *_ = reduced
    return make, args, (own, {**slots, "certificate": None})


def has_address(obj: FunctionType | type) -> bool:
    """Return whether its module and qualified name lead to *obj*."""
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


def read_back(what: str, payload: bytes, codec: Codec) -> Any:
    """Decode something that another process made.

    Args:
        what: What it is, for the error.
        payload: The bytes.
        codec: What decodes them.

    Raises:
        UnreadableError: Whatever its class raises.
    """
    try:
        return codec.decode(payload)
    except Exception as error:
        raise UnreadableError(what, f"{type(error).__name__}: {error}") from error


def codec_of(crawler: Crawler) -> Codec:
    """Return a codec for *crawler*, whose spider is open.

    The objects that exist once in each process have the same names in all of them.
    """
    residents = {
        "spider": crawler.spider,
        "crawler": crawler,
        "settings": crawler.settings,
        "engine": crawler.engine,
        "stats": crawler.stats,
    }
    return Codec(residents, _remedy(crawler.settings))


def _remedy(settings: BaseSettings) -> str:
    """Return how to keep a crawl with these settings in one process."""
    for name, left_out in (
        ("CONCURCRAWL_FRONTIER_URL", "CONCURCRAWL_FRONTIER_URL"),
        ("JOBDIR", "JOBDIR"),
        (HAS_JOBDIR, "JOBDIR"),
    ):
        if settings.get(name):
            return (
                f"leave out {left_out}, with which every mode has worker processes, "
                "and use MODE=serial, concurrent or async"
            )
    return IN_ONE_PROCESS
