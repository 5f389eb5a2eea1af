"""The floor: the same bytes read, inflated and written on every core, no network.

``floor.py SITE OUT PAGE…``: files below SITE, which are gzipped.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from isal import isal_zlib

GZIP = 31  # wbits of a gzip stream


def main() -> None:
    """Do one share in a child process for each CPU that may be used."""
    site, out = Path(sys.argv[1]), Path(sys.argv[2])
    names = [path.name for path in sorted(site.iterdir())]
    cores = len(os.sched_getaffinity(0))
    print(f"first page at {time.time():.6f}", flush=True)
    children = []
    for core in range(cores):
        pid = os.fork()
        if pid == 0:
            for name in names[core::cores]:
                body = isal_zlib.decompress((site / name).read_bytes(), GZIP)
                (out / f"{name.removesuffix('.gz')}.html").write_bytes(body)
            os._exit(0)
        children.append(pid)
    sys.exit(max(os.waitpid(pid, 0)[1] for pid in children))


if __name__ == "__main__":
    main()
