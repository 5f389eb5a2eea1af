"""Run any Scrapy spider serial, concurrent or parallel, and compare the runs."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from concurcrawl.addon import Addon

__all__ = ["Addon"]

#: Modules of 0.1.0 that settings and projects may name, and where they are now. A
#: profile of one's own is made with ``concurcrawl.politeness.Profile``.
_MOVED = {
    "concurcrawl.handler": "concurcrawl.http.handler",
    "concurcrawl.middlewares": "concurcrawl.limits",
    "concurcrawl.middlewares.profile": "concurcrawl.limits.profile_middleware",
    "concurcrawl.politeness": "concurcrawl.limits.policy",
    "concurcrawl.wikimedia": "concurcrawl.limits.wikimedia",
}


def __getattr__(name: str) -> object:
    # Late, so that the test site and the reports do not import Scrapy.
    if name == "Addon":
        from concurcrawl.addon import Addon

        return Addon
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _OldPaths(MetaPathFinder, Loader):
    """Imports a module of :data:`_MOVED` by its old name, with a deprecation warning.

    One table instead of a file for each. Python asks here last, so an import of what
    exists costs nothing more.
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname not in _MOVED:
            return None
        is_package = any(old.startswith(f"{fullname}.") for old in _MOVED)
        return ModuleSpec(fullname, self, is_package=is_package)

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave that to Python: the new module keeps a name and a spec of its own."""

    def exec_module(self, module: ModuleType) -> None:
        from scrapy.exceptions import ScrapyDeprecationWarning

        moved = import_module(_MOVED[module.__name__])
        if hasattr(module, "__path__"):  # a package that only holds others
            return
        for name, value in vars(moved).items():
            if not name.startswith("__"):
                setattr(module, name, value)
        warnings.warn(
            f"{module.__name__} is now {moved.__name__}; the old name will be removed.",
            ScrapyDeprecationWarning,
            stacklevel=2,
        )


sys.meta_path.append(_OldPaths())
