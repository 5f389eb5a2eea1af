"""Run the modes in turn, show how far they are, keep what they gave."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concurcrawl.modes import Mode
from concurcrawl.tools.compare.analyse import conclude
from concurcrawl.tools.compare.crawl import MeasuredCrawl, run_crawl
from concurcrawl.tools.compare.environment import environment
from concurcrawl.tools.compare.kept import KeptRecords
from concurcrawl.tools.compare.progress import ExperimentStarted, RunEnded, RunStarted
from concurcrawl.tools.compare.publish import publish, write_document
from concurcrawl.tools.compare.sweep import KNOBS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from concurcrawl.tools.compare.analyse import ComparisonResult
    from concurcrawl.tools.compare.options import CompareOptions, Experiment
    from concurcrawl.tools.compare.progress import CompareProgress
    from concurcrawl.tools.compare.runs import Run
    from concurcrawl.tools.compare.target import CrawlTarget
    from concurcrawl.tools.testsite.process import SiteProcess

#: A crawl of so few pages still loads everything that a crawl loads.
_WARM_UP_PAGES = 5
#: The mode that loads the most modules warms up for all.
_WARM_UP_ORDER = (
    Mode.HYBRID,
    Mode.PARALLEL,
    Mode.CONCURRENT,
    Mode.ASYNC,
    Mode.SERIAL,
)


class Comparison:
    """The experiments of one command and their results so far.

    Invariant: ``compare.json`` holds every run that has ended, also if this process
    is killed.

    Args:
        options: What to compare.
        target: The spider.
        progress: Receives the events.
    """

    def __init__(
        self, options: CompareOptions, target: CrawlTarget, progress: CompareProgress
    ) -> None:
        self._options = options
        self._target = target
        self._progress = progress
        self._environment = {**environment(), **target.facts}
        self._runs: dict[Experiment, list[Run]] = {}

    @property
    def outcomes(self) -> tuple[ComparisonResult, ...]:
        """One for each experiment that was begun, without its explanation."""
        return tuple(
            conclude(experiment, runs, self._target.setup)
            for experiment, runs in self._runs.items()
        )

    @property
    def explained(self) -> tuple[ComparisonResult, ...]:
        """One for each experiment that was begun, with all that its records tell."""
        return tuple(
            conclude(
                experiment,
                runs,
                self._target.setup,
                KeptRecords(self._options.out, (run.folder for run in runs)),
            )
            for experiment, runs in self._runs.items()
        )

    def run(self, concluded: Callable[[ComparisonResult], None]) -> None:
        """Make every experiment.

        Args:
            concluded: Called after each experiment with all that it gave.

        Raises:
            ConfigError: If the spider leaves this machine and may not.
            KeyboardInterrupt: If it was stopped. No process is left then, and what
                has ended is written.
        """
        self.write(complete=False)
        for experiment in self._options.experiments:
            self._runs[experiment] = []
            with self._progress:
                self._experiment(experiment)
            concluded(self.explained[-1])
        self.write(complete=True)

    def write(self, *, complete: bool) -> None:
        """Write ``compare.json``, and at the end all reports. Each is written whole.

        Raises:
            OSError: If one cannot be written.
        """
        out = self._options.out
        if complete:
            publish(out, self._environment, self.explained, complete=True)
        else:  # while crawls are measured, no more than what must not be lost
            write_document(out, self._environment, self.outcomes, complete=False)

    def _experiment(self, experiment: Experiment) -> None:
        modes = self._options.modes
        rounds = self._options.rounds
        self._progress.on_event(ExperimentStarted(experiment, tuple(modes), rounds))
        with ExitStack() as stack:
            testsite = None
            if self._options.uses_test_site:
                testsite = stack.enter_context(_testsite(experiment))
            pages_dir = stack.enter_context(
                _pages_dir(self._options.out / experiment.name)
            )
            warm_up = next(mode for mode in _WARM_UP_ORDER if mode in modes)
            # In turn, so that a machine that gets slower does so for all modes.
            turns: list[tuple[Mode, int, int | None]] = [(warm_up, 0, None)]
            turns += [(mode, n, None) for n in range(1, rounds + 1) for mode in modes]
            turns += [
                (mode, n, level)
                for n in range(1, rounds + 1)
                for level in self._options.sweep
                for mode in modes
                if mode in KNOBS
            ]
            for mode, number, level in turns:
                self._progress.on_event(RunStarted(mode, number, level))
                run = run_crawl(
                    replace(
                        self._crawl(experiment, mode, number, pages_dir, testsite),
                        **_at_level(experiment, mode, number, level),
                    ),
                    testsite,
                    self._progress.on_event,
                )
                if number == 0:
                    continue
                self._runs[experiment].append(run)
                self.write(complete=False)
                self._progress.on_event(RunEnded(run))

    def _crawl(
        self,
        experiment: Experiment,
        mode: Mode,
        number: int,
        pages_dir: Path,
        testsite: SiteProcess | None,
    ) -> MeasuredCrawl:
        pages = experiment.pages
        settings: tuple[str, ...] = ()
        if number == 0 and self._target.saves_pages:
            pages = min(pages or _WARM_UP_PAGES, _WARM_UP_PAGES)
        elif number == 0:
            settings = (f"CLOSESPIDER_PAGECOUNT={_WARM_UP_PAGES}",)
        arguments = {
            "site": testsite.list_url if testsite is not None else None,
            "work": experiment.work,
            "pages": pages,
        }
        turn = "warm-up" if number == 0 else f"{mode}-{number}"
        return MeasuredCrawl(
            target=self._target,
            mode=mode,
            round=number,
            arguments=tuple(
                f"{name}={value}"
                for name, value in arguments.items()
                if value is not None
            ),
            settings=settings,
            out=self._options.out,
            folder=f"{experiment.name}/{turn}",
            pages_dir=pages_dir,
        )


def _at_level(
    experiment: Experiment, mode: Mode, number: int, level: int | None
) -> dict[str, Any]:
    """Return the settings of a crawl of a sweep."""
    if level is None:
        return {}
    return {
        "level": level,
        "settings": (f"{KNOBS[mode][0]}={level}",),
        "folder": f"{experiment.name}/{mode}-at-{level}-{number}",
    }


def _testsite(experiment: Experiment) -> SiteProcess:
    from concurcrawl.tools.testsite.process import (
        SiteProcess,  # not needed for a site
    )

    return SiteProcess(latency_s=experiment.latency_s or 0.0)


@contextmanager
def _pages_dir(folder: Path) -> Iterator[Path]:
    """Make a temporary folder for pages, which is removed with them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="pages-", dir=folder.absolute(), ignore_cleanup_errors=True
    ) as name:
        yield Path(name)
