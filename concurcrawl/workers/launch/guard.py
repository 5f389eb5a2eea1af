"""Whether a script may be imported by the workers that it spawns."""

from __future__ import annotations

import ast


def is_guarded(source: str | bytes, line: int | None) -> bool:
    """Return whether an import of a script leaves out what runs at *line*.

    That is so where it is under a condition that reads ``__name__``.

    Args:
        source: The script's.
        line: Where it starts the crawl, from 1; None if that is not known: any such
            condition counts then.

    Raises:
        SyntaxError: If it is no Python.
        ValueError: If it is no text.
    """
    return any(
        line is None or node.lineno <= line <= (node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.If | ast.IfExp | ast.BoolOp) and _reads_name(node)
    )


def _reads_name(node: ast.If | ast.IfExp | ast.BoolOp) -> bool:
    condition = node.values[0] if isinstance(node, ast.BoolOp) else node.test
    return any(
        isinstance(one, ast.Name) and one.id == "__name__"
        for one in ast.walk(condition)
    )
