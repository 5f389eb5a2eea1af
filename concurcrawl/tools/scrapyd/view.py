"""Show a running deployment as a table, lines or JSON lines."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Protocol

from rich.live import Live
from rich.text import Text
from typing_extensions import override

from concurcrawl.terminal.console import plain_table
from concurcrawl.tools.scrapyd.following import JobProgress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.table import Table

_STYLES = {"finished": "green", "failed": "bold red", "running": "cyan"}


class View(Protocol):
    """Receives every change, in one thread."""

    def show(self, progress: JobProgress) -> None:
        """Show the progress of one node."""
        ...

    def close(self) -> None:
        """Show the results."""
        ...


def view_for(console: Console, nodes: Sequence[str], *, as_json: bool) -> View:
    """Return the view that suits *console*."""
    if as_json:
        return JsonView()
    return LiveView(console, nodes) if console.is_terminal else LineView(console, nodes)


def table(progresses: Iterable[JobProgress]) -> Table:
    """Return a row for each node."""
    found = plain_table()
    for name in ("node", "state"):
        found.add_column(name, no_wrap=True)
    for name in ("pages", "items", "seconds"):
        found.add_column(name, justify="right", no_wrap=True)
    found.add_column("", overflow="fold")
    for one in progresses:
        found.add_row(
            one.node,
            Text(one.state, _STYLES.get(one.state, "")),
            str(one.pages),
            str(one.items),
            f"{one.elapsed_s:.0f}",
            Text(one.reason, "red" if one.state == "failed" else "dim"),
        )
    return found


class LiveView(View):
    """A table that refreshes."""

    def __init__(self, console: Console, nodes: Sequence[str]) -> None:
        self._rows = {node: JobProgress(node=node) for node in nodes}
        self._live = Live(table(self._rows.values()), console=console)
        self._live.start()

    @override
    def show(self, progress: JobProgress) -> None:
        self._rows[progress.node] = progress
        self._live.update(table(self._rows.values()))

    @override
    def close(self) -> None:
        self._live.stop()


class LineView(View):
    """A line for each new state, for logs and pipes; the table comes last."""

    def __init__(self, console: Console, nodes: Sequence[str]) -> None:
        self._console = console
        self._rows = {node: JobProgress(node=node) for node in nodes}

    @override
    def show(self, progress: JobProgress) -> None:
        before = self._rows[progress.node]
        self._rows[progress.node] = progress
        if (before.state, before.reason) != (progress.state, progress.reason):
            reason = f": {progress.reason}" if progress.reason else ""
            self._console.print(
                f"{progress.node} {progress.state}{reason}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )

    @override
    def close(self) -> None:
        self._console.print()
        self._console.print(table(self._rows.values()))


class JsonView(View):
    """One line of JSON per change."""

    def __init__(self) -> None:
        self._last: dict[str, JobProgress] = {}

    @override
    def show(self, progress: JobProgress) -> None:
        before = self._last.get(progress.node)
        self._last[progress.node] = progress
        if before is None or replace(before, elapsed_s=progress.elapsed_s) != progress:
            print(json.dumps(asdict(progress)), flush=True)  # noqa: T201 - its purpose

    @override
    def close(self) -> None:
        pass
