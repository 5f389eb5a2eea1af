"""The settings of concurcrawl: name, type, default, bound and meaning, in one place.

``make settings`` writes the table in docs/settings.md from this module.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

from concurcrawl import option_values
from concurcrawl.cpus import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import Field

    from scrapy.settings import BaseSettings

PREFIX = "CONCURCRAWL_"

CLOSED_IN_WORKERS = f"{PREFIX}CLOSED_IN_WORKERS"


def _option(
    default: Any,
    doc: str,
    *,
    unit: str,
    at_least: float = 0,
    choices: tuple[str, ...] = (),
) -> Any:
    metadata = {"doc": doc, "unit": unit, "at_least": at_least, "choices": choices}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The ``CONCURCRAWL_*`` settings of a crawl, checked once.

    Every field ``some_name`` is read from the setting ``CONCURCRAWL_SOME_NAME``.
    """

    workers: int = _option(
        0,
        "Worker processes of `parallel` and `hybrid`; 0 means one per usable CPU. On a "
        "cluster: the most; 0 means one per thread of its workers.",
        unit="processes",
    )
    start_method: str = _option(
        "auto",
        "How workers are started. `auto` forks them where that is possible and spawns "
        "them elsewhere, as on macOS and Windows.",
        unit="word",
        choices=("auto", "fork", "spawn"),
    )
    threads: int = _option(
        16,
        "Blocking downloads that `concurrent` runs at the same time.",
        unit="threads",
        at_least=1,
    )
    http2: bool = _option(
        False,
        "Use HTTP/2 with https sites that offer it, in modes that download with "
        "libcurl, if this libcurl supports it. Other sites get HTTP/1.1.",
        unit="0 or 1",
    )
    max_attempts: int = _option(
        3,
        "Worker deaths that one request may cause before it is dead-lettered.",
        unit="workers",
        at_least=1,
    )
    max_restarts: int = _option(
        16,
        "How many worker deaths a crawl tolerates. It ends after one more.",
        unit="processes",
    )
    callback_timeout_s: float = _option(
        0.0,
        "Longest time that a callback may block its worker. The worker is then killed "
        "and replaced; 0 means no limit. Applies to crawls with workers: `parallel`, "
        "`hybrid`, and every mode with `JOBDIR` or Redis.",
        unit="seconds",
    )
    worker_max_requests: int = _option(
        0,
        "Requests that one worker handles before a new one replaces it, like "
        "`maxtasksperchild` in multiprocessing; 0 means no limit.",
        unit="requests",
    )
    stop_timeout_s: float = _option(
        20.0,
        "How long a stop (one Ctrl-C or SIGTERM, `CLOSESPIDER_*`, …) waits for "
        "callbacks while none of them ends and nothing is being downloaded. They are "
        "then ended, see [Callbacks that hang](surviving.md#callbacks-that-hang); 0 "
        "means that a stop waits for them without a limit.",
        unit="seconds",
    )
    stall_timeout_s: float = _option(
        60.0,
        "Longest time that requests may be in progress while nothing moves: none is in "
        "flight, no callback or pipeline runs, no timer is due. The log then says what "
        "each request waits for, and the crawl ends as `stalled` with exit code 1. "
        "With `JOBDIR` its work is kept. 0 switches this off.",
        unit="seconds",
    )
    rate: float = _option(
        0.0,
        "Average requests per second to each group of hosts; 0 means no limit.",
        unit="requests/s",
    )
    burst: int = _option(
        1,
        "Requests that `CONCURCRAWL_RATE` allows at once after a quiet time.",
        unit="requests",
        at_least=1,
    )
    max_pause_s: float = _option(
        600.0,
        "Longest pause that a site may ask for. Requests that would have to wait "
        "longer fail.",
        unit="seconds",
    )
    host_groups: Mapping[str, tuple[str, ...]] = _option(
        {},
        "Hosts that share one set of limits, as names of groups and lists of hosts. A "
        "host includes its subdomains. A host without a group is a group by itself.",
        unit="JSON object",
    )
    profiles: tuple[Any, ...] = _option(
        ("wikimedia",),
        "Rules of certain sites for crawlers: names of profiles, or import paths of "
        "your own, separated by commas; `none` switches all of them off.",
        unit="names",
    )
    closed_in_workers: bool = _option(
        False,
        "Call the spider's `closed()`, and what it connects to `spider_closed` and "
        "`engine_stopped`, in each worker too, to close what `__init__` opened there. "
        "A worker that takes longer than 30 s for that is killed.",
        unit="0 or 1",
    )
    pages_dir: str = _option(
        "pages",
        "Where the spider `countries` saves its pages: a folder, or a URL for "
        "fsspec, to which all machines of a cluster write.",
        unit="folder",
    )
    sticky_meta: tuple[Any, ...] = _option(
        ("playwright_context",),
        "Keys of `meta`, separated by commas. Requests with an equal value go to the "
        "same worker, the one that got the first of them; `none` switches this off.",
        unit="names",
    )
    worker_pipelines: tuple[Any, ...] = _option(
        (),
        "Item pipelines that run in the workers, each of which has its own instance: "
        "import paths, separated by commas. They must be the first ones of "
        "`ITEM_PIPELINES`. Without workers it changes nothing.",
        unit="names",
    )
    failures: str = _option(
        "",
        "File that gets one JSON line per dead-lettered request; empty means none.",
        unit="file",
    )
    records: str = _option(
        "",
        "File that gets one JSON line per request (when, where, how long); empty means "
        "none.",
        unit="file",
    )
    otel: bool = _option(
        False,
        "Export a span per request with OpenTelemetry over OTLP/HTTP; the standard "
        "`OTEL_*` variables of the environment say where to. Needs the extra `otel`.",
        unit="0 or 1",
    )
    progress: bool = _option(
        False,
        "Show progress: rows below the log in a terminal, elsewhere a line every five "
        "seconds. Works without a `MODE` too.",
        unit="0 or 1",
    )
    metrics: str = _option(
        "",
        "Where Prometheus finds metrics, at `/metrics`; empty means nowhere. A port "
        "alone is one of this machine only, and 0 takes a free one. Needs the extra "
        "`metrics`. Works without a `MODE` too.",
        unit="host:port",
    )
    dashboard: str = _option(
        "",
        "Where a browser sees the crawl while it runs; empty means nowhere. The log "
        "has the address with a token, which buttons need, and from elsewhere than "
        "this machine the page too. Works without a `MODE` too.",
        unit="host:port",
    )

    control: str = _option(
        "",
        "The [control door](control.md) of a running crawl: `1` opens a Unix socket "
        "in the `JOBDIR`, or in a folder that the log names; `host:port` serves HTTP, "
        "with a token; empty means no door.",
        unit="1 or address",
    )
    control_token: str = _option(
        "",
        "Token of the control door over HTTP, at least 16 characters; empty means the "
        "environment variable of the same name, or one that is made at the start.",
        unit="text",
    )
    control_public: bool = _option(
        False,
        "Allow a `CONCURCRAWL_CONTROL` address that other machines can reach. It has "
        "no TLS of its own.",
        unit="0 or 1",
    )
    stay: bool = _option(
        False,
        "Wait for more when nothing is left to do, until the crawl is told to stop.",
        unit="0 or 1",
    )
    stay_s: float = _option(
        0.0,
        "How long a crawl with `CONCURCRAWL_STAY` may be idle before it finishes; 0 "
        "means any time.",
        unit="seconds",
    )
    start_key: str = _option(
        "",
        "Redis list, set, sorted set or stream that start URLs are read from, as plain "
        "URLs or as the JSON of scrapy-redis; empty means none. See [start URLs from "
        "Redis](control.md#start-urls-from-redis).",
        unit="key",
    )
    start_key_url: str = _option(
        "",
        "Redis of `CONCURCRAWL_START_KEY`; empty means `CONCURCRAWL_FRONTIER_URL`, or "
        "else scrapy-redis's `REDIS_URL`.",
        unit="URL",
    )

    frontier_url: str = _option(
        "",
        "Redis through which several machines share one crawl: `redis://host:6379/0`, "
        "`rediss://…`, `unix:///…`; empty means this machine alone. Put its password "
        "into the environment as `CONCURCRAWL_FRONTIER_PASSWORD`.",
        unit="URL",
    )
    frontier_job: str = _option(
        "", "Name of the distributed crawl; empty means the spider's name.", unit="name"
    )
    frontier_start: str = _option(
        "auto",
        "`auto` joins a running job, resumes an unfinished one and starts over if it "
        "has ended; `new` starts over; `resume` never starts over.",
        unit="word",
        choices=("auto", "new", "resume"),
    )
    frontier_node: str = _option(
        "",
        "Name of this node; empty means one made of host and process. A node with a "
        "fixed name that was killed comes back as itself.",
        unit="name",
    )
    frontier_lease_s: float = _option(
        60.0,
        "Seconds without a heartbeat after which a node's leases return to the queue.",
        unit="seconds",
        at_least=1,
    )
    frontier_wait_s: float = _option(
        300.0,
        "How long a node waits for a Redis that does not answer before it ends.",
        unit="seconds",
    )
    frontier_items: str = _option(
        "feeds",
        "`feeds`: each item goes into the feeds of one node; `stream`: all items go "
        "into one stream in Redis.",
        unit="word",
        choices=("feeds", "stream"),
    )
    frontier_prefix: str = _option(
        "concurcrawl", "Prefix of all keys in Redis.", unit="name"
    )

    cluster: str = _option(
        "",
        "Dask cluster that runs the workers: the scheduler's address "
        "(`tcp://host:8786`, `tls://…`), the file that it writes with "
        "`--scheduler-file`, or `local` for a cluster of this machine. Empty means "
        "that workers run here. See [One crawl on a cluster](cluster.md).",
        unit="address",
    )
    cluster_listen: str = _option(
        "",
        "Address of this machine to which the cluster's workers connect; empty means "
        "the one from which the scheduler is reached, and any free port.",
        unit="host:port",
    )
    cluster_files: tuple[Any, ...] = _option(
        (),
        "Files that workers on a cluster need besides the project's packages and "
        "modules, as patterns relative to the folder of `scrapy.cfg`, separated by "
        "commas: `data/*.csv`.",
        unit="patterns",
    )
    cluster_timeout_s: float = _option(
        30.0,
        "Silence after which a worker on a cluster counts as lost and its requests "
        "return to the queue. Also how long one attempt to connect to the scheduler "
        "may take.",
        unit="seconds",
        at_least=1,
    )
    cluster_wait_s: float = _option(
        300.0,
        "How long a crawl waits for the scheduler of its cluster when it starts, and "
        "goes on without that or without any worker, before it ends.",
        unit="seconds",
    )

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Self:
        """Read every option.

        Args:
            settings: The crawler's settings, before or after they are frozen.

        Raises:
            ConfigError: If a value has the wrong type or is below its bound.
        """
        return cls(**{f.name: _read(settings, f) for f in fields(cls)})

    @property
    def worker_count(self) -> int:
        """Number of crawler processes to start, at least 1."""
        return self.workers or usable_cpus()


def _read(settings: BaseSettings, option: Field[Any]) -> Any:
    name = PREFIX + option.name.upper()
    default = _default(option)
    value = settings.get(name, default)
    match default:
        case bool():
            return option_values.yes_or_no(name, value)
        case str():
            return option_values.word(name, value, option.metadata["choices"])
        case dict():
            return option_values.groups(name, value)
        case tuple():
            return option_values.names(value)
    low = option.metadata["at_least"]
    kind = "whole number" if isinstance(default, int) else "number"
    expected = f"a {kind} >= {low} ({option.metadata['unit']})"
    return option_values.number(
        name,
        value,
        expected,
        option_values.whole if isinstance(default, int) else float,
        low,
    )


def _default(option: Field[Any]) -> Any:
    factory = option.default_factory
    return option.default if factory is MISSING else factory()


def markdown_table() -> str:
    """Return the settings as a table of Markdown, for docs/settings.md."""
    head = "| Setting | Default | Unit | Meaning |\n|:---|---:|:---|:---|\n"
    rows = (
        f"| `{PREFIX}{f.name.upper()}` | {_shown(_default(f))} | {f.metadata['unit']} "
        f"| {f.metadata['doc']} |\n"
        for f in fields(Config)
    )
    return head + "".join(rows)


def _shown(default: Any) -> str:
    if isinstance(default, bool | float):
        return f"{default:g}"
    return ",".join(default) if isinstance(default, tuple) else str(default)
