"""Errors about things that cannot be sent to another process or machine."""

from __future__ import annotations

from concurcrawl.errors.base import ConcurcrawlError

#: The remedy that most of these errors name.
IN_ONE_PROCESS = "use MODE=serial, concurrent or async, which stay in one process"


class NotShippableError(ConcurcrawlError):
    """A request, an item or a spider cannot be sent to another process.

    Attributes:
        what: The request, item or spider, in words.
        reason: What the pickler said.
        remedy: How to keep it in one process, as words that follow "or".
    """

    def __init__(self, what: str, reason: str, remedy: str = IN_ONE_PROCESS) -> None:
        super().__init__(what, reason, remedy)
        self.what = what
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return (
            f"{self.what} cannot be sent to another process: {self.reason}. "
            f"Put plain values into it, or {self.remedy}."
        )


class UnguardedError(ConcurcrawlError):
    """A script has no ``__main__`` guard, so each spawned worker would crawl too.

    Attributes:
        script: The path of the script.
    """

    def __init__(self, script: str) -> None:
        super().__init__(script)
        self.script = script

    def __str__(self) -> str:
        return (
            f"{self.script} would crawl again in each worker: workers are spawned here "
            "and import the script. Put what runs the crawl below "
            "'if __name__ == \"__main__\":', or use MODE=serial, concurrent or async."
        )


class NotDefinableError(ConcurcrawlError):
    """The spider needs names of ``__main__`` that spawned workers cannot import.

    Attributes:
        what: Those names.
        reason: What the pickler said.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.what}: code typed into a notebook or a shell cannot be sent to "
            f"spawned workers: {self.reason}. Put the spider and what it needs into a "
            "module, or use MODE=serial, concurrent or async."
        )


class NotSharedError(ConcurcrawlError):
    """Each worker would open a file or database that only one process may open.

    Attributes:
        name: The file, or the class that opens it.
        reason: Which process has it open.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.reason}. Only one process can have this open, and "
            "each worker opens it: set CONCURCRAWL_WORKERS=1, or use MODE=serial, "
            "concurrent or async."
        )


class NotJsonError(ConcurcrawlError):
    """A request or an item holds a value that JSON cannot represent.

    Attributes:
        what: The request, item or spider, in words.
        reason: The value.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.what} cannot be sent to another machine: {self.reason}. "
            "Requests and items travel as JSON, callbacks as names of the spider's "
            "methods."
        )
