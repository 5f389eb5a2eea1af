"""Build the egg of the current project with scrapyd-client."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from concurcrawl.errors import EggError

_DEADLINE_S = 300


def build() -> bytes:
    """Build it with ``scrapyd-deploy --build-egg`` and return it.

    Like that command it leaves ``setup.py`` (if there was none), ``build`` and
    ``*.egg-info`` in the project's folder.

    Raises:
        EggError: If there is no project here, no scrapyd-client, or no egg.
    """
    if find_spec("scrapyd_client") is None:
        raise EggError(
            "scrapyd-client is not installed, which builds the egg: "
            "pip install 'concurcrawl[deploy]'"
        )
    module = "scrapyd_client.deploy"
    with tempfile.TemporaryDirectory(prefix="concurcrawl-egg-") as folder:
        egg = Path(folder) / "project.egg"
        command = [sys.executable, "-m", module, "--debug", "--build-egg", str(egg)]
        try:
            done = subprocess.run(  # noqa: S603 - our interpreter, a known module
                command,
                env={**os.environ, "TMPDIR": folder},  # what it leaves there goes too
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_DEADLINE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EggError(f"building took more than {_DEADLINE_S} s") from None
        if done.returncode or not egg.exists():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            # Its own traceback comes last; the error that matters is above.
            own = "Traceback (most recent call last):"
            cut = (
                len(lines) - 1 - lines[::-1].index(own) if own in lines else len(lines)
            )
            reason = (lines[:cut] or lines or ["it gave no reason"])[-1]
            raise EggError(f"scrapyd-client built no egg: {reason}")
        return egg.read_bytes()
