"""What the settings of a cluster come to, and the launcher that they ask for."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import signal
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from concurcrawl.cpus import usable_cpus
from concurcrawl.errors import ClusterError, ConfigError, MissingExtraError
from concurcrawl.workers.launch import main_module
from concurcrawl.workers.launch.cluster.archive import matching, pack, project_folder
from concurcrawl.workers.launch.cluster.engine import EngineLostError
from concurcrawl.workers.launch.cluster.launcher import ClusterLauncher
from concurcrawl.workers.launch.cluster.listener import listening

if TYPE_CHECKING:
    from collections.abc import Iterator

    from concurcrawl.config import Config
    from concurcrawl.workers.launch.cluster.engine import Engine

logger = logging.getLogger(__name__)

_NAME = "CONCURCRAWL_CLUSTER"
_LOCAL = "local"
#: After how long it is said that the crawl waits for the scheduler.
_PATIENCE_S = 5.0
#: Between two attempts, which may fail at once.
_PAUSE_S = 0.2


def count_places(config: Config) -> int:
    """Return how many workers the cluster can have now; 0 if it may get some later.

    Waits for a scheduler that is not there, as a running crawl does: both may be
    started together, and the crawl be the quicker one.

    Args:
        config: Its settings.

    Raises:
        ConfigError: If the settings of the cluster cannot be worked with.
        MissingExtraError: If Dask is not installed.
        ClusterError: If the cluster cannot be reached.
    """
    address = _address(config)
    _check_early(config)
    if find_spec("distributed") is None:
        raise MissingExtraError(_NAME, "distributed", "cluster")
    if address == _LOCAL:
        return config.workers or usable_cpus()
    with _interruptible():
        try:
            return _count_threads(config, address)
        except KeyboardInterrupt as error:
            raise ClusterError(
                f"{_NAME}={config.cluster!r}: the crawl was stopped while it waited "
                f"for the Dask scheduler at {address}"
            ) from error


def _count_threads(config: Config, address: str) -> int:
    from concurcrawl.workers.launch.cluster import dask  # takes a third of a second

    deadline_s = time.monotonic() + config.cluster_wait_s
    patience_s = min(_PATIENCE_S, config.cluster_timeout_s)
    is_told = False
    while True:
        left_s = max(1.0, deadline_s - time.monotonic())
        try:
            return dask.count_threads(address, min(patience_s, left_s))
        except (EngineLostError, OSError) as error:
            is_over = time.monotonic() + _PAUSE_S >= deadline_s
            if is_over or not isinstance(error.__cause__ or error, OSError):
                raise _unanswered(config, address, error) from error
            if not is_told:
                logger.warning(
                    "No Dask scheduler answers at %s (%s). The crawl begins once one "
                    "does, within %g s (CONCURCRAWL_CLUSTER_WAIT_S).",
                    address,
                    error,
                    config.cluster_wait_s,
                )
        is_told, patience_s = True, config.cluster_timeout_s
        time.sleep(_PAUSE_S)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM raise KeyboardInterrupt.

    Where the spider enables the add-on Scrapy's event loop runs already, which is
    blocked by the wait, and Scrapy's handlers would only ask that to end.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler not in (None, signal.SIG_IGN):
                before[number] = handler
                signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unanswered(config: Config, address: str, error: Exception) -> ClusterError:
    return ClusterError(
        f"{_NAME}={config.cluster!r}: no Dask scheduler answers at {address} within "
        f"{config.cluster_wait_s:g} s ({error}): start one with 'dask scheduler', or "
        "correct the address"
    )


def launcher(
    config: Config, crawl: bytes, spidercls: type, most: int
) -> ClusterLauncher:
    """Return what starts the workers of a crawl on the cluster.

    Args:
        config: Its settings.
        crawl: The encoded ``CrawlSpec``.
        spidercls: The spider.
        most: Workers; 0 for any number.

    Raises:
        ConfigError: If the settings of the cluster cannot be worked with.
        ClusterError: If it cannot listen for workers.
        NotDefinableError: If workers cannot have the spider.
    """
    from concurcrawl.workers.launch.cluster import dask  # only where it is used

    address = _address(config)
    engine: Engine
    if address == _LOCAL:
        places = config.workers or usable_cpus()
        places = min(places, most or places)
        engine = dask.LocalDaskEngine(places, config.cluster_timeout_s)
    else:
        engine = dask.DaskEngine(address, config.cluster_timeout_s)
    main = main_module.describe_elsewhere(crawl)
    modules = [spidercls.__module__, *(["__main__"] if main.path or main.name else [])]
    return ClusterLauncher(
        engine,
        _listen(config),
        archive=pack(modules, config.cluster_files),
        main=pickle.dumps(main),
        most=most,
        # Of its own accord a crawl makes no cluster grow beyond the first machine.
        wanted=most if config.workers else 1,
        timeout_s=config.cluster_timeout_s,
        wait_s=config.cluster_wait_s,
    )


def _check_early(config: Config) -> None:
    """Find what would be found only once the crawl is set up, and be a traceback then.

    Raises:
        ConfigError: If an address, or files, are not there.
        ClusterError: If the crawl cannot listen where it is to.
    """
    host, port = _listen(config)
    if host:
        listening(host, port).close()
    for pattern in config.cluster_files:
        matching(project_folder(), pattern)


def _address(config: Config) -> str:
    """Return the scheduler's address, or ``local``.

    Raises:
        ConfigError: If the setting names none.
    """
    value = config.cluster
    expected = (
        "tcp://host:port or tls://host:port of a Dask scheduler, the file that it "
        "writes with --scheduler-file, or local"
    )
    if value == _LOCAL:
        return value
    if "://" in value:
        return _checked(value, expected)
    try:
        written = json.loads(Path(value).read_text(encoding="utf-8"))["address"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(_NAME, value, expected) from error
    return _checked(str(written), expected)


def _checked(address: str, expected: str) -> str:
    parts = urlsplit(address)
    try:
        is_whole = bool(parts.hostname and parts.port)
    except ValueError:  # a port that is no number
        is_whole = False
    if parts.scheme not in ("tcp", "tls") or not is_whole:
        raise ConfigError(_NAME, address, expected)
    return address


def _listen(config: Config) -> tuple[str, int]:
    value = config.cluster_listen
    if not value:
        return "", 0
    host, colon, port = value.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 1 << 16):
        expected = "host:port, such as 10.0.0.5:7000; port 0 takes any that is free"
        raise ConfigError("CONCURCRAWL_CLUSTER_LISTEN", value, expected)
    return host.strip("[]"), int(port)
