"""Check that a script can be imported by the workers that it spawns."""

from __future__ import annotations

import ast


def is_guarded(source: str | bytes, line: int | None) -> bool:
    """Return whether importing a script does not run its *line*.

    That is so if the line is under a condition that reads ``__name__``.

    Args:
        source: Source of the script.
        line: The line that starts the crawl, from 1. If it is None, any such condition
            counts.

    Raises:
        SyntaxError: If *source* is not valid Python.
        ValueError: If *source* contains null bytes.
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
