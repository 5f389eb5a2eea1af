"""Errors that are raised before a crawl begins."""

from __future__ import annotations

from concurcrawl.errors.base import ConcurcrawlError


class ConfigError(ConcurcrawlError, ValueError):
    """A setting or an option has an invalid value.

    Attributes:
        name: The setting.
        value: Its value.
        expected: What is valid, as words that follow "must be".
    """

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(name, value, expected)  # pickle passes these to __init__
        self.name = name
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}: must be {self.expected}"


class MissingExtraError(ConcurcrawlError):
    """A library of one of this package's extras is not installed.

    Attributes:
        what: What needs it, in words.
        library: The name of the library.
        extra: The extra that installs it.
    """

    def __init__(self, what: str, library: str, extra: str) -> None:
        super().__init__(what, library, extra)
        self.what = what
        self.library = library
        self.extra = extra

    def __str__(self) -> str:
        return (
            f"{self.what} needs {self.library}, which is not installed: "
            f"pip install 'concurcrawl[{self.extra}]'"
        )


class NotInEffectError(ConcurcrawlError):
    """A setting or plugin that must have an effect has none under this mode.

    Attributes:
        what: What it is, why, and what to do.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what


class MovedPartError(ConcurcrawlError):
    """The installed Scrapy or Twisted lacks a private part that the modes use.

    Attributes:
        installed: The library and its release.
        part: The name of the part, or several.
        remedy: What else to install, as words that follow "or".
    """

    def __init__(self, installed: str, part: str, remedy: str) -> None:
        super().__init__(installed, part, remedy)
        self.installed = installed
        self.part = part
        self.remedy = remedy

    def __str__(self) -> str:
        return (
            f"{self.installed} has no {self.part}, which MODE needs: leave MODE out, "
            f"or {self.remedy}"
        )


class ClusterError(ConcurcrawlError):
    """A cluster cannot be used.

    Attributes:
        what: What is wrong and what to do, in words.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what
