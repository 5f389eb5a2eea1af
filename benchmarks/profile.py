"""Where a page's time goes: ``python -m benchmarks.profile``.

It runs the crawl of a workload in some modes, has py-spy sample all its
processes, native code included, and adds up the samples by layer: whose code ran, with
what of Python and of the C library it called. The table says microseconds of CPU per
page. Threads that wait are left out.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.runner import contenders, workloads
from benchmarks.runner.pages import site_of
from benchmarks.runner.servers import server_for
from concurcrawl.durable.atomic_files import write_whole
from concurcrawl.errors import ConcurcrawlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.runner.workloads import Workload

BEGIN, END = "<!-- profile:begin -->", "<!-- profile:end -->"
#: Samples per second; not a divisor of what programs do in even intervals.
RATE = 97
#: Processes of a crawl that have used less CPU than this are not in the tables.
LEAST_S = 0.5
_LOOK_S = 0.1
_PROCESS = re.compile(r"process (\d+):")

#: Layers by a part of the file or library that the innermost known frame is in. The
#: first that fits counts.
LAYERS = (
    ("/concurcrawl/compat/", "ours: compat"),
    ("/concurcrawl/limits/", "ours: limits"),
    ("/concurcrawl/frontier/", "ours: frontier"),
    ("/concurcrawl/local/", "ours: local"),
    ("/concurcrawl/workers/", "ours: workers"),
    ("/concurcrawl/tuning/", "ours: tuning"),
    ("/concurcrawl/http/", "ours: http"),
    ("/concurcrawl/", "ours: the rest"),
    ("/benchmarks/", "the spider"),
    ("/scrapy/", "Scrapy"),
    ("/itemadapter/", "Scrapy"),
    ("/w3lib/", "Scrapy"),
    ("/pydispatch/", "Scrapy"),
    ("/twisted/", "Twisted"),
    ("/zope/", "Twisted"),
    ("uvloop", "asyncio, uvloop"),
    ("/asyncio/", "asyncio, uvloop"),
    ("/selectors.py", "asyncio, uvloop"),
    ("_pickle", "pickle"),
    ("/pickle.py", "pickle"),
    ("sqlite", "SQLite"),
    ("pycurl", "libcurl"),
    ("libcurl", "libcurl"),
    ("isal", "inflating"),
    ("libz", "inflating"),
    ("zlib", "inflating"),
    ("/pathlib.py", "files"),
    ("/logging/", "logging"),
)
OTHER = "interpreter and the rest"
IMPORTS = "imports, once"

#: What a thread is in that waits: for a lock, for Python's own lock, for a socket.
WAITS = (
    "epoll_pwait (",
    "epoll_wait (",
    "poll (libc",
    "pthread_cond_timedwait (",
    "pthread_cond_wait (",
    "PyThread_acquire_lock_timed (",
    "sem_clockwait (",
    "select (libc",
)
_INNERMOST = 6  # frames, among which that is


def layer_of(stack: Sequence[str]) -> str | None:
    """Return the layer of a sample; None if its thread waits.

    Code of the interpreter, of the C library and of Python's own modules belongs to
    the code that called it, unless it is a layer of its own, such as pickle.

    Args:
        stack: Its frames, the innermost last, each as py-spy writes it: a name and, in
            parentheses, a file and a line.
    """
    if any(frame.startswith(WAITS) for frame in stack[-_INNERMOST:]):
        return None
    if any(frame.startswith("_find_and_load ") for frame in stack):
        return IMPORTS
    for frame in reversed(stack):
        if frame.startswith("process "):  # not a frame: it says which one
            break
        place = "/" + frame.rpartition("(")[2]
        for part, layer in LAYERS:
            if part in place:
                return layer
    return OTHER


def by_layer(lines: Iterable[str]) -> Counter[str]:
    """Return the samples of each layer in *lines*, each a stack and a count."""
    found: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        layer = layer_of(stack.split(";"))
        if layer is not None:
            found[layer] += int(count)
    return found


def microseconds(
    samples: Mapping[str, int], cpu_s: float, pages: int
) -> dict[str, float]:
    """Divide the CPU of a process among layers.

    Args:
        samples: Of each layer.
        cpu_s: CPU seconds of the process meanwhile.
        pages: Pages of the whole crawl.

    Returns:
        Microseconds per page, by layer.
    """
    whole = sum(samples.values())
    return {
        layer: cpu_s * count / whole / pages * 1e6 for layer, count in samples.items()
    }


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """Return microseconds by layer (rows) and process (columns) as Markdown."""
    parts = columns.values()
    layers = {layer for column in parts for layer in column}
    order = sorted(layers, key=lambda one: -max(c.get(one, 0.0) for c in parts))
    rows = [
        ["layer", *columns],
        [":---", *("---:" for _ in parts)],
        *([one, *(f"{c.get(one, 0.0):.0f}" for c in parts)] for one in order),
        ["**all**", *(f"**{sum(c.values()):.0f}**" for c in parts)],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def into(text: str, made: str) -> str:
    """Return *text* with *made* between its two marks.

    Raises:
        ConcurcrawlError: If it lacks the marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ConcurcrawlError(f"the text lacks {BEGIN} and {END}")
    return f"{before}{begin}\n{made}\n{end}{after}"


def processes(raw: str) -> dict[int, list[str]]:
    """Return the lines of *raw* by process, the innermost that a line names."""
    found: dict[int, list[str]] = {}
    for line in raw.splitlines():
        pids = _PROCESS.findall(line)
        if pids:
            found.setdefault(int(pids[-1]), []).append(line)
    return found


# --- Sampling -------------------------------------------------------------------------


def sample(name: str, workload: Workload) -> dict[str, dict[str, float]]:
    """Run the crawl of a contender; return microseconds per page by process and layer.

    Raises:
        ConcurcrawlError: If the crawl fails or py-spy is not there.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        site = site_of(workload.kind, folder / "site", workload.pages)
        out = folder / "out"
        out.mkdir()
        with server_for(workload, site, folder, has_nginx=True) as server:
            contender = contenders.BY_NAME[name]
            crawl = contenders.command(
                contender, server.list_url, site.list_file, out, workload
            )
            cpu_s = _sampled(crawl, folder / "samples")
        if len(list(out.iterdir())) < workload.pages:
            raise ConcurcrawlError(f"{name} did not save every page")
        lines = processes((folder / "samples").read_text())
    return _columns(name, lines, cpu_s, workload.pages)


def _sampled(crawl: list[str], file: Path) -> dict[int, float]:
    """Run *crawl* below py-spy; return the CPU seconds of each of its processes."""
    program = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{_path()}")
    if program is None:
        raise ConcurcrawlError("py-spy is not installed; the group bench has it")
    options = ("--subprocesses", "--native", "--rate", str(RATE), "--format", "raw")
    environment = {**os.environ, "PYTHONPATH": f"{contenders.FOLDER.parent}:{_paths()}"}
    spy = subprocess.Popen(
        [program, "record", *options, "--output", str(file), "--", *crawl],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    cpu_s: dict[int, float] = {}
    while spy.poll() is None:
        with suppress(psutil.Error):  # any of them may end between two lines
            for process in psutil.Process(spy.pid).children(recursive=True):
                times = process.cpu_times()
                cpu_s[process.pid] = times.user + times.system
        time.sleep(_LOOK_S)
    if spy.returncode:
        raise ConcurcrawlError(f"py-spy ended with exit code {spy.returncode}")
    return cpu_s


def _path() -> str:
    return os.environ.get("PATH", "")


def _paths() -> str:
    return os.environ.get("PYTHONPATH", "")


def _columns(
    name: str, lines: dict[int, list[str]], cpu_s: dict[int, float], pages: int
) -> dict[str, dict[str, float]]:
    """Return microseconds by layer, of the first process and of all its workers."""
    first = int(_PROCESS.findall(next(iter(lines.values()))[0])[0])  # the outermost
    found = {f"{name}, {'supervisor' if len(lines) > 1 else 'its process'}": first}
    columns = {
        title: microseconds(by_layer(lines[pid]), cpu_s.get(pid, 0.0), pages)
        for title, pid in found.items()
    }
    workers = [pid for pid in lines if pid != first and cpu_s.get(pid, 0.0) > LEAST_S]
    whole: Counter[str] = Counter()
    for pid in workers:
        whole.update(microseconds(by_layer(lines[pid]), cpu_s[pid], pages))
    return columns | ({f"{name}, all workers": dict(whole)} if workers else {})


def main() -> None:
    """Sample the modes and print the table, or put it into a file."""
    parser = argparse.ArgumentParser(prog="benchmarks.profile", description=__doc__)
    saved = [one.name for one in workloads.WORKLOADS if one.work == "save"]
    parser.add_argument("--workload", choices=saved, default="small")
    parser.add_argument("--contenders", default="hybrid,async", metavar="LIST")
    parser.add_argument("--pages", type=int, metavar="N")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put it there")
    args = parser.parse_args()
    columns: dict[str, dict[str, float]] = {}
    workload = workloads.BY_NAME[args.workload]
    workload = replace(workload, pages=args.pages or workload.pages)
    for name in args.contenders.split(","):
        columns |= sample(name, workload)
    made = table(columns)
    print(made)
    if args.readme is not None:
        text = into(args.readme.read_text(encoding="utf-8"), made)
        write_whole(args.readme.absolute().parent, args.readme.name, text.encode())


if __name__ == "__main__":
    main()
