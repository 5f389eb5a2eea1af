"""Deprecated import path of :class:`~concurcrawl.limits.policy.Profile`."""

from __future__ import annotations

import warnings

from scrapy.exceptions import ScrapyDeprecationWarning

from concurcrawl.limits.policy import Profile

__all__ = ["Profile"]

warnings.warn(
    "concurcrawl.politeness is deprecated: import Profile from "
    "concurcrawl.limits.policy.",
    ScrapyDeprecationWarning,
    stacklevel=2,
)
