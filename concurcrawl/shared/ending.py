"""How the commands about shared crawls say that something is wrong."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from concurcrawl.errors import ConcurcrawlError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_WRONG = 2
_INTERRUPTED = 128 + signal.SIGINT


def ended(command: str, run: Callable[[], int]) -> int:
    """Run the body of a command and return its exit code.

    That is 1 if Redis cannot be used or nobody reads the output any more, 2 if an
    option is wrong, 130 after Ctrl-C.
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        return run()
    except ConfigError as error:
        errors.print(f"concurcrawl {command}: {error}")
        return _WRONG
    except ConcurcrawlError as error:
        errors.print(f"concurcrawl {command}: {error}")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Or the interpreter would complain of it once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
