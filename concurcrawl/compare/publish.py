"""Write all reports of a comparison into its folder, now or again later."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from concurcrawl.compare.analyse import Outcome, conclude
from concurcrawl.compare.options import Experiment
from concurcrawl.compare.report.document import document
from concurcrawl.compare.report.markdown import markdown
from concurcrawl.compare.report.trace import trace
from concurcrawl.compare.runs import Run
from concurcrawl.compare.setup import Setup
from concurcrawl.errors import ConfigError
from concurcrawl.files import write_whole
from concurcrawl.records import from_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from concurcrawl.records import Record

DOCUMENT = "compare.json"
PAGE = "report.html"
TEXT = "report.md"
TRACE = "trace.json"


def records_of(folder: Path, runs: Iterable[Run]) -> dict[str, list[Record]]:
    """Return the records of *runs*, by their folders; none where a file is missing.

    Args:
        folder: Of the comparison.
        runs: Whose records.

    Raises:
        ConfigError: If a file holds something else than records.
    """
    found = {}
    for run in runs:
        path = folder / run.folder / "records.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            continue
        try:
            found[run.folder] = list(from_lines(lines))
        except ValueError as error:
            raise ConfigError("DIR", str(folder), f"whole: {path}: {error}") from None
    return found


def write_document(
    folder: Path,
    environment: Mapping[str, Any],
    outcomes: Sequence[Outcome],
    *,
    complete: bool,
) -> None:
    """Write ``compare.json``. Atomic.

    Raises:
        OSError: If it cannot be written.
    """
    values = document(environment, outcomes, complete=complete)
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(folder, DOCUMENT, (text + "\n").encode("utf-8", "backslashreplace"))


def publish(
    folder: Path,
    environment: Mapping[str, Any],
    outcomes: Sequence[Outcome],
    *,
    complete: bool,
) -> None:
    """Write every report. Each is written whole or not at all.

    Args:
        folder: Of the comparison; the records of its runs lie below.
        environment: Where it was made.
        outcomes: One for each experiment.
        complete: Whether everything was run that was asked for.

    Raises:
        OSError: If one cannot be written.
    """
    # The plotting library takes a second to import, and only a page needs it.
    from concurcrawl.compare.report.html import page

    write_document(folder, environment, outcomes, complete=complete)
    records = {
        name: found
        for outcome in outcomes
        for name, found in records_of(folder, outcome.runs).items()
    }
    for name, text in (
        (PAGE, page(environment, outcomes, records)),
        (TEXT, markdown(environment, outcomes)),
        (TRACE, trace(outcomes, records)),
    ):
        write_whole(folder, name, text.encode("utf-8", "backslashreplace"))


def read(folder: Path) -> tuple[dict[str, Any], tuple[Outcome, ...], bool]:
    """Read a comparison back and compute all that it tells again.

    Args:
        folder: Where it was written.

    Returns:
        Its environment, its outcomes, and whether it is complete.

    Raises:
        ConfigError: If there is none.
    """
    path = folder / DOCUMENT
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        outcomes = tuple(
            _outcome(folder, experiment) for experiment in values["experiments"]
        )
        environment, complete = dict(values["environment"]), bool(values["complete"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            "DIR",
            str(folder),
            f"a folder that concurcrawl compare has written ({_why(path, error)})",
        ) from None
    environment.pop("latency_s", None)
    return environment, outcomes, complete


def _why(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no {path.name}"
    return f"{path.name}: {type(error).__name__}: {error}"


def _outcome(folder: Path, values: Mapping[str, Any]) -> Outcome:
    runs = [_run(folder, raw) for raw in values["runs"]]
    modes = values["modes"]
    # An earlier version wrote the slots of each mode, and no processes.
    setup = values.get("setup") or {
        "slots": {row["mode"]: row["slots"] for row in modes}
    }
    return conclude(
        Experiment(**_known(Experiment, values)),
        runs,
        Setup(**_known(Setup, setup)),
        records_of(folder, runs),
    )


def _run(folder: Path, raw: Mapping[str, Any]) -> Run:
    path = folder / raw["folder"] / "pages.json"
    pages = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return Run(**{**_known(Run, raw), "pages": tuple(sorted(pages.items()))})


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *values* that *kind* has: a later version may have more."""
    return {
        field.name: values[field.name] for field in fields(kind) if field.name in values
    }
