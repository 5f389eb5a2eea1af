"""Writes the table of settings into docs/settings.md; ``make settings`` calls it."""

from __future__ import annotations

from concurcrawl.config import markdown_table
from tests.support.crawls import ROOT

PATH = ROOT / "docs/settings.md"
BEGIN, END = "<!-- settings:begin -->\n", "<!-- settings:end -->"


def replace_table(page: str, table: str) -> str:
    """Return *page* with *table* between its two markers."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}{table}{END}{after}"


if __name__ == "__main__":
    old = PATH.read_text(encoding="utf-8")
    PATH.write_text(replace_table(old, markdown_table()), encoding="utf-8")
