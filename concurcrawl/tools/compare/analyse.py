"""Compute all results of an experiment from its runs and their records. Pure.

It touches no file, clock or process, so that ``concurcrawl report`` can compute the
results of a comparison again from its files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from concurcrawl.tools.compare.cautions import cautions
from concurcrawl.tools.compare.figures import ModeFigures, figures
from concurcrawl.tools.compare.model import (
    Cost,
    Prediction,
    cost_of,
    karp_flatt,
    prediction,
)
from concurcrawl.tools.compare.phases import Phases, phases_of
from concurcrawl.tools.compare.sweep import Curve, curves
from concurcrawl.tools.compare.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from concurcrawl.tools.compare.options import Experiment
    from concurcrawl.tools.compare.runs import Run
    from concurcrawl.tools.compare.setup import Setup
    from concurcrawl.tracing.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonResult:
    """All results of one experiment so far.

    Attributes:
        experiment: What was done.
        setup: Slots, processes and cores of the modes.
        runs: All runs but the warm-up, in their order; those of a sweep too.
        rows: One per mode, in the order of ``--modes``.
        verdict: The fastest mode and why, in sentences.
        warnings: Why the figures may be wrong, in sentences.
        cost: What a page costs in serial, or None without its records.
        predictions: What the model says, for each mode that ran.
        phases: Where the time goes, for each mode that has records.
        karp_flatt: The serial share of ``parallel`` as measured, or None.
        curves: What a sweep found, one for each mode of it.
    """

    experiment: Experiment
    setup: Setup
    runs: tuple[Run, ...]
    rows: tuple[ModeFigures, ...]
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    cost: Cost | None = None
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    phases: Mapping[str, Phases] = field(default_factory=dict)
    karp_flatt: float | None = None
    curves: tuple[Curve, ...] = ()


def conclude(
    experiment: Experiment,
    runs: Sequence[Run],
    setup: Setup,
    records: Mapping[str, Sequence[Record]] | None = None,
) -> ComparisonResult:
    """Compute all results.

    Args:
        experiment: What was done.
        runs: In the order they were made, without the warm-up.
        setup: Slots, processes and cores of the modes.
        records: Of each run, by its folder; without them there is no explanation.
    """
    known = records or {}
    plain = [run for run in runs if run.level is None]
    rows = figures(plain, setup.slots, experiment.pages)
    good = {
        mode: [run for run in plain if run.mode == mode and run.status == "ok"]
        for mode in setup.slots
    }
    cost = cost_of(good.get("serial", ()), known)
    predictions = _predictions(cost, good, setup)
    phases = {
        mode: found
        for mode, some in good.items()
        if (found := phases_of(known.get(run.folder, ()) for run in some))
    }
    swept = curves(runs)
    parallel = next((row for row in rows if row.mode == "parallel"), None)
    return ComparisonResult(
        experiment=experiment,
        setup=setup,
        runs=tuple(runs),
        rows=rows,
        verdict=(
            *verdict(rows, plain, cost, cores=setup.cores),
            *(curve.sentence for curve in swept),
        ),
        warnings=cautions(rows, plain, predictions, phases, cores=setup.cores),
        cost=cost,
        predictions=predictions,
        phases=phases,
        karp_flatt=(
            karp_flatt(parallel.speedup, parallel.slots)
            if parallel is not None and parallel.speedup
            else None
        ),
        curves=swept,
    )


def _predictions(
    cost: Cost | None, good: Mapping[str, Sequence[Run]], setup: Setup
) -> dict[str, Prediction]:
    if cost is None:
        return {}
    return {
        mode: found
        for mode, runs in good.items()
        if (
            found := prediction(
                cost,
                runs,
                slots=setup.slots[mode],
                processes=setup.processes.get(mode, 1),
                cores=setup.cores,
            )
        )
    }
