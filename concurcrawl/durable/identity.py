"""What an output of ``start()`` is, so that the next run of it is known again.

Two outputs are the same if they would be handled the same: position, object identity
and the order of keys and of set members do not count. What cannot be compared between
two processes is never the same as anything: then the output is taken again, which is
better than losing it.
"""

from __future__ import annotations

import hashlib
import os
from functools import singledispatch
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from itemadapter import ItemAdapter
from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.http import Headers
from scrapy.settings import BaseSettings

from concurcrawl.compat.callback_cache import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGEST_BYTES = 16

#: What must be equal in two requests besides their fingerprints. A fingerprint leaves
#: out what callbacks get, and an own fingerprinter may leave out more. Priority and
#: flags do not change what is asked for and who handles the answer.
_PARTS = ("method", "body", "headers", "cookies", "cb_kwargs", "meta")


def digest(output: object, fingerprint: bytes = b"") -> bytes:
    """Return what tells *output* apart, in 16 bytes.

    Args:
        output: A request or an item.
        fingerprint: Of a request.
    """
    try:
        text = _digested(output, fingerprint)
    except Exception:  # noqa: BLE001 - it runs the code of any class
        return os.urandom(_DIGEST_BYTES)  # equal to nothing: it is taken again
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()


def _digested(output: object, fingerprint: bytes) -> bytes:
    if not isinstance(output, Request):
        return _written(output)
    parts = [_written(getattr(output, name)) for name in _PARTS]
    roles = [_written(role) for role in (output.callback, output.errback)]
    kind = _address(type(output)).encode()
    return _joined("request", [kind, fingerprint, *parts, *roles])


def _joined(kind: str, parts: Iterable[bytes]) -> bytes:
    """Return *parts* as one, so that no other parts give the same."""
    sized = [b"%d:%b" % (len(part), part) for part in parts]
    return b"%b(%b)" % (kind.encode(), b"".join(sized))


def _address(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _written(value: object) -> bytes:
    if type(value) in (str, int, float, bool, type(None), bytes):
        return _joined(type(value).__name__, [repr(value).encode()])
    if ItemAdapter.is_item(value) and not isinstance(value, dict):
        fields = dict(ItemAdapter(value).items())
        return _joined(_address(type(value)), [_written(fields)])
    return _write(value)


@singledispatch
def _write(value: object) -> bytes:
    """Write anything that can be pickled, by the parts that pickle would keep."""
    reduced = value.__reduce_ex__(4)
    if isinstance(reduced, str):
        return _joined(_address(type(value)), [reduced.encode()])
    parts = [
        list(part) if hasattr(part, "__next__") else part  # those of a list or a dict
        for part in reduced
    ]
    return _joined(_address(type(value)), [_written(part) for part in parts])


@_write.register(dict)
def _(value: dict[Any, Any]) -> bytes:
    pairs = sorted(_joined("", [_written(k), _written(v)]) for k, v in value.items())
    kind = type(value)
    return _joined("dict" if kind is dict else _address(kind), pairs)


@_write.register(Headers)
def _(value: Headers) -> bytes:
    return _written({bytes(name): list(found) for name, found in value.items()})


@_write.register(list)
@_write.register(tuple)
def _(value: list[Any] | tuple[Any, ...]) -> bytes:
    return _joined(_address(type(value)), map(_written, value))


@_write.register(set)
@_write.register(frozenset)
def _(value: set[Any] | frozenset[Any]) -> bytes:
    return _joined(_address(type(value)), sorted(map(_written, value)))


@_write.register(type)
@_write.register(BuiltinFunctionType)
def _(value: Any) -> bytes:
    return _joined("name", [_address(value).encode()])


@_write.register(ModuleType)
def _(value: ModuleType) -> bytes:
    return _joined("module", [value.__name__.encode()])


@_write.register(Spider)
@_write.register(Crawler)
@_write.register(BaseSettings)
def _(value: object) -> bytes:
    return _joined("resident", [_address(type(value)).encode()])


@_write.register(MethodType)
def _(value: MethodType) -> bytes:
    name = name_of(value) or value.__func__.__qualname__
    return _joined("method", [name.encode(), _written(value.__self__)])


@_write.register(FunctionType)
def _(value: FunctionType) -> bytes:
    code = value.__code__
    inside = [cell.cell_contents for cell in value.__closure__ or ()]
    given = [value.__defaults__, value.__kwdefaults__, inside]
    names = [_address(value), code.co_code, code.co_names, code.co_varnames]
    plain = [one for one in code.co_consts if not hasattr(one, "co_code")]
    return _joined("function", [_written(part) for part in (*names, plain, given)])
