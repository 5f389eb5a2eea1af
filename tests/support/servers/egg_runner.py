"""Scrapyd's runner, where the project is not installed: its egg is all there is.

Scrapyd puts an egg last on the path, so what is installed comes before it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scrapyd.runner import main

if __name__ == "__main__":
    sys.path[:] = [
        folder
        for folder in sys.path
        if not (Path(folder) / "concurcrawl" / "__init__.py").is_file()
    ]
    main()
