"""Keep callbacks alive, so that Scrapy does not inspect them again for each page."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING

from concurcrawl.compat.parts import touches

if TYPE_CHECKING:
    from scrapy import Request


def name_of(method: MethodType) -> str | None:
    """Return the name by which *method*'s owner has it, None if by none.

    It may be another than that of its function, which a decorator may have made, and
    which does not say that two leading underscores were written before it. And what
    ``super()`` leads to may be overridden, so that the owner has another by that name.
    """
    owner, function = method.__self__, method.__func__
    name: str = function.__name__
    if getattr(owner, name, None) == method:
        return name
    for cls in type(owner).__mro__:
        for name, value in vars(cls).items():
            if value is function and getattr(owner, name, None) == method:
                return name
    return None


@touches("scrapy.utils.misc", "_generator_callbacks_cache")
class KeptCallbacks:
    """The methods that requests name as callbacks, each once.

    Scrapy parses the source of a callback to warn of a common mistake, and remembers
    the result as long as the callback object lives. A bound method lives as long as the
    request that names it, so that every page would cost another parse.

    Touches: ``scrapy.utils.misc._generator_callbacks_cache`` (Scrapy 2.19.0), which has
    weak keys. If it moves, each page costs a parse. Wished for: a cache by function.
    """

    def __init__(self) -> None:
        self._kept: set[MethodType] = set()

    def keep(self, request: Request) -> None:
        """Keep the callback of *request*, if it is a method."""
        if isinstance(request.callback, MethodType):
            self._kept.add(request.callback)
