"""``spider.state``, which several processes write and which survives a kill.

Each process has a copy. What is written into one is found by comparing, noted with the
request whose callback did it, merged in the supervisor in the step that completes that
request, and passed on to the others:

- numbers by their difference, so that counters add up; sets by what was added and
  removed; dicts by key, recursively; lists by what was appended;
- anything else by value: the last completion wins.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

logger = logging.getLogger(__name__)

#: As Scrapy's own extension writes the file.
_PROTOCOL = 4

#: Set by the add-on where there is a state to keep.
KEEPS_STATE = "CONCURCRAWL_KEEPS_STATE"

_MISSING: Any = object()
_PLAIN = (int, float, str, bytes, bool, type(None))

#: How a value changed: the name of the way, and what it takes.
Change = tuple[Any, ...]


class State(dict[Any, Any]):
    """The dict that is ``spider.state``; says at once which of its keys is written."""

    def __init__(self, on_write: Callable[[Any], None]) -> None:
        super().__init__()
        self._on_write = on_write

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return dict, (dict(self),)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self._on_write(key)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._on_write(key)

    @override
    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    @override
    def pop(self, key: Any, *default: Any) -> Any:
        found = super().pop(key, *default)
        self._on_write(key)
        return found

    @override
    def popitem(self) -> tuple[Any, Any]:
        key, value = super().popitem()
        self._on_write(key)
        return key, value

    @override
    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]
        self.update(other)
        return self

    @override
    def clear(self) -> None:
        for key in list(self):
            del self[key]


class Tracker:
    """Finds what was changed in one process's copy, and applies what others changed.

    Attributes:
        live: The copy.
    """

    def __init__(self, note: Callable[[bytes], None]) -> None:
        """Begin with an empty state.

        Args:
            note: Called with each change, encoded.
        """
        self._note = note
        self.live = State(self._look)
        self._known: dict[Any, Any] = {}
        self._blobs: dict[Any, bytes] = {}
        self._refused: set[Any] = set()

    def adopt(self, found: Any) -> State:
        """Return the copy, in which is what *found* has, if that is another dict."""
        if found is not self.live and isinstance(found, dict):
            old, self.live = self.live, State(self._look)
            for key in [*found, *old]:
                if key in found:
                    dict.__setitem__(self.live, key, found[key])
                self._look(key)
        return self.live

    def collect(self) -> None:
        """Note what was changed inside of values."""
        if self.live or self._known:
            for key in [
                *self.live,
                *(key for key in self._known if key not in self.live),
            ]:
                self._look(key)

    def replace(self, whole: Mapping[Any, Any]) -> None:
        """Have the copy be *whole*; nothing of it is noted."""
        dict.clear(self.live)
        dict.update(self.live, whole)
        self._known.clear()
        self._blobs.clear()
        for key, value in whole.items():
            self._remember(key, pickle.dumps(value, _PROTOCOL))

    def apply(self, changes: Iterable[bytes]) -> None:
        """Do what was changed elsewhere."""
        for encoded in changes:
            key, change = pickle.loads(encoded)  # noqa: S301 - our own processes'
            self._look(key)
            if change[0] == "refused":
                continue
            apply(self._known, key, change)
            # Not the same objects: what is changed in one must differ from the other.
            apply(self.live, key, pickle.loads(encoded)[1])  # noqa: S301 - as above
            if key in self._known:
                self._blobs[key] = pickle.dumps(self._known[key], _PROTOCOL)
            else:
                self._blobs.pop(key, None)

    def snapshot(self) -> dict[Any, Any]:
        """Return what can be kept of the state, as of the last look."""
        return dict(self._known)

    def _look(self, key: Any) -> None:
        value, known = self.live.get(key, _MISSING), self._known.get(key, _MISSING)
        if type(value) in _PLAIN and type(known) is type(value) and known == value:
            return
        try:
            change = self._change_of(key, value, known)
            encoded = None if change is None else pickle.dumps((key, change), _PROTOCOL)
        except Exception as error:  # noqa: BLE001 - a pickler runs code of any class
            self._refuse(key, error)
            return
        if encoded is not None:
            self._note(encoded)

    def _change_of(self, key: Any, value: Any, known: Any) -> Change | None:
        if value is _MISSING:
            if known is _MISSING:
                return None
            del self._known[key], self._blobs[key]
            return ("gone",)
        blob = pickle.dumps(value, _PROTOCOL)
        if blob == self._blobs.get(key):
            return None
        change = difference(known, value)
        self._remember(key, blob)
        return change

    def _remember(self, key: Any, blob: bytes) -> None:
        self._known[key] = pickle.loads(blob)  # noqa: S301 - made here
        self._blobs[key] = blob

    def _refuse(self, key: Any, error: Exception) -> None:
        if key not in self._refused:
            self._refused.add(key)
            reason = f"{type(error).__name__}: {error}"
            self._note(pickle.dumps((repr(key), ("refused", reason)), _PROTOCOL))


def difference(old: Any, new: Any) -> Change | None:
    """Return how *old* became *new*; None if it did not."""
    if _are_numbers(old, new):
        since = 0 if old is _MISSING else old
        return ("add", new - since, since, new) if old != new else None
    if old is not _MISSING and type(old) is not type(new):
        return ("put", new)
    if isinstance(new, set):
        past = set() if old is _MISSING else old
        return _if_any("set", _empty(old, new), new - past, past - new)
    if isinstance(new, dict):
        past = {} if old is _MISSING else old
        keys = [*new, *(key for key in past if key not in new)]
        found = [(key, _changed(past, new, key)) for key in keys]
        changes = [(key, change) for key, change in found if change is not None]
        return _if_any("dict", _empty(old, new), changes)
    if isinstance(new, list):
        past = [] if old is _MISSING else old
        if new[: len(past)] == past:
            return _if_any("list", _empty(old, new), new[len(past) :])
    return ("put", new) if old is _MISSING or old != new else None


def apply(state: dict[Any, Any], key: Any, change: Change) -> None:
    """Do *change* to the value of *key*, which others may have changed meanwhile."""
    way, *rest = change
    _APPLY[way](state, key, state.get(key, _MISSING), *rest)


def _changed(
    past: Mapping[Any, Any], new: Mapping[Any, Any], key: Any
) -> Change | None:
    if key not in new:
        return ("gone",)
    return difference(past.get(key, _MISSING), new[key])


def _are_numbers(old: Any, new: Any) -> bool:
    kinds = {type(new)} if old is _MISSING else {type(old), type(new)}
    return kinds <= {int, float} or kinds == {Decimal}


def _empty(old: Any, new: Any) -> Any:
    """Return an empty one of the kind of *new*, to begin with; None if there is one."""
    if old is not _MISSING:
        return None
    empty = pickle.loads(pickle.dumps(new, _PROTOCOL))  # noqa: S301 - made here
    empty.clear()
    return empty


def _if_any(way: str, empty: Any, *parts: Any) -> Change | None:
    return (way, empty, *parts) if any(parts) or empty is not None else None


def _apply_add(
    state: dict[Any, Any], key: Any, now: Any, delta: Any, since: Any, new: Any
) -> None:
    # What is missing counts as 0: the change that made it may be committed after this
    # one, or not at all if its request is done again.
    here = type(new)(0) if now is _MISSING else now
    if here != since and _are_numbers(here, new):
        new = here + delta  # else the very value, without what rounding adds
    dict.__setitem__(state, key, new)


def _apply_set(
    state: dict[Any, Any], key: Any, now: Any, empty: Any, more: Any, less: Any
) -> None:
    found = _found(state, key, now, set, empty)
    found |= more
    found -= less


def _apply_dict(
    state: dict[Any, Any], key: Any, now: Any, empty: Any, changes: Any
) -> None:
    found = _found(state, key, now, dict, empty)
    for inner, change in changes:
        apply(found, inner, change)


def _apply_list(
    state: dict[Any, Any], key: Any, now: Any, empty: Any, tail: Any
) -> None:
    _found(state, key, now, list, empty).extend(tail)


def _apply_put(state: dict[Any, Any], key: Any, _now: Any, value: Any) -> None:
    dict.__setitem__(state, key, value)


def _apply_gone(state: dict[Any, Any], key: Any, _now: Any) -> None:
    dict.pop(state, key, None)


def _found(
    state: dict[Any, Any], key: Any, now: Any, kind: type[Any], empty: Any
) -> Any:
    """Return what there is of a kind, or begin with an empty one."""
    if isinstance(now, kind):
        return now
    empty = kind() if empty is None else empty
    dict.__setitem__(state, key, empty)
    return empty


_APPLY: dict[str, Callable[..., None]] = {
    "add": _apply_add,
    "set": _apply_set,
    "dict": _apply_dict,
    "list": _apply_list,
    "put": _apply_put,
    "gone": _apply_gone,
}


def write_file(path: str, state: Mapping[Any, Any]) -> None:
    """Write *state* as Scrapy's extension would, whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    beside = Path(f"{path}.new")
    number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "wb") as file:
        pickle.dump(dict(state), file, _PROTOCOL)
    beside.replace(path)


def read_file(path: str) -> dict[Any, Any]:
    """Return the state that Scrapy's extension or :func:`write_file` has written."""
    with contextlib.suppress(FileNotFoundError), Path(path).open("rb") as file:
        found: dict[Any, Any] = pickle.load(file)  # noqa: S301 - the user's own, as in Scrapy
        return found
    return {}
