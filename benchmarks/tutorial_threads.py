"""The tutorial's second program: 16 threads.

Its mistake is left in: what ``map`` returns is not looked at, so an exception in a
thread is never seen.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from benchmarks.tutorial_loop import OUT, fetch, get_links

if __name__ == "__main__":
    os.chdir(OUT)
    links = get_links()
    with ThreadPoolExecutor(max_workers=16) as executor:
        executor.map(fetch, links)
