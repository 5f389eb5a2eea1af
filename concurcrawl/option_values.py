"""Reads the values of options and settings, which may come as text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from operator import index
from typing import TYPE_CHECKING, Any, TypeVar

from concurcrawl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

N = TypeVar("N", int, float)


def number(
    name: str,
    value: Any,
    expected: str,
    read: Callable[[Any], N],
    low: float = 0,
    high: float = math.inf,
) -> N:
    """Return a finite number.

    Args:
        name: The setting or option.
        value: Its value.
        expected: What is valid, as words that follow "must be".
        read: ``int``, ``float`` or another function that converts it.
        low: The lowest valid value.
        high: The highest valid value.

    Raises:
        ConfigError: If it is not a number, or out of bounds.
    """
    try:
        found = read(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(name, value, expected) from error
    if not low <= found <= high or found == math.inf:  # NaN is not in between either
        raise ConfigError(name, value, expected)
    return found


def yes_or_no(name: str, value: Any) -> bool:
    """Return whether *value* means yes."""
    answer = {"1": True, "true": True, "0": False, "false": False}.get(
        str(value).lower()
    )
    if answer is None:
        raise ConfigError(name, value, "0 or 1")
    return answer


def word(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Return *value* as text, which must be of *choices* if there are any."""
    if choices and value not in choices:
        raise ConfigError(name, value, f"one of {', '.join(choices)}")
    return str(value)


def whole(value: Any) -> int:
    """Return *value* as an int; a float is an error."""
    # int() would silently truncate a float.
    return int(value) if isinstance(value, str) else index(value)


def groups(name: str, value: Any) -> dict[str, tuple[str, ...]]:
    """Read lists of hosts by the name of their group, from a dict or JSON."""
    expected = (
        "a JSON object of groups and lists of their hosts, like "
        '{"shop": ["shop.example", "pictures.example"]}'
    )
    try:
        found = json.loads(value or "{}") if isinstance(value, str) else value
        if isinstance(found, Mapping) and all(map(_is_host_list, found.values())):
            return {str(group): tuple(hosts) for group, hosts in found.items()}
    except ValueError as error:
        raise ConfigError(name, value, expected) from error
    raise ConfigError(name, value, expected)


def _is_host_list(hosts: object) -> bool:
    return isinstance(hosts, list | tuple) and all(
        isinstance(host, str) and host for host in hosts
    )


def names(value: Any) -> tuple[Any, ...]:
    """Read names, from a list or separated by commas; other objects stay."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list | tuple) else (value,)
    stripped = [name.strip(" []\"'") for name in value.split(",")]
    return tuple(name for name in stripped if name and name != "none")
