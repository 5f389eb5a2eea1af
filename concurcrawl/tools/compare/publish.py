"""Write all reports of a comparison into its folder, now or again later."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from concurcrawl.durable.atomic_files import write_whole
from concurcrawl.errors import ConfigError, MissingExtraError
from concurcrawl.tools.compare.analyse import ComparisonResult, conclude
from concurcrawl.tools.compare.kept import KeptRecords
from concurcrawl.tools.compare.options import Experiment
from concurcrawl.tools.compare.report.document import document
from concurcrawl.tools.compare.report.markdown import markdown
from concurcrawl.tools.compare.report.trace import trace
from concurcrawl.tools.compare.runs import Run
from concurcrawl.tools.compare.setup import Setup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


DOCUMENT = "compare.json"
PAGE = "report.html"
TEXT = "report.md"
TRACE = "trace.json"


def require_charts() -> None:
    """Check that :func:`publish` can draw, before a crawl is made for its report.

    Raises:
        MissingExtraError: If the extra ``compare`` is not installed.
    """
    if find_spec("bokeh") is None:
        raise MissingExtraError("the report of a comparison", "Bokeh", "compare")


def write_document(
    folder: Path,
    environment: Mapping[str, Any],
    outcomes: Sequence[ComparisonResult],
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
    outcomes: Sequence[ComparisonResult],
    *,
    complete: bool,
) -> None:
    """Write every report. Each is written whole or not at all.

    Args:
        folder: Of the comparison; the records of its runs lie below.
        environment: Where it was made.
        outcomes: One for each experiment.
        complete: Whether all requested runs were made.

    Raises:
        OSError: If one cannot be written.
    """
    # The plotting library takes a second to import, and only a page needs it.
    from concurcrawl.tools.compare.report.html import page

    write_document(folder, environment, outcomes, complete=complete)
    records = KeptRecords(
        folder, (run.folder for outcome in outcomes for run in outcome.runs)
    )
    for name, text in (
        (PAGE, page(environment, outcomes, records)),
        (TEXT, markdown(environment, outcomes)),
        (TRACE, trace(outcomes, records)),
    ):
        write_whole(folder, name, text.encode("utf-8", "backslashreplace"))


def read(folder: Path) -> tuple[dict[str, Any], tuple[ComparisonResult, ...], bool]:
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


def _outcome(folder: Path, values: Mapping[str, Any]) -> ComparisonResult:
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
        KeptRecords(folder, (run.folder for run in runs)),
    )


def _run(folder: Path, raw: Mapping[str, Any]) -> Run:
    path = folder / raw["folder"] / "pages.json"
    pages = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    values = {**_of_an_earlier_version(raw), "pages": tuple(sorted(pages.items()))}
    return Run(**_known(Run, values))


def _of_an_earlier_version(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return *raw* with today's names: the test site was the mirror until 0.1.0."""
    values = dict(raw)
    if "mirror_cpu_s" in values:
        values["site_cpu_s"] = values.pop("mirror_cpu_s")
    if values.get("peak_in_flight_seen_by") == "mirror":
        values["peak_in_flight_seen_by"] = "test site"
    return values


def _known(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of *values* that *kind* has: a later version may have more."""
    return {
        field.name: values[field.name] for field in fields(kind) if field.name in values
    }
