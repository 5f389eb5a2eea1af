"""Writes ``docs/compatibility.md``."""

from __future__ import annotations

from tests.plugins.document import PATH, text

PATH.write_text(text(), encoding="utf-8")
