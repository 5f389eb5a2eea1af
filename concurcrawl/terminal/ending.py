"""Turn errors of a command into one sentence and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from concurcrawl.errors import ConcurcrawlError, ConfigError
from concurcrawl.terminal.console import line_console

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED = 1
WRONG = 2
INTERRUPTED = 128 + signal.SIGINT


def ended(command: str, work: Callable[[], int], interrupted: str = "") -> int:
    """Call *work* and return an exit code. SIGTERM interrupts it as Ctrl-C does.

    Args:
        command: Its name, for the sentence on standard error.
        work: Returns the exit code.
        interrupted: Printed after an interruption, if given.

    Returns:
        The result of *work*; 1 if it failed or its output was closed; 2 if an option
        or a file is wrong; 130 if it was interrupted.
    """
    errors = line_console(stderr=True)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return work()
    except KeyboardInterrupt:
        if interrupted:
            errors.print(interrupted)
        return INTERRUPTED
    except BrokenPipeError:
        # Otherwise the interpreter reports the error again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
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
