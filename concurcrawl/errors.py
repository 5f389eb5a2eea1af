"""Every error that concurcrawl raises on purpose.

Each one can be pickled, because workers send theirs to the supervisor.
"""

from __future__ import annotations


class ConcurcrawlError(Exception):
    """Root of the errors below; catch it to catch them all."""


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
