"""The output of ``concurcrawl doctor`` in a terminal. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from concurcrawl.terminal.console import plain_table
from concurcrawl.tools.doctor.project import LINE
from concurcrawl.tools.doctor.report import MISSING, NOT_IN_EFFECT, OFF, REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from concurcrawl.tools.doctor.report import (
        ModeReport,
        PluginReport,
        ProjectReport,
        SettingChange,
        SpiderReport,
    )

_GOOD, _MIXED, _BAD, _DIM, _TITLE = "green", "yellow", "red", "dim", "bold"

#: What a status is called, and its colour.
_STATUS = {
    "in_effect": ("in effect", _GOOD),
    "in_supervisor": ("in effect, in the supervisor", _GOOD),
    "in_each_worker": ("in effect, in each worker", _GOOD),
    "in_each_process": ("in effect, in each process", _GOOD),
    NOT_IN_EFFECT: ("not in effect", _MIXED),
    REFUSED: ("refused", _BAD),
}


def picture(report: ProjectReport) -> RenderableType:
    """Return all of *report*, for a terminal of any width."""
    chosen, *others = report.spiders
    parts: list[RenderableType] = [_title(report, chosen), Text(), _machine(report)]
    parts += _about_project(report)
    parts += _section("Modes", _modes(chosen))
    parts += _section("What holds a mode back", _kept(chosen))
    parts += _section("What the modes change", _changes(chosen))
    if chosen.plugins:
        parts += _section("Plugins and parts of the project", _plugins(chosen.plugins))
    if others:
        parts += _section("Spiders with something of their own", _spiders(report))
    parts += _section("What to do", _to_do(report))
    parts += [Text(), _paragraph(" ".join(report.not_looked_at), _DIM)]
    parts += [Text(), _verdict(report)]
    return Group(*parts)


def _section(title: str, body: RenderableType | None) -> list[RenderableType]:
    return [] if body is None else [Text(), Text(title, _TITLE), body]


def _paragraph(text: str, style: str = "") -> Text:
    return Text(text, style, overflow="fold")


def _title(report: ProjectReport, chosen: SpiderReport) -> Text:
    what = f"The spider {chosen.spider} of " if chosen.spider else ""
    return Text(f"{what or 'Project '}{report.project}", _TITLE)


def _machine(report: ProjectReport) -> RenderableType:
    names = {
        "python": "",
        "scrapy": "Scrapy ",
        "twisted": "Twisted ",
        "concurcrawl": "concurcrawl ",
        "pycurl": "pycurl ",
        "libcurl": "libcurl ",
        "redis": "redis ",
        "msgpack": "msgpack ",
        "isal": "isal ",
        "uvloop": "uvloop ",
    }
    found = [
        f"{label}{report.versions.get(name) or 'not installed'}"
        for name, label in names.items()
    ]
    mode = f"MODE={report.mode} is set. " if report.mode else ""
    loop = _short(str(report.machine["event_loop"]))
    return Group(
        _paragraph(", ".join([*found, str(report.machine["platform"])])),
        _paragraph(
            f"{mode}{_cpus(report.machine)}; "
            f"{_start_method(report.machine)}; event loop {loop}"
        ),
    )


def _cpus(machine: Mapping[str, Any]) -> str:
    usable = machine["usable_cpus"]
    affinity, quota = machine["affinity_cpus"], machine["quota_cpus"]
    why = [
        f"affinity {affinity}" if affinity else "no affinity here",
        f"quota {quota}" if quota else "no quota",
    ]
    return f"{usable} of {machine['machine_cpus']} CPUs usable ({', '.join(why)})"


def _start_method(machine: Mapping[str, Any]) -> str:
    if machine["cluster"]:
        return f"workers run on a cluster ({_places(machine)})"
    done = "forked" if machine["start_method"] == "fork" else "spawned"
    why = f"CONCURCRAWL_START_METHOD={machine['start_method_setting']}"
    if machine["why_not_fork"]:
        why += f": {machine['why_not_fork']}"
    return f"workers are {done} ({why})"


def _places(machine: Mapping[str, Any]) -> str:
    if machine["why_no_cluster"]:
        return "it cannot be used"
    return f"{machine['cluster']}: {machine['cluster_workers']} can run there now"


def _about_project(report: ProjectReport) -> list[RenderableType]:
    if report.add_on:
        return []
    text = (
        "The add-on is not enabled: MODE has no effect. Add this line to "
        f"{report.project}; below is what it would change.\n\n    {LINE}"
    )
    return [Text(), _paragraph(text, _MIXED)]


def _modes(report: SpiderReport) -> RenderableType:
    table = plain_table()
    table.add_column("mode", no_wrap=True)
    table.add_column("processes", no_wrap=True)
    table.add_column("in flight", justify="right")
    table.add_column("downloads by", overflow="fold")
    table.add_column("outcome", overflow="fold")
    for one in report.modes:
        table.add_row(
            one.mode,
            _processes(one),
            str(one.in_flight or "no limit") if one.processes else "",
            one.downloads_by,
            _result(one, report),
        )
    return table


def _processes(one: ModeReport) -> str:
    if not one.processes:
        return ""
    return f"1 + {one.workers}" if one.workers else "1"


def _result(one: ModeReport, report: SpiderReport) -> Text:
    if one.refused:
        return Text("refused", _BAD)
    statuses = [plugin.modes[one.mode].status for plugin in report.plugins]
    count = statuses.count(NOT_IN_EFFECT)
    if count:
        return Text(f"{count} not in effect", _MIXED)
    return Text("ok", _GOOD)


def _kept(report: SpiderReport) -> RenderableType | None:
    held = _by_text(
        (text, one.mode) for one in report.modes for text in one.held_back_by
    )
    by_text = _by_text((text, one.mode) for one in report.modes for text in one.says)
    parts: list[RenderableType] = []
    if held:
        table = plain_table()
        table.add_column("limit", overflow="fold")
        table.add_column("modes", overflow="fold")
        for text, modes in held:
            table.add_row(text, _all_or(modes, report))
        text = (
            "These limits are kept in each mode. If the site allows more, change them "
            "where they are set."
        )
        parts += [table, _paragraph(text)]
    parts += [
        _paragraph(f"{_all_or(modes, report)}: {text}") for text, modes in by_text
    ]
    return Group(*parts) if parts else None


def _changes(report: SpiderReport) -> RenderableType | None:
    settings: dict[str, list[tuple[str, str]]] = {}
    reasons: dict[str, str] = {}
    for one in report.modes:
        for setting, lines in _lines_of(one.changes).items():
            settings.setdefault(setting, []).extend((line, one.mode) for line in lines)
        reasons |= {change.setting: change.reason for change in one.changes}
    if not settings:
        return None
    parts: list[RenderableType] = []
    for setting, pairs in sorted(settings.items()):
        parts.append(Text.assemble(setting, (f": {reasons[setting]}", _DIM)))
        table = plain_table()
        table.show_header = False
        for name in ("change", "modes"):
            table.add_column(name, overflow="fold")
        for line, names in _by_text(pairs):
            table.add_row(line, _all_or(names, report))
        parts.append(Padding(table, (0, 0, 0, 2), expand=False))
    return Group(*parts)


def _lines_of(changes: Sequence[SettingChange]) -> dict[str, list[str]]:
    """Return the changes of one mode as lines, by setting."""
    found: dict[str, list[SettingChange]] = {}
    for change in changes:
        found.setdefault(change.setting, []).append(change)
    return {
        setting: _entries(some)
        if some[0].entry
        else [f"{_short(one.before)} → {_short(one.after)}" for one in some]
        for setting, some in found.items()
    }


def _entries(changes: Sequence[SettingChange]) -> list[str]:
    """Return the entries of one setting that change; those alike as one line."""
    lines: dict[str, list[str]] = {}
    for one in changes:
        if one.after == OFF:
            line = OFF
        elif one.before == MISSING:
            line = "added"
        else:
            line = f"{_short(one.before)} → {_short(one.after)}"
        lines.setdefault(line, []).append(_short(one.entry))
    return [
        f"{', '.join(names)}: {line}" if "→" in line else f"{line}: {', '.join(names)}"
        for line, names in lines.items()
    ]


def _short(text: str) -> str:
    """Return the class of an import path; other texts as they are."""
    is_path = "." in text and text.replace(".", "").replace("_", "").isalnum()
    is_number = text.replace(".", "").isdigit()
    return text.rpartition(".")[2] if is_path and not is_number else text


def _plugins(plugins: Sequence[PluginReport]) -> Table:
    table = plain_table()
    table.add_column("component", overflow="fold")
    table.add_column("status", overflow="fold")
    for one in sorted(plugins, key=lambda one: (one.setting, one.name)):
        package = f"{one.package} {one.version}" if one.package else "this project"
        about = (f"\n  {one.setting}, of {package}", _DIM)
        table.add_row(Text.assemble(one.name, about), _status(one))
    return table


def _status(plugin: PluginReport) -> Text:
    found = _by_text((fare.status, mode) for mode, fare in plugin.modes.items())
    text = Text()
    for status, modes in found:
        word, colour = _STATUS[status]
        text.append(word, colour)
        if len(found) > 1:
            text.append(f": {', '.join(modes)}")
        text.append("\n")
    text.rstrip()
    return text


def _spiders(report: ProjectReport) -> RenderableType:
    project, *others = report.spiders
    beside = {one.spider: _beside(one, project) for one in others}
    table = plain_table()
    table.add_column("spider", overflow="fold")
    table.add_column("settings of its own", overflow="fold")
    table.add_column("other than the project", overflow="fold")
    for one in others:
        if beside[one.spider]:
            own = "\n".join(one.own_settings) or "-"
            table.add_row(one.spider, own, beside[one.spider])
    parts: list[RenderableType] = [table] if table.rows else []
    alike = [name for name, text in beside.items() if not text]
    if alike:
        parts.append(_paragraph(f"As the project: {', '.join(alike)}."))
    parts.append(_paragraph("For all of one: concurcrawl doctor --spider NAME", _DIM))
    return Group(*parts)


def _beside(one: SpiderReport, project: SpiderReport) -> Text:
    known = project.problems()
    more = {text: m for text, m in one.problems().items() if known.get(text) != m}
    held = dict.fromkeys(limit for mode in one.modes for limit in mode.held_back_by)
    usual = {limit for mode in project.modes for limit in mode.held_back_by}
    text = Text("\n".join(limit for limit in held if limit not in usual))
    if more:
        text.append("\n" if text else "")
        modes = dict.fromkeys(mode for names in more.values() for mode in names)
        text.append(f"something is not in effect: {', '.join(modes)}", _BAD)
    return text


def _to_do(report: ProjectReport) -> RenderableType | None:
    lines = [*report.wrong, *_broken(report.broken)]
    known: set[tuple[str, tuple[str, ...]]] = set()
    for spider in report.spiders:
        for text, modes in spider.problems().items():
            if (text, tuple(modes)) in known:
                continue
            known.add((text, tuple(modes)))
            whose = f"{spider.spider}, " if spider is not report.spiders[0] else ""
            lines.append(f"{whose}{_all_or(modes, spider)}: {text}")
    if not lines:
        return None
    return Group(
        *(_paragraph(f"{number}. {line}") for number, line in enumerate(lines, 1))
    )


def _broken(broken: Mapping[str, str]) -> Iterator[str]:
    for module, why in broken.items():
        yield (
            f"{module} cannot be imported ({why}); scrapy crawl ends with that for "
            "every spider of the project until it is mended."
        )


def _verdict(report: ProjectReport) -> Text:
    if report.is_well:
        modes = [one.mode for one in report.spiders[0].modes]
        return Text(f"All is in effect in {', '.join(modes)}.", f"{_TITLE} {_GOOD}")
    return Text("Something would not be in effect: see what to do.", f"{_TITLE} {_BAD}")


def _all_or(modes: Sequence[str], report: SpiderReport) -> str:
    """Return the names of *modes*, or that they are all."""
    are_all = len(modes) == len(report.modes) > 1
    return "each mode" if are_all else ", ".join(modes)


def _by_text(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for text, mode in pairs:
        found.setdefault(text, []).append(mode)
    return list(found.items())
