"""The command ``deploy``: run a project on Scrapyd servers and follow its job."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from concurcrawl.config import Config
from concurcrawl.durable.atomic_files import prepare_out
from concurcrawl.errors import ConfigError
from concurcrawl.terminal.arguments import has_password
from concurcrawl.terminal.console import line_console, table_console
from concurcrawl.terminal.ending import FAILED, INTERRUPTED, ended
from concurcrawl.tools.scrapyd import egg, options
from concurcrawl.tools.scrapyd.client import ScrapydClient
from concurcrawl.tools.scrapyd.following import ENDED, NodeRun
from concurcrawl.tools.scrapyd.view import view_for

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from concurcrawl.tools.scrapyd.options import Deployment
    from concurcrawl.tools.scrapyd.view import View


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``concurcrawl deploy`` to *parser*."""
    options.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Deploy, follow, and report which nodes failed and why.

    Args:
        args: The parsed arguments.

    Returns:
        The exit code: 0; 1 if a node failed; 2 if an option is wrong; 130 if it was
        interrupted.
    """
    return ended("deploy", lambda: _deploy(args))


def _deploy(args: argparse.Namespace) -> int:
    now = time.strftime("%Y%m%d-%H%M%S")
    project = args.project or _project()
    deployment = options.read(args, os.environ, project=project, now=now)
    _check_settings(deployment)
    if deployment.out is not None:
        prepare_out(deployment.out)
    built = egg.build() if deployment.is_new else b""
    errors = line_console(stderr=True)
    if any(has_password(pair) for pair in deployment.job.settings):
        errors.print(
            "The password in the settings will be in Scrapyd's log and in the list of "
            "processes of every node: Scrapyd hands settings to a job as arguments. "
            "Better leave it out, and set CONCURCRAWL_FRONTIER_PASSWORD in the "
            "environment of each node's Scrapyd."
        )
    view = view_for(
        table_console(),
        [node.name for node in deployment.nodes],
        as_json=deployment.as_json,
    )
    return asyncio.run(_Followers(deployment, view, errors).run(built))


class _Followers:
    """Follows all nodes at once and handles Ctrl-C."""

    def __init__(self, deployment: Deployment, view: View, errors: Console) -> None:
        self._deployment = deployment
        self._view = view
        self._errors = errors
        self._runs: list[NodeRun] = []
        self._interrupts = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, built: bytes) -> int:
        """Return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        version = str(int(time.time()))
        async with aiohttp.ClientSession() as session:
            for node in self._deployment.nodes:
                client = ScrapydClient(node, session)
                one = NodeRun(node, client, self._deployment, self._view.show)
                self._runs.append(one)
                self._tasks.append(asyncio.create_task(one.run(version, built)))
            await asyncio.wait(self._tasks)
        self._view.close()
        for task in self._tasks:
            if not task.cancelled():
                task.result()
        if any(task.cancelled() for task in self._tasks):
            self._print_how_to_continue()
            return INTERRUPTED
        failed = sum(one.progress.state == "failed" for one in self._runs)
        return FAILED if failed else 0

    def _interrupt(self) -> None:
        self._interrupts += 1
        if self._deployment.cancels and self._interrupts == 1:
            self._cancelling = asyncio.create_task(self._cancel())
            return
        for task in self._tasks:
            task.cancel()

    async def _cancel(self) -> None:
        self._errors.print("Cancelling on all nodes; Ctrl-C again stops following.")
        running = [one for one in self._runs if one.progress.state not in ENDED]
        for one, reason in zip(
            running,
            await asyncio.gather(*(one.cancel() for one in running)),
            strict=True,
        ):
            if reason:
                self._errors.print(f"{one.progress.node}: not cancelled: {reason}")

    def _print_how_to_continue(self) -> None:
        job = self._deployment.job
        nodes = self._deployment.nodes
        urls = ",".join(node.url for node in nodes)
        follow = f"concurcrawl deploy --project {job.project} --follow {job.id}"
        user = " -u USER:PASSWORD"
        cancels = [
            f"  curl{user * bool(node.user)} {node.url}cancel.json "
            f"-d project={job.project} -d job={job.id}"
            for node in nodes
        ]
        self._errors.print(
            "No longer followed. What was started goes on; to follow it again:\n"
            f"  {follow} --nodes {urls}\n"
            "to cancel it:\n" + "\n".join(cancels)
        )


def _check_settings(deployment: Deployment) -> None:
    """Check the settings here, as the job would fail on the server.

    Raises:
        ConfigError: If one is invalid.
    """
    from scrapy.settings import BaseSettings  # slow to import

    pairs = (pair.split("=", 1) for pair in deployment.job.settings)
    Config.from_settings(BaseSettings(dict(pairs)))


def _project() -> str:
    """Return the current project's name on servers.

    Raises:
        ConfigError: If this folder has no project.
    """
    from scrapy.utils.conf import get_config  # slow to import
    from scrapy.utils.project import inside_project

    if not inside_project():
        here = str(Path.cwd())
        raise ConfigError("--project", "", f"given, for {here} is in no Scrapy project")
    config = get_config()
    default = config.get("settings", "default", fallback="default").partition(".")[0]
    return config.get("deploy", "project", fallback=default)
