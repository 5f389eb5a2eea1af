"""The contract between a comparison that runs and whoever shows how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from concurcrawl.compare.options import Experiment
    from concurcrawl.compare.runs import Run


class Progress(Protocol):
    """Is told what happens, in the order it happens, from one thread.

    One ``experiment_started`` comes first; then for each run ``run_started``, any
    number of ``run_advanced``, and ``run_ended`` unless the comparison is stopped.
    """

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was found."""
        ...

    def experiment_started(
        self, experiment: Experiment, modes: Sequence[str], rounds: int
    ) -> None:
        """Show one row for each of *modes*."""
        ...

    def run_started(self, mode: str, round_number: int) -> None:
        """A crawl is about to start; round 0 is the warm-up."""
        ...

    def run_advanced(self, done: int, failed: int) -> None:
        """The crawl has got *done* pages; *failed* requests of it failed."""
        ...

    def run_ended(self, run: Run) -> None:
        """The crawl has ended, well or not."""
        ...
