"""The options of ``deploy``, checked, as plain values. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from concurcrawl.errors import ConfigError
from concurcrawl.frontier.redis.connection import SCHEMES
from concurcrawl.modes import Mode
from concurcrawl.terminal.arguments import add_pairs, check_pairs, masked, seconds

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

#: Variable with the value of ``--auth``, which does not show in the process list.
AUTH_VARIABLE = "CONCURCRAWL_DEPLOY_AUTH"
FRONTIER = "CONCURCRAWL_FRONTIER_URL"
_FRONTIER_JOB = "CONCURCRAWL_FRONTIER_JOB"

#: Seconds between two log lines with the number of pages, if the project sets none.
_LOGSTATS_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapydNode:
    """A Scrapyd server.

    Attributes:
        name: Host and port, and the path if there is one; no user, no password.
        url: Where it is, with a slash at the end; no user, no password.
        user: Empty if it needs none.
        password: Of *user*.
    """

    name: str
    url: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def file_name(self) -> str:
        """The name of this node in names of files."""
        return re.sub(r"[^A-Za-z0-9.-]+", "-", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapydJob:
    """The job to start on every node.

    Attributes:
        project: The name of the project on the servers.
        spider: The spider's name.
        id: The job's name, the same everywhere.
        settings: As ``NAME=VALUE``.
        arguments: The spider's, as names and values.
    """

    project: str
    spider: str
    id: str
    settings: tuple[str, ...]
    arguments: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """All options.

    Attributes:
        nodes: At least one.
        job: What to start, or what to follow.
        is_new: Whether to upload the project and start the job, or only to follow it.
        out: Folder for feeds and logs, or None.
        as_json: Whether to print JSON lines.
        cancels: Whether Ctrl-C cancels the job everywhere.
        patience_s: How long a node may be out of reach while its job runs.
    """

    nodes: tuple[ScrapydNode, ...]
    job: ScrapydJob
    is_new: bool
    out: Path | None
    as_json: bool
    cancels: bool
    patience_s: float


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``deploy`` to *parser*."""
    add = parser.add_argument
    add("--nodes", metavar="URLS", required=True, help="http://a:6800,http://b:6800")
    add("--spider", metavar="NAME", help="the spider to run")
    add("--mode", metavar="MODE", help=", ".join(Mode))
    add("--frontier", metavar="URL", help="redis://…, where the nodes share one crawl")
    add(
        "--independent",
        action="store_true",
        help="each node crawls everything on its own",
    )
    add_pairs(parser, "-s", dest="set", about="a setting of the job")
    add_pairs(parser, "-a", dest="spargs", about="an argument for the spider")
    add("--project", metavar="NAME", help="its name on the nodes")
    add("--job", metavar="ID", help="the job's name (default: spider and time)")
    add(
        "--auth",
        metavar="USER:PASSWORD",
        help=f"for nodes whose URL has none (better: in {AUTH_VARIABLE})",
    )
    add("--out", metavar="DIR", help="folder for feeds, and logs of failed jobs")
    add("--json", action="store_true", help="print one line of JSON per change")
    add("--follow", metavar="ID", help="only follow this job, which runs already")
    add(
        "--cancel-on-interrupt",
        action="store_true",
        help="Ctrl-C cancels the job on all nodes (else it only stops following)",
    )
    add(
        "--patience",
        metavar="S",
        default="60",
        help="seconds that a node may be unreachable (default: 60)",
    )


def read(
    args: argparse.Namespace, environment: Mapping[str, str], *, project: str, now: str
) -> Deployment:
    """Check the options and return them.

    Args:
        args: The arguments of a parser with :func:`configure`.
        environment: Environment variables.
        project: Name of the current project.
        now: The time, as part of a name.

    Raises:
        ConfigError: If a value is invalid.
    """
    auth = args.auth or environment.get(AUTH_VARIABLE, "")
    nodes = _nodes(args.nodes, _auth(auth))
    check_pairs("-s", args.set)
    check_pairs("-a", args.spargs)
    if args.spider is None and args.follow is None:
        raise ConfigError("--spider", "", "the name of a spider of this project")
    name = args.follow or args.job or f"{args.spider}-{now}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        which = "--follow" if args.follow else "--job"
        raise ConfigError(which, name, "letters, digits, '.', '_' and '-'")
    settings = _settings(args, name)
    if args.follow is None:
        shares = _is_set(FRONTIER, settings)
        _check_shared(nodes, shares=shares, independent=args.independent)
    return Deployment(
        nodes=nodes,
        job=ScrapydJob(
            project=args.project or project,
            spider=args.spider or "",
            id=name,
            settings=settings,
            arguments=dict(value.split("=", 1) for value in args.spargs),
        ),
        is_new=args.follow is None,
        out=Path(args.out) if args.out else None,
        as_json=args.json,
        cancels=args.cancel_on_interrupt,
        patience_s=seconds("--patience", args.patience),
    )


def _settings(args: argparse.Namespace, job: str) -> tuple[str, ...]:
    settings = list(args.set)
    if args.mode:
        if args.mode not in set(Mode):
            raise ConfigError("--mode", args.mode, f"one of {', '.join(Mode)}")
        settings.append(f"MODE={args.mode}")
    if args.frontier:
        known = tuple(f"{scheme}://" for scheme in SCHEMES)
        if not args.frontier.startswith(known):
            raise ConfigError(
                "--frontier", masked(args.frontier), "redis://…, rediss://… or unix://…"
            )
        settings.append(f"{FRONTIER}={args.frontier}")
    if _is_set(FRONTIER, settings) and not _is_set(_FRONTIER_JOB, settings):
        settings.append(f"{_FRONTIER_JOB}={job}")
    if not _is_set("LOGSTATS_INTERVAL", settings):
        settings.append(f"LOGSTATS_INTERVAL={_LOGSTATS_S}")
    return tuple(settings)


def _is_set(name: str, settings: Sequence[str]) -> bool:
    return any(setting.startswith(f"{name}=") for setting in settings)


def _check_shared(
    nodes: Sequence[ScrapydNode], *, shares: bool, independent: bool
) -> None:
    if len(nodes) > 1 and not shares and not independent:
        raise ConfigError(
            "--nodes",
            ",".join(node.name for node in nodes),
            "one node, or nodes that share a crawl with --frontier redis://…: without "
            f"it each of the {len(nodes)} crawls everything. --independent if that is "
            "what you want",
        )


def _nodes(value: str, auth: tuple[str, str]) -> tuple[ScrapydNode, ...]:
    urls = [url.strip() for url in value.split(",") if url.strip()]
    nodes = tuple(_node(url, auth) for url in urls)
    names = [node.name for node in nodes]
    if not nodes or len(set(names)) < len(names):
        raise ConfigError(
            "--nodes", masked(value), "addresses of different servers, with commas"
        )
    return nodes


def _node(url: str, auth: tuple[str, str]) -> ScrapydNode:
    expected = "the address of a Scrapyd server, like http://host:6800"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        port = parts.port
    except ValueError:
        usable, port = False, None
    if not usable or parts.query or parts.fragment:
        raise ConfigError("--nodes", masked(url), expected)
    user, password = auth
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
    return ScrapydNode(**_address(parts, port), user=user, password=password)


def _address(parts: SplitResult, port: int | None) -> dict[str, str]:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    place = f"{host}:{port}" if port is not None else host
    path = parts.path.rstrip("/")
    return {"name": place + path, "url": f"{parts.scheme}://{place}{path}/"}


def _auth(value: str) -> tuple[str, str]:
    if not value:
        return "", ""
    user, colon, password = value.partition(":")
    if not user or not colon:
        raise ConfigError("--auth", "…", "USER:PASSWORD")
    return user, password
