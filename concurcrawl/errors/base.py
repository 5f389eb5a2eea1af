"""The root of all errors."""

from __future__ import annotations


class ConcurcrawlError(Exception):
    """Root of the errors of this package; catch it to catch them all."""
