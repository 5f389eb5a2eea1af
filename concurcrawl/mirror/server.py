"""Serve the offline copy: ``concurcrawl mirror`` and ``python -m`` this module."""

from __future__ import annotations

import argparse
import asyncio
import errno
import math
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

from concurcrawl.errors import ConfigError
from concurcrawl.mirror.countries import COUNTRY_COUNT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from aiohttp import web

    from concurcrawl.mirror.bodies import Bodies

_BACKLOG = 1024
_KEEP_ALIVE_S = 75.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said, checked.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.
        latency_s: Wait before the first byte of an answer.
        bandwidth: Most bytes a second of one answer; None for no cap.
        tls: Whether to speak https.
        pages: How many countries the site has.
        seed: Which of the possible sites.
        until_stdin_closes: Whether to end when standard input does.
    """

    host: str
    port: int
    latency_s: float
    bandwidth: float | None
    tls: bool
    pages: int
    seed: int
    until_stdin_closes: bool

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            ConfigError: Naming the first option that is out of them.
        """
        if not 0 <= self.port <= 65535:
            raise ConfigError("--port", self.port, "from 0 to 65535")
        if not (self.latency_s >= 0 and math.isfinite(self.latency_s)):
            raise ConfigError("--latency", self.latency_s, "0 or more seconds")
        if self.bandwidth is not None and not (
            self.bandwidth > 0 and math.isfinite(self.bandwidth)
        ):
            expected = "more than 0 bytes a second"
            raise ConfigError("--bandwidth", self.bandwidth, expected)
        if not 1 <= self.pages <= COUNTRY_COUNT:
            raise ConfigError("--pages", self.pages, f"from 1 to {COUNTRY_COUNT}")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the mirror's options to *parser*."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port; 0 for any free one")
    add("--latency", type=float, default=0.0, help="seconds before the first byte")
    add("--bandwidth", type=float, help="most bytes a second of one answer")
    add("--tls", action="store_true", help="https with a throw-away certificate")
    add(
        "--pages",
        type=int,
        default=COUNTRY_COUNT,
        help=f"countries on the list, 1 to {COUNTRY_COUNT}",
    )
    add("--seed", type=int, default=0, help="which of the possible sites")
    add(
        "--until-stdin-closes",
        action="store_true",
        help="end when standard input does",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop; print the base URL first.

    Returns:
        The exit code: 2 if an option cannot be worked with.
    """
    try:
        options = Options(
            host=args.host,
            port=args.port,
            latency_s=args.latency,
            bandwidth=args.bandwidth,
            tls=args.tls,
            pages=args.pages,
            seed=args.seed,
            until_stdin_closes=args.until_stdin_closes,
        )
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
        prog="concurcrawl mirror", description="Serve the countries, offline."
    )
    configure(parser)
    return run(parser.parse_args(argv))


async def _serve(options: Options) -> None:
    # Late, so that a command line which only lists its options stays quick.
    from aiohttp import web

    from concurcrawl.mirror.bodies import Bodies
    from concurcrawl.mirror.service import Service

    end = _end(until_stdin_closes=options.until_stdin_closes)
    bodies = Bodies.in_user_cache(options.seed, options.pages)
    service = Service(bodies, options.latency_s, options.bandwidth)
    http = web.Server(service.handle, access_log=None, keepalive_timeout=_KEEP_ALIVE_S)
    server = await _listen(http, options)  # before the pages: a taken port fails early
    async with server:
        if await _prepared(bodies, end):
            await server.start_serving()
            port = server.sockets[0].getsockname()[1]
            scheme = "https" if options.tls else "http"
            host = f"[{options.host}]" if ":" in options.host else options.host
            sys.stdout.write(f"{scheme}://{host}:{port}/\n")
            sys.stdout.flush()
            await end.wait()
        server.close()
        await http.shutdown(timeout=0)


async def _listen(http: web.Server, options: Options) -> asyncio.Server:
    """Bind the address, without answering yet.

    Raises:
        ConfigError: If it cannot be had.
    """
    context: ssl.SSLContext | None = None
    if options.tls:
        # Late: cryptography takes longer to import than everything else here.
        from concurcrawl.mirror.certificate import self_signed_context

        context = self_signed_context(options.host)
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(
            http,
            options.host,
            options.port,
            ssl=context,
            backlog=_BACKLOG,
            start_serving=False,
        )
    except OSError as error:
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            reason = os.strerror(error.errno).lower()
            expected = f"a port that can be had ({reason})"
            raise ConfigError("--port", options.port, expected) from error
        expected = "an address of this machine"
        raise ConfigError("--host", options.host, expected) from error


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
