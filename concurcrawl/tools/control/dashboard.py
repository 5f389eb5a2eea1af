"""The command ``dashboard``: show a crawl that runs elsewhere in a browser."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concurcrawl.control import address
from concurcrawl.control.address import TOKEN
from concurcrawl.errors import ConfigError, ControlError
from concurcrawl.monitor import last_values
from concurcrawl.monitor.address import address_of
from concurcrawl.monitor.server import Dashboard, Server, Steering
from concurcrawl.terminal.console import line_console
from concurcrawl.terminal.ending import ended
from concurcrawl.tools.control import target
from concurcrawl.tools.control.door_events import DoorEvents
from concurcrawl.tools.control.report_page import report_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from concurcrawl.monitor.address import Address
    from concurcrawl.monitor.last_values import LastValues
    from concurcrawl.tools.control.target import Target

#: A free port of this machine.
_LISTEN = "127.0.0.1:0"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl dashboard`` to *parser*."""
    target.configure(parser)
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default=_LISTEN,
        help="where the page is (default: a free port of this machine)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C.

    Returns:
        The exit code: 1 if the crawl cannot be reached; 2 if an option is wrong or the
        address is taken; 130 after Ctrl-C.
    """
    return ended("dashboard", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    listen = address_of("--listen", args.listen)
    if listen is None:
        raise ConfigError("--listen", args.listen, "host:port, such as 127.0.0.1:8901")
    ended = _ended(Path(args.target))
    if ended is not None:
        return asyncio.run(_serve_ended(ended, listen))
    crawl = target.target_of(args)
    crawl.require()
    return asyncio.run(_serve(crawl, listen))


def _ended(folder: Path) -> LastValues | None:
    """Return what a crawl that has ended left in *folder*; None if it may run."""
    is_running = (folder / address.FILE).exists()
    return None if is_running else last_values.read(folder)


async def _serve_ended(ended: LastValues, listen: Address) -> int:
    async def look() -> dict[str, Any]:
        return ended.values

    token = _Token()
    dashboard = Dashboard(look, token=token.value, is_open=listen.is_loopback)
    dashboard.offer_report(report_of)
    dashboard.restore(ended.history)
    await dashboard.end()
    return await _serve_page(dashboard, listen, token, ended)


async def _serve(crawl: Target, listen: Address) -> int:
    token = _Token()
    dashboard = _dashboard(crawl, token.value, is_open=listen.is_loopback)
    if isinstance(crawl, target.Door) and crawl.folder is not None:
        dashboard.offer_report(report_of)  # its files are on this machine
    return await _serve_page(dashboard, listen, token)


class _Token:
    """What the page's buttons must know: given in the environment, or a new one."""

    def __init__(self) -> None:
        given = os.environ.get(TOKEN, "")
        self.value = given or secrets.token_urlsafe(16)
        self.in_url = "" if given else f"#token={self.value}"


async def _serve_page(
    dashboard: Dashboard,
    listen: Address,
    token: _Token,
    ended: LastValues | None = None,
) -> int:
    server = Server(listen)
    dashboard.add_to(server.app)
    found = await server.start()
    about = "Ctrl-C ends it, not the crawl"
    if ended is not None:
        about = "the crawl has ended; Ctrl-C ends the page"
    _print(f"The dashboard is at http://{found}/{token.in_url} ({about})")
    if ended is not None and ended.values["records"]:
        _print(
            f"The report of its requests is at http://{found}/{dashboard.report_path}"
        )
    try:
        await asyncio.Event().wait()
    finally:
        await server.stop()
    return 0


def _print(line: str) -> None:
    line_console().print(line, highlight=False, markup=False, soft_wrap=True)


def _dashboard(crawl: Target, token: str, *, is_open: bool) -> Dashboard:
    ending: list[asyncio.Task[None]] = []

    def end() -> None:
        if not ending:
            ending.append(asyncio.create_task(dashboard.end()))

    buttons = _Buttons(crawl)
    if isinstance(crawl, target.Door):
        events = DoorEvents(crawl, end)
        dashboard = Dashboard(
            events.values,
            token=token,
            is_open=is_open,
            steering=buttons,
            on_watched=lambda is_on: events.watch(is_on=is_on),
        )
        return dashboard

    assert isinstance(crawl, target.Job)
    from concurcrawl.monitor.shared_job import JobObserver  # needs an extra

    job = JobObserver(crawl.ref)

    async def look() -> dict[str, Any]:
        values = await job.values()
        if values["reason"]:
            end()
        return values

    dashboard = Dashboard(look, token=token, is_open=is_open, steering=buttons)
    return dashboard


class _Buttons(Steering):
    """Does what the page's buttons say as the commands do it, in threads."""

    def __init__(self, crawl: Target) -> None:
        self._crawl = crawl

    async def do(self, what: str, arguments: Mapping[str, Any]) -> Any:
        """Do *what*.

        Raises:
            KeyError: If there is no such thing.
            ControlError: If the crawl cannot be reached, or refuses.
        """
        crawl = self._crawl
        actions: dict[str, Callable[..., Any]] = {
            "pause": lambda: crawl.pause(is_on=True),
            "resume": lambda: crawl.pause(is_on=False),
            "stop": crawl.stop,
            "limits": crawl.change_limits,
            "retry": crawl.retry,
        }
        action = actions[what]
        try:
            return await asyncio.to_thread(action, **arguments)
        except TypeError as error:
            raise ControlError(f"{what}: {error}") from error
