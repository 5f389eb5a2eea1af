"""Choose how the workers of a crawl are started."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import threading
from typing import TYPE_CHECKING

from scrapy.utils.reactor import is_reactor_installed
from typing_extensions import override

from concurcrawl.errors import ConfigError
from concurcrawl.workers.launch import main_module
from concurcrawl.workers.launch.base import Launcher, WorkerConnection
from concurcrawl.workers.launch.forkserver import ForkLauncher, ForkServer
from concurcrawl.workers.launch.spawn import SpawnLauncher
from concurcrawl.workers.worker.main import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from concurcrawl.config import Config

_SETTING = "CONCURCRAWL_START_METHOD"

_fork_server: ForkServer | None = None


def prepare(method: str, spidercls: type | None = None) -> None:
    """Check that workers can be started, and start the fork server while it can fork.

    Args:
        method: ``auto``, ``fork`` or ``spawn``.
        spidercls: The spider, if it is known yet.

    Raises:
        ConfigError: If they cannot be started with this method.
        UnguardedError: If they would be spawned and importing the script would crawl.
        NotDefinableError: If they would be spawned and the spider cannot be sent.
    """
    global _fork_server  # noqa: PLW0603 - one a process, as there is one reactor
    if method != "spawn":
        if _server() is not None:
            return
        why_not = hindrance()
        if why_not is None:
            _fork_server = ForkServer(serve)
            return
        if method == "fork":
            raise cannot_fork(why_not)
    _check_spawn()
    if spidercls is not None:
        main_module.check_spider(spidercls)


def launcher(config: Config, crawl: bytes, spidercls: type, most: int = 0) -> Launcher:
    """Return the launcher of a crawl.

    Args:
        config: Our settings, which say how and where.
        crawl: The encoded :class:`~concurcrawl.workers.protocol.messages.CrawlSpec`.
        spidercls: The spider.
        most: Workers on a cluster; 0 for any number.

    Raises:
        NotDefinableError: If workers are spawned and the spider cannot be sent.
        ClusterError: If the crawl cannot listen for the workers of a cluster.
    """
    if config.cluster:
        from concurcrawl.workers.launch.cluster import setup  # most crawls have none

        return setup.launcher(config, crawl, spidercls, most)
    method = config.start_method

    def spawn() -> Launcher:
        return SpawnLauncher(main_module.describe(crawl))

    server = _server() if method != "spawn" else None
    return spawn() if server is None else _ForkElseSpawn(server, method, spawn)


class _ForkElseSpawn(Launcher):
    """Forks workers, or spawns them after the fork server was killed."""

    def __init__(
        self, server: ForkServer, method: str, spawn: Callable[[], Launcher]
    ) -> None:
        self._fork = ForkLauncher(server)
        self._method = method
        self._make_spawn = spawn
        self._spawn: Launcher | None = None

    @override
    def start(self) -> WorkerConnection:
        if self._spawn is None:
            with contextlib.suppress(OSError):
                return self._fork.start()
            if self._method == "fork":
                raise cannot_fork("the process that forks was killed")
            _check_spawn()
            self._spawn = self._make_spawn()
        return self._spawn.start()

    @override
    def close(self) -> None:
        self._fork.close()
        if self._spawn is not None:
            self._spawn.close()


def _server() -> ForkServer | None:
    return _fork_server if _fork_server and _fork_server.is_alive else None


def hindrance() -> str | None:
    """Return why workers cannot be forked from this process, or None."""
    if sys.platform != "linux" or not hasattr(socket, "send_fds"):
        return "workers are forked on Linux only"
    if is_reactor_installed():
        return "a reactor was installed before the crawl was set up"
    if threading.active_count() > 1:
        return "other threads run, and a fork would copy their locks"
    return None


def cannot_fork(why_not: str) -> ConfigError:
    """Return the error for a crawl that must fork but cannot, because of *why_not*."""
    return ConfigError(_SETTING, "fork", f"auto or spawn here: {why_not}")


def _check_spawn() -> None:
    main_module.check_guard()
    try:
        tempfile.gettempdir()
    except FileNotFoundError:  # dill asks for one before anything of ours runs there
        expected = "a folder that can be written to: workers are spawned here"
        raise ConfigError("TMPDIR", os.environ.get("TMPDIR"), expected) from None
