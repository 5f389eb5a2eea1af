"""Waiting requests as bytes, where nothing can tell that they were not objects."""

from __future__ import annotations

import pickle
from sys import getrefcount
from types import MethodType, NoneType
from typing import TYPE_CHECKING, Any
from weakref import getweakrefs

from scrapy import Request
from scrapy.http import Headers
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.request import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Spider

#: Values that are the same to everybody, copied or not.
_SCALARS = frozenset((str, int, float, bool, bytes, complex, NoneType))

#: Values that others see change, if they have them too.
_CONTAINERS = frozenset((dict, list, Headers))

_DEEPEST = 20  # containers within each other

#: Classes and callbacks that are kept by number; a crawl has few of each.
_MOST_NUMBERS = 1000

#: What a class may not have of its own: then a copy may differ, or be noticed.
_AS_OBJECTS = "__reduce_ex__ __reduce__ __getstate__ __getattribute__ __setattr__"
_MISSING = "__setstate__ __getnewargs__ __getnewargs_ex__ __del__"

_sample = {0: object()}

#: References to what is in one container only, as :func:`getrefcount` counts them.
_ALONE = getrefcount(_sample[0])


class Packer:
    """Turns requests into bytes, and back into equal requests.

    Scrapy keeps what waits as the objects that they are, so that an extension may know
    a request again, or several requests share a list in their ``meta``. Hence only a
    request is packed that nothing else refers to, neither to it nor to a container in
    it, and that holds nothing but scalars, containers of them and callbacks of the
    spider. CPython's reference counts say so at no cost.
    """

    def __init__(self, spider: Spider | None) -> None:
        """Make one for the requests of *spider*."""
        self._spider = spider
        self._things: list[Any] = []  # classes and callbacks
        self._numbers: dict[Any, int] = {}
        sample = Request("data:,")
        fingerprint(sample)
        #: Of Scrapy's own weak references: its cache of fingerprints, and for each
        #: class the list of what is alive.
        self._callbacks = _callbacks(sample)

    def pack(self, requests: dict[int, Request], name: int) -> bytes | None:
        """Return a request as bytes; None if it must stay an object.

        Args:
            requests: Has the only reference to it.
            name: Its key there.
        """
        if getrefcount(requests[name]) > _ALONE:
            return None
        request = requests[name]
        kind = self._number(type(request), self._is_copyable)
        if kind is None or not self._is_unwatched(request):
            return None
        own, slots = _state(request)
        numbers: dict[str, int] = {}
        for slot in ("callback", "errback"):
            number = self._number(slots.pop(slot, None), self._is_method)
            if number is None:
                return None
            numbers[slot] = number
        if not all(is_plain(slots, slot, holders=2) for slot in slots):
            return None
        if not all(is_plain(own, attribute) for attribute in own):
            return None
        return pickle.dumps((kind, numbers, own, slots), pickle.HIGHEST_PROTOCOL)

    def unpack(self, packed: bytes) -> Request:
        """Return a request equal to the one that :meth:`pack` was given."""
        kind, numbers, own, slots = pickle.loads(packed)  # noqa: S301 - ours
        cls: type[Request] = self._things[kind]
        request = cls.__new__(cls)
        for slot, value in slots.items():
            setattr(request, slot, value)
        for slot, number in numbers.items():
            setattr(request, slot, self._things[number])
        if own:
            vars(request).update(own)
        return request

    def _is_unwatched(self, request: Request) -> bool:
        return _callbacks(request) <= self._callbacks

    def _is_copyable(self, cls: type[Request]) -> bool:
        if not is_copyable(cls):
            return False
        self._callbacks |= _callbacks(cls.__new__(cls))
        return True

    def _is_method(self, callback: Any) -> bool:
        if isinstance(callback, MethodType):
            return callback.__self__ is self._spider
        return callback is None or callback is NO_CALLBACK

    def _number(self, thing: Any, may_be: Callable[[Any], bool]) -> int | None:
        """Return the number of *thing*; None if it has none."""
        try:
            return self._numbers[thing]
        except (KeyError, TypeError):  # a callback need not be hashable
            if len(self._things) == _MOST_NUMBERS or not may_be(thing):
                return None
        self._numbers[thing] = len(self._things)
        self._things.append(thing)
        return self._numbers[thing]


def is_copyable(cls: type[Request]) -> bool:
    """Return whether a copy of an object of *cls* is all that the object is."""
    return (
        cls.__new__ is Request.__new__
        and all(
            getattr(cls, name) is getattr(object, name) for name in _AS_OBJECTS.split()
        )
        and not any(hasattr(cls, name) for name in _MISSING.split())
    )


def is_plain(
    held: dict[Any, Any] | list[Any], key: Any, holders: int = 1, depth: int = 0
) -> bool:
    """Return whether a copy of a value cannot be told from it.

    Args:
        held: The container that has it.
        key: Its place there.
        holders: How many references to it there are that will go.
        depth: Containers around *held*.
    """
    value = held[key]
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is tuple:
        return all(type(one) in _SCALARS for one in value)
    # One more of them is ours.
    is_shared = getrefcount(held[key]) > _ALONE + holders
    if kind not in _CONTAINERS or is_shared or depth == _DEEPEST:
        return False
    depth += 1
    if kind is list:
        return all(is_plain(value, at, depth=depth) for at in range(len(value)))
    if kind is Headers:
        lists = dict(dict.items(value))  # by itself it only shows the last of each
        return all(is_plain(lists, one, 2, depth) for one in lists)
    return all(
        type(one) in _SCALARS and is_plain(value, one, depth=depth) for one in value
    )


def _callbacks(request: Request) -> set[Any]:
    return {ref.__callback__ for ref in getweakrefs(request)}


def _state(request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes of *request*: those of a subclass, and those in slots."""
    state: Any = request.__getstate__()
    _, slots = state
    return getattr(request, "__dict__", {}), slots
