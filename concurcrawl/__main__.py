"""``python -m concurcrawl`` is ``concurcrawl``."""

from __future__ import annotations

import sys

from concurcrawl.cli import main

if __name__ == "__main__":
    sys.exit(main())
