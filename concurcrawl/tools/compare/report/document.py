"""The comparison as plain values for ``compare.json``. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from concurcrawl.tools.compare.kept import file_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from concurcrawl.tools.compare.analyse import ComparisonResult
    from concurcrawl.tools.compare.runs import Run
    from concurcrawl.tools.compare.sweep import Curve


def document(
    environment: Mapping[str, Any],
    outcomes: Sequence[ComparisonResult],
    *,
    complete: bool,
) -> dict[str, Any]:
    """Return the whole comparison.

    Args:
        environment: Where it was made.
        outcomes: One for each experiment that was begun.
        complete: Whether all requested runs were made.

    Returns:
        ``environment``, ``complete`` and ``experiments``; and for a reader who wants
        one table ``modes``, those of the first experiment, and ``runs``, all of them.
    """
    experiments = [_experiment(outcome) for outcome in outcomes]
    first = outcomes[0].experiment if outcomes else None
    return {
        "environment": {
            **environment,
            "latency_s": first.latency_s if first else None,
        },
        "complete": complete,
        "modes": experiments[0]["modes"] if experiments else [],
        "runs": [run for experiment in experiments for run in experiment["runs"]],
        "experiments": experiments,
    }


def _experiment(outcome: ComparisonResult) -> dict[str, Any]:
    name = outcome.experiment.name
    return {
        **asdict(outcome.experiment),
        "verdict": list(outcome.verdict),
        "warnings": list(outcome.warnings),
        "modes": [asdict(row) for row in outcome.rows],
        "setup": asdict(outcome.setup),
        "cost": asdict(outcome.cost) if outcome.cost else None,
        "predictions": _each(outcome.predictions),
        "phases": _each(outcome.phases),
        "karp_flatt": outcome.karp_flatt,
        "sweep": [_curve(curve) for curve in outcome.curves],
        "runs": [{"experiment": name, **_run(run)} for run in outcome.runs],
    }


def _each(found: Mapping[str, Any]) -> dict[str, Any]:
    return {mode: asdict(value) for mode, value in found.items()}


def _curve(curve: Curve) -> dict[str, Any]:
    values = asdict(curve)
    values["points"] = [
        {"level": level, **asdict(rate)} for level, rate in curve.points
    ]
    return values


def _run(run: Run) -> dict[str, Any]:
    return {
        **asdict(run),
        "pages": len(run.pages),  # their names and digests lie in the folder
        "records": f"{run.folder}/{file_name(run.requests)}",
    }
