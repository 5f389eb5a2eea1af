"""The tutorial's third program: a process for each CPU that the machine has."""

from __future__ import annotations

import os
from multiprocessing import Pool, cpu_count

from benchmarks.tutorial_loop import OUT, fetch, get_links

if __name__ == "__main__":
    os.chdir(OUT)
    links = get_links()
    with Pool(cpu_count()) as pool:
        pool.map(fetch, links)
