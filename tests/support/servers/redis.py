"""A redis-server of a test's own, on a socket and a free port of loopback."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import redis

from tests.support.crawls import DEADLINE_S

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(slots=True)
class RedisServer:
    """A redis-server that can be ended and started again with what it has kept."""

    folder: Path
    options: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    client: Any = field(init=False, repr=False)  # waits for answers

    def __post_init__(self) -> None:
        self.client = redis.Redis(unix_socket_path=str(self.socket))

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *("redis-server", "--port", "0", "--unixsocket", str(self.socket)),
                *("--save", "", "--dir", str(self.folder), *self.options),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            assert self.process.poll() is None, "redis-server ended"
            assert time.monotonic() < deadline_s, "redis-server does not answer"
            try:
                self.client.ping()
            except redis.AuthenticationError:
                return
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                return

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)

    def keys(self) -> list[str]:
        """Return the names of all keys."""
        return sorted(key.decode() for key in self.client.scan_iter())

    def job(self, name: str) -> dict[str, str]:
        """Return the counts of a job."""
        found = self.client.hgetall(f"{{concurcrawl:{name}}}:job")
        return {key.decode(): value.decode() for key, value in found.items()}


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run one; it ends with the block."""
    server = RedisServer(folder, options)
    with closing(server.client):
        server.start()
        try:
            yield server
        finally:
            server.stop()


def version() -> tuple[int, ...]:
    """Return the version of the redis-server that is installed."""
    said = subprocess.run(
        ["redis-server", "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"v=(\d+)\.(\d+)", said)
    assert found is not None, said
    return tuple(int(part) for part in found.groups())
