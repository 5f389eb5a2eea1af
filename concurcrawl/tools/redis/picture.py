"""Rates, tables and JSON values of distributed crawls. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from concurcrawl.terminal.console import plain_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from concurcrawl.frontier.redis.admin import NodeStatus, Snapshot

#: Groups and failures that are listed; the others are only counted.
_MOST = 8


def rate(now: Snapshot, before: Snapshot | None) -> float:
    """Return the requests per second that were completed.

    Args:
        now: The crawl.
        before: The same crawl earlier; None counts from its beginning.
    """
    if before is None:
        done, since_s = now.done, now.began_s
    else:
        done, since_s = now.done - before.done, before.at_s
    return _per_s(done, (now.ended_s or now.at_s) - since_s)


def node_rates(now: Snapshot, before: Snapshot | None) -> dict[str, float]:
    """Return the same for each node, by its name."""
    earlier = {node.name: node for node in before.nodes} if before else {}
    rates = {}
    for node in now.nodes:
        then = earlier.get(node.name)
        until_s = now.at_s if node.left_s is None else node.left_s
        if then is None or before is None:
            rates[node.name] = _per_s(node.done, until_s - node.joined_s)
        else:
            rates[node.name] = _per_s(node.done - then.done, now.at_s - before.at_s)
    return rates


def values(now: Snapshot, before: Snapshot | None) -> dict[str, Any]:
    """Return the snapshot as values for JSON."""
    rates = node_rates(now, before)
    found = asdict(now) | {"rate_per_s": round(rate(now, before), 2)}
    for node in found["nodes"]:
        node["rate_per_s"] = round(rates[node["name"]], 2)
    return found


def jobs_table(snapshots: Sequence[Snapshot]) -> RenderableType:
    """Return a line for each job."""
    if not snapshots:
        return Text("No job.")
    table = _table("job", "spider", "state", numbers=("nodes", "waiting", "leased"))
    for name in ("done", "per second", "dead-lettered"):
        table.add_column(name, justify="right")
    for one in snapshots:
        table.add_row(
            one.job,
            one.spider,
            _state(one),
            str(sum(node.is_live for node in one.nodes)),
            *(str(count) for count in (one.waiting, one.leased, one.done)),
            f"{rate(one, None):.1f}",
            str(len(one.failures)),
        )
    return table


def job_picture(now: Snapshot, before: Snapshot | None) -> RenderableType:
    """Return nodes, groups, items and failures of one job."""
    items = now.stats.get("item_scraped_count", 0)
    elapsed_s = (now.ended_s or now.at_s) - now.began_s
    head = Text.assemble(
        (now.job, "bold"),
        f"  {_state(now)}, {elapsed_s:.0f} s  ",
        (f"{now.done} done", "bold"),
        f" ({rate(now, before):.1f} per second), {now.waiting} waiting, "
        f"{now.leased} leased, {items} items",
    )
    parts: list[RenderableType] = [head, Text(""), _nodes(now, before)]
    if now.groups:
        parts += [Text(""), _groups(now)]
    counts = {
        "in the stream": now.streamed,
        "in no feed yet": now.undelivered,
        "being written when their node died": now.in_doubt,
    }
    counted = [f"{count} {where}" for where, count in counts.items() if count]
    if counted:
        parts += [Text(""), Text(f"Items: {', '.join(counted)}")]
    if now.failures:
        parts += [Text(""), *_failures(now.failures)]
    return Group(*parts)


def _nodes(now: Snapshot, before: Snapshot | None) -> Table:
    rates = node_rates(now, before)
    table = _table(
        "node", "state", "mode", "pid", numbers=("done", "per second", "leased")
    )
    table.add_column("last seen", justify="right")
    for node in now.nodes:
        age = "" if node.silent_s is None else f"{max(0.0, node.silent_s):.0f} s ago"
        table.add_row(
            node.name,
            _node_state(node),
            str(node.about.get("mode", "")),
            str(node.about.get("pid", "")),
            str(node.done),
            f"{rates[node.name]:.1f}",
            str(node.leased),
            age,
        )
    return table


def _node_state(node: NodeStatus) -> Text:
    if node.is_live:
        return Text("leads" if node.is_leader else "live", "green")
    return Text("dead", "bold red") if node.is_dead else Text("left", "dim")


def _groups(now: Snapshot) -> Table:
    table = _table("group", numbers=("waiting", "in flight", "delay"))
    table.add_column("paused", justify="right")
    for group in now.groups[:_MOST]:
        paused = f"{group.paused_s:.0f} s" if group.paused_s else ""
        table.add_row(
            group.name,
            str(group.waiting),
            str(group.in_flight),
            f"{group.delay_s:g} s" if group.delay_s else "",
            Text(paused, "yellow"),
        )
    if len(now.groups) > _MOST:
        table.add_row(f"and {len(now.groups) - _MOST} more")
    return table


def _failures(failures: Sequence[Mapping[str, Any]]) -> list[Text]:
    shown = [
        Text("  " + ", ".join(f"{name}: {value}" for name, value in one.items()))
        for one in failures[-_MOST:]
    ]
    return [Text(f"Dead-lettered: {len(failures)} requests", "bold red"), *shown]


def _state(now: Snapshot) -> str:
    return f"{now.state} ({now.reason})" if now.reason else now.state


def _table(*texts: str, numbers: Sequence[str]) -> Table:
    table = plain_table()
    for name in texts:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _per_s(count: int, elapsed_s: float) -> float:
    return max(0, count) / elapsed_s if elapsed_s > 0 else 0.0
