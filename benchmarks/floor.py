"""The floor: the same bytes read, inflated and written on every core, no network.

``floor.py LIST OUT``: the file of a list page. As the pages beside it, it is gzipped.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from isal import isal_zlib

from benchmarks.common import links, name_of

GZIP = 31  # wbits of a gzip stream


def main() -> None:
    """Do one share in a child process for each CPU that may be used."""
    listed, out = Path(sys.argv[1]), Path(sys.argv[2])
    page = isal_zlib.decompress(listed.read_bytes(), GZIP)
    pages = [
        (listed.parents[1] / f"{unquote(urlsplit(url).path)[1:]}.gz", name_of(url))
        for url in links(page, "http://localhost/")
    ]
    cores = len(os.sched_getaffinity(0))
    print(f"first page at {time.time():.6f}", flush=True)
    children = []
    for core in range(cores):
        pid = os.fork()
        if pid == 0:
            for file, name in pages[core::cores]:
                body = isal_zlib.decompress(file.read_bytes(), GZIP)
                (out / name).write_bytes(body)
            os._exit(0)
        children.append(pid)
    sys.exit(max(os.waitpid(pid, 0)[1] for pid in children))


if __name__ == "__main__":
    main()
