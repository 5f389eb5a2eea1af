"""How a command ends: what went wrong in one sentence, and as an exit code."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from rich.console import Console

from concurcrawl.errors import ConcurcrawlError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED = 1
WRONG = 2
INTERRUPTED = 128 + signal.SIGINT


def ended(command: str, work: Callable[[], int], interrupted: str = "") -> int:
    """Do *work* and return how it ended. SIGTERM interrupts it as Ctrl-C does.

    Args:
        command: Its name, for the sentence on standard error.
        work: Returns the exit code.
        interrupted: What to say when it was interrupted, if anything.

    Returns:
        What *work* returned; 1 if it failed; 2 if an option or a file is wrong; 130 if
        it was interrupted.
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return work()
    except KeyboardInterrupt:
        if interrupted:
            errors.print(interrupted)
        return INTERRUPTED
    except (ConfigError, OSError) as error:
        errors.print(f"concurcrawl {command}: {error}")
        return WRONG
    except ConcurcrawlError as error:
        errors.print(f"concurcrawl {command}: {error}")
        return FAILED
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
