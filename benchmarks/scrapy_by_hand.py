"""Plain Scrapy split by hand: two commands, each with every other link."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.common import arguments

PROCESSES = 2


def main() -> None:
    """Run both, and fail if one of them does."""
    list_url, out, work, in_flight = arguments()
    crawls = []
    for index in range(PROCESSES):
        feed = ["-O", str(out / f"items-{index}.jsonl")] if work == "parse" else []
        command = [
            *(sys.executable, "-m", "scrapy", "runspider"),
            str(Path(__file__).with_name("scrapy_pages.py")),
            *("-a", f"list_url={list_url}", "-a", f"out={out}", "-a", f"work={work}"),
            *("-a", f"share={index}/{PROCESSES}", "-s", "LOG_LEVEL=INFO"),
            *("-s", f"CONCURRENT_REQUESTS={in_flight // PROCESSES}"),
            *("-s", f"CONCURRENT_REQUESTS_PER_DOMAIN={in_flight // PROCESSES}"),
            *feed,
        ]
        crawls.append(subprocess.Popen(command))
    sys.exit(max(crawl.wait() for crawl in crawls))


if __name__ == "__main__":
    main()
