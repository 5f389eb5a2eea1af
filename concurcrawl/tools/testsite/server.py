"""Serve the offline copy: ``concurcrawl testsite`` and ``python -m`` this module."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import signal
import sys
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from concurcrawl.errors import ConfigError
from concurcrawl.tools.testsite.faults import Faults
from concurcrawl.tools.testsite.log import RequestLog
from concurcrawl.tools.testsite.options import SiteOptions, configure, from_arguments

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from aiohttp import web

    from concurcrawl.tools.testsite.bodies import Bodies
    from concurcrawl.tools.testsite.service import Service

_BACKLOG = 1024
_KEEP_ALIVE_S = 75.0
_PORT_TRIES = 20

__all__ = ["configure", "main", "run"]


def run(args: argparse.Namespace) -> int:
    """Print the base URL, then serve until stopped.

    Returns:
        The exit code: 2 if an option is invalid.
    """
    try:
        options = from_arguments(args)
        asyncio.run(_serve(options))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:  # where the loop takes no signal handlers
        pass
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from *argv*; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="concurcrawl testsite", description="Serve the countries, offline."
    )
    configure(parser)
    return run(parser.parse_args(argv))


async def _serve(options: SiteOptions) -> None:
    # Late, so that a command line which only lists its options stays quick.
    from aiohttp import web

    from concurcrawl.tools.testsite.bodies import Bodies

    end = _end(until_stdin_closes=options.until_stdin_closes)
    bodies = Bodies.in_user_cache(options.seed, options.pages)
    http = web.Server(
        _service(bodies, options).handle,
        access_log=None,
        keepalive_timeout=_KEEP_ALIVE_S,
        handler_cancellation=True,  # a request of a client that is gone is over
    )
    # Before the pages: a taken port fails early.
    servers = await _listen(http, options)
    if await _prepared(bodies, end):
        for host, server in zip(options.hosts, servers, strict=True):
            await server.start_serving()
            sys.stdout.write(f"{_url(host, server, tls=options.tls)}\n")
        sys.stdout.flush()
        await end.wait()
    # Nothing is waited for: aiohttp would give open connections and answers under way
    # a time-out (0 means none), and newer Pythons' wait_closed() waits for them, too.
    # asyncio.run() cancels what still runs; the connections end with the process.
    for server in servers:
        server.close()


def _service(bodies: Bodies, options: SiteOptions) -> Service:
    from concurcrawl.tools.testsite.service import Service  # late, as above

    return Service(
        bodies,
        latency_s=options.latency_s,
        bandwidth=options.bandwidth,
        robots=options.robots,
        faults=Faults(options.faults, options.fault_times, options.seed),
        retry_after=options.retry_after,
        log=RequestLog() if options.log else None,
    )


def _url(host: str, server: asyncio.Server, *, tls: bool) -> str:
    port = server.sockets[0].getsockname()[1]
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{name}:{port}/"


async def _listen(http: web.Server, options: SiteOptions) -> list[asyncio.Server]:
    """Bind each address, all on one port, without answering yet.

    Raises:
        ConfigError: If one cannot be had.
    """
    context: ssl.SSLContext | None = None
    if options.tls:
        # Late: cryptography takes longer to import than everything else here.
        from concurcrawl.tools.testsite.certificate import self_signed_context

        context = self_signed_context(options.hosts)
    for _ in range(_PORT_TRIES):
        servers: list[asyncio.Server] = []
        port = options.port
        try:
            for host in options.hosts:
                servers.append(await _bind(http, host, port, context))
                port = servers[0].sockets[0].getsockname()[1]
        except ConfigError as error:
            for server in servers:
                server.close()
            # A port that was free on the first address may be taken on the next.
            if error.name != "--port" or options.port or not servers:
                raise
        else:
            return servers
    raise ConfigError("--port", 0, "a port that is free on all the addresses")


async def _bind(
    http: web.Server, host: str, port: int, context: ssl.SSLContext | None
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(
            http, host, port, ssl=context, backlog=_BACKLOG, start_serving=False
        )
    except OSError as error:
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            reason = os.strerror(error.errno).lower()
            expected = f"a port that can be had ({reason})"
            raise ConfigError("--port", port, expected) from error
        expected = "an address of this machine"
        raise ConfigError("--host", host, expected) from error


async def _prepared(bodies: Bodies, end: asyncio.Event) -> bool:
    """Make the pages; return False if the end came first."""
    making = asyncio.create_task(asyncio.to_thread(bodies.prepare))
    ending = asyncio.create_task(end.wait())
    await asyncio.wait({making, ending}, return_when=asyncio.FIRST_COMPLETED)
    if end.is_set():
        bodies.cancel()
    ending.cancel()
    await making
    return not end.is_set()


def _end(*, until_stdin_closes: bool) -> asyncio.Event:
    """Return an event that is set when the server is to stop."""
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, end.set)
    if until_stdin_closes:
        # A thread, because a loop cannot watch every kind of file; a daemon, because
        # it may wait for ever.
        Thread(target=_watch_stdin, args=(loop, end), daemon=True).start()
    return end


def _watch_stdin(loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> None:
    # os.read, because sys.stdin's lock would be held while the interpreter ends.
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    with suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(end.set)


if __name__ == "__main__":
    sys.exit(main())
