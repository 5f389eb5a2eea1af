"""Writes the table of metrics in docs/monitoring.md: ``python -m`` this module."""

from __future__ import annotations

from concurcrawl.monitor.prometheus import FAMILIES, LATENCY, LATENCY_TEXT
from tests.support.crawls import ROOT

PATH = ROOT / "docs" / "monitoring.md"
BEGIN = "<!-- metrics: python -m tests.support.metrics_table -->\n"
END = "<!-- end of metrics -->"


def table() -> str:
    """Return the table."""
    rows = [(f.name, f.kind, ", ".join(f.labels), f.text) for f in FAMILIES]
    rows.append((LATENCY, "histogram", "", LATENCY_TEXT))
    lines = ["| Metric | Type | Labels | Meaning |", "|:---|:---|:---|:---|"]
    for name, kind, labels, text in sorted(rows):
        shown = f"{name}_total" if kind == "counter" else name
        named = f"`{labels}`" if labels else ""
        lines.append(f"| `{shown}` | {kind} | {named} | {text.rstrip('.')} |")
    return "\n".join(lines) + "\n"


def replaced(page: str) -> str:
    """Return *page* with the table of the code."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PATH.write_text(replaced(PATH.read_text("utf-8")), encoding="utf-8")
