"""The comparison for a pull request: Markdown. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from concurcrawl.tools.compare import tutorial, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from concurcrawl.tools.compare.analyse import ComparisonResult

#: What starts something in Markdown or HTML.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def markdown(
    environment: Mapping[str, Any], outcomes: Sequence[ComparisonResult]
) -> str:
    """Return the whole comparison as GitHub shows it.

    Args:
        environment: Where it was made.
        outcomes: One for each experiment.
    """
    parts = ["# The modes compared"]
    for outcome in outcomes:
        parts += _experiment(outcome)
    if outcomes:
        parts += ["## How it was measured", _text(words.how_measured(outcomes[0]))]
    parts += _section("## Where", words.environment_table(environment))
    parts += ["## The tutorial's own table", *map(_text, tutorial.reading())]
    parts += _section("### Made again here", words.tutorial_table(outcomes))
    return "\n\n".join(parts) + "\n"


def _experiment(outcome: ComparisonResult) -> list[str]:
    parts = [
        f"## {_text(words.title(outcome.experiment))}",
        *(f"**{_text(sentence)}**" for sentence in outcome.verdict),
        *(f"> ⚠ {_text(sentence)}" for sentence in outcome.warnings),
        *(
            f"> ✗ {row.mode} failed: {_text(row.reason or '')}"
            for row in outcome.rows
            if row.status == "failed"
        ),
        _table(words.figures_table(outcome)),
        _table(words.costs_table(outcome)),
    ]
    cost = words.page_cost(outcome)
    parts += _section("### Predicted and measured", words.model_table(outcome))
    parts += [_text(cost)] if cost else []
    if outcome.phases:
        head = "### Where the time of a request goes (ms)"
        parts += _section(head, words.phases_table(outcome.phases))
        parts.append(_text(words.phases_note(outcome.phases)))
    return parts + _section("### Sweep", words.sweep_table(outcome))


def _section(head: str, table: words.Table) -> list[str]:
    return [head, _table(table)] if table[1] else []


def _table(table: words.Table) -> str:
    headings, rows = table
    lines = [headings, ("---", *["---:"] * (len(headings) - 1)), *rows]
    return "\n".join(
        f"| {' | '.join(cell if line is lines[1] else _text(cell) for cell in line)} |"
        for line in lines
    )


def _text(text: str) -> str:
    """Return *text* as a paragraph shows it: on one line, nothing in it special."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
