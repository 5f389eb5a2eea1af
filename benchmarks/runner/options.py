"""The options of the benchmark, checked. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runner import contenders, workloads
from concurcrawl.errors import ConfigError
from concurcrawl.terminal.arguments import names, whole

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from benchmarks.runner.workloads import Workload

_OTHERS = (workloads.FRONTIER, workloads.IMPORTS)
_SERVERS = ("auto", "nginx", "python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said.

    Attributes:
        workloads: To run, each with its contenders, rounds and pages.
        frontier: Whether the frontiers are measured.
        imports: Whether the imports are.
        is_quick: Whether a few minutes must do.
        server: ``nginx`` or ``python`` where both will do; ``auto`` takes nginx if
            it is there.
        out: Folder of the results.
        keep: Whether other workloads in the results of ``out`` stay.
        readme: File to put the tables into, or None.
        scratch: Folder for what contenders write, or None to choose one.
    """

    workloads: tuple[Workload, ...]
    frontier: bool
    imports: bool
    is_quick: bool
    server: str
    out: Path
    keep: bool
    readme: Path | None
    scratch: Path | None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options to *parser*."""
    short = [w.name for w in workloads.WORKLOADS if not w.is_long]
    long = [w.name for w in workloads.WORKLOADS if w.is_long]
    add = parser.add_argument
    add(
        "--workloads",
        metavar="LIST",
        help=f"of {','.join([*short, *_OTHERS])} (default: those), and of those that"
        f" take minutes: {','.join(long)}; or none, with --keep",
    )
    add(
        "--quick",
        action="store_true",
        help="what says most, planned for six minutes: fewer workloads and contenders,"
        " three rounds each",
    )
    add(
        "--contenders",
        metavar="LIST",
        help=f"of {','.join(contenders.BY_NAME)} (default: all of a workload)",
    )
    add("--rounds", metavar="N", help="runs of each (default: depends on the workload)")
    add("--pages", metavar="N", help="pages of each (default: depends on the workload)")
    add(
        "--server",
        default="auto",
        metavar="NAME",
        help="nginx, python or auto: nginx if it is installed (default); where answers"
        " wait it is python, a server of ours, in any case",
    )
    add("--out", default="build/bench", metavar="DIR", help="folder of the results")
    add("--keep", action="store_true", help="keep other workloads' results in DIR")
    add("--readme", metavar="FILE", help="put the tables between its two marks")
    add(
        "--scratch",
        metavar="DIR",
        help="where contenders write (default: memory, if there is room, so that the"
        " disk is not what is measured)",
    )


def read(args: argparse.Namespace) -> Options:
    """Check the options and return them.

    Raises:
        ConfigError: Naming the first that cannot be worked with.
    """
    if args.server not in _SERVERS:
        raise ConfigError("--server", args.server, ", ".join(_SERVERS))
    wanted = _workloads(args.workloads, is_quick=args.quick)
    people = _chosen("--contenders", args.contenders, contenders.BY_NAME)
    rounds = _whole("--rounds", args.rounds, 1000)
    pages = _whole("--pages", args.pages, 1_000_000)
    chosen = [w for w in workloads.WORKLOADS if w.name in wanted]
    if args.quick:
        chosen = [workloads.quick(workload) for workload in chosen]
    return Options(
        workloads=tuple(
            _changed(workload, people, rounds, pages) for workload in chosen
        ),
        frontier=workloads.FRONTIER in wanted,
        imports=workloads.IMPORTS in wanted,
        is_quick=args.quick,
        server=args.server,
        out=Path(args.out),
        keep=args.keep,
        readme=Path(args.readme) if args.readme else None,
        scratch=Path(args.scratch) if args.scratch else None,
    )


def _workloads(text: str | None, *, is_quick: bool) -> list[str]:
    if text == "none":
        return []
    known = [*workloads.BY_NAME, *_OTHERS]
    if is_quick:
        usual = [w.name for w in workloads.WORKLOADS if w.is_quick]
        usual.append(workloads.IMPORTS)  # the frontiers take minutes
    else:
        usual = [w.name for w in workloads.WORKLOADS if not w.is_long]
        usual += _OTHERS
    return _chosen("--workloads", text, known) or usual


def _changed(
    workload: Workload, people: list[str] | None, rounds: int | None, pages: int | None
) -> Workload:
    changed = workload
    if people is not None:
        able = [p for p in people if contenders.BY_NAME[p].can_parse]
        named = able if workload.work == "parse" else people
        share = len(named) / len(workload.contenders)
        changed = replace(
            changed,
            contenders=tuple(named),
            once=(),
            round_s=workload.round_s * share,
            once_s=0.0,
        )
    if rounds is not None:
        changed = replace(changed, rounds=rounds, is_fixed=True)
    if pages is not None:
        share = pages / workload.pages
        changed = replace(
            changed,
            pages=pages,
            round_s=changed.round_s * share,
            once_s=changed.once_s * share,
        )
    return changed


def _chosen(option: str, text: str | None, known: Iterable[str]) -> list[str] | None:
    return None if text is None else list(names(option, text, known))


def _whole(option: str, text: str | None, most: int) -> int | None:
    return None if text is None else whole(option, text, 1, most)
