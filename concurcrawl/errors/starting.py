"""What a start refuses: settings, missing libraries, parts that have moved."""

from __future__ import annotations

from concurcrawl.errors.base import ConcurcrawlError


class ConfigError(ConcurcrawlError, ValueError):
    """A setting or an option has a value that cannot be worked with.

    Attributes:
        name: The setting.
        value: What it was set to.
        expected: What it may be, as words that follow "must be".
    """

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(name, value, expected)  # what pickle calls __init__ with
        self.name = name
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.name}={self.value!r}: must be {self.expected}"


class MissingExtraError(ConcurcrawlError):
    """A library is not installed that only an extra of the package brings.

    Attributes:
        what: What needs it, in words.
        library: Its name.
        extra: The extra that has it.
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
    """Something of a project would not be in effect, and must be.

    Attributes:
        what: What, why and what to do, in words.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return self.what


class MovedPartError(ConcurcrawlError):
    """A release of a library lacks a part that the modes touch.

    Attributes:
        installed: The library and its release.
        part: The part, or several.
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
