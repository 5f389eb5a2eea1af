"""A crawl of ours whose requests wait in Redis: ``over_redis.py COMMAND…``.

It runs the command with a Redis server of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_S = 10.0


def main() -> None:
    """Start Redis, run the command, stop Redis."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""]
        )
        try:
            deadline = time.monotonic() + START_S
            while not socket.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError("redis-server does not start")
                time.sleep(0.01)
            setting = f"CONCURCRAWL_FRONTIER_URL=unix://{socket}"
            code = subprocess.call([*sys.argv[1:], "-s", setting])
        finally:
            server.terminate()
            server.wait()
    sys.exit(code)


if __name__ == "__main__":
    main()
