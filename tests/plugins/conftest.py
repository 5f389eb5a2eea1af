"""Leaves the crawls out where plugins are not installed: nox has a session for them.

That session fails if it finds no test, so that none goes missing.
"""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("scrapy_playwright") else ["test_plugins.py"]
