"""Who serves the pages: nginx, or a server of ours where answers have to wait."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import psutil
from typing_extensions import override

from benchmarks.runner.keeper import Kept
from concurcrawl.errors import ConcurcrawlError
from concurcrawl.tools.testsite.certificate import self_signed

if TYPE_CHECKING:
    from types import TracebackType

    from benchmarks.runner.pages import Site
    from benchmarks.runner.workloads import Workload

_BACKLOG = 1024
_START_S = 10.0
_PORT_TRIES = 5


@dataclass(frozen=True, slots=True)
class Visit:
    """A request as its server saw it.

    Attributes:
        path: What was asked for.
        begin_s: When it arrived, in seconds since the epoch.
        end_s: When the last byte of the answer was with the operating system.
    """

    path: str
    begin_s: float
    end_s: float


class Server(Protocol):
    """Serves one site; a context manager.

    Attributes:
        name: For the tables.
        sees_in_flight: Whether it can tell how many requests were under way at once.
    """

    name: str
    sees_in_flight: bool

    def __enter__(self) -> Self:
        """Start to serve."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and wait until it has."""
        ...

    @property
    def list_url(self) -> str:
        """Return the address of the list page."""
        ...

    def reset(self) -> None:
        """Forget what was seen."""
        ...

    def visits(self) -> list[Visit]:
        """Return what was seen since the start or the last :meth:`reset`."""
        ...

    def cpu_s(self) -> float:
        """Return the CPU seconds of its process so far."""
        ...


def nginx_path() -> str | None:
    """Return where nginx is; Debian keeps it from a user's path."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class _Logging(Server):
    """A server with a folder, in which it writes a line for each answer.

    Args:
        site: What to serve.
        folder: Where its files go; empty.
    """

    def __init__(self, site: Site, folder: Path) -> None:
        self._site = site
        self._folder = folder
        self._port = 0
        self._kept: Kept | None = None

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    @override
    def list_url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._site.list_path}"

    @override
    def reset(self) -> None:
        os.truncate(self._folder / "access.log", 0)  # it appends

    @override
    def visits(self) -> list[Visit]:
        visits = []
        with (self._folder / "access.log").open(encoding="utf-8") as file:
            for line in file:
                end, took, path = line.split(maxsplit=2)
                end_s = float(end)
                visits.append(Visit(path.rstrip("\n"), end_s - float(took), end_s))
        return visits

    def _stop(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.stop()


class WaitingServer(_Logging):
    """A process of ours, which waits before it answers.

    Args:
        site: What to serve.
        folder: Where its log goes; empty.
        latency_s: Seconds between a request and its answer.
    """

    name = "a server that waits"
    sees_in_flight = True

    def __init__(self, site: Site, folder: Path, *, latency_s: float = 0.0) -> None:
        super().__init__(site, folder)
        self._latency_s = latency_s
        self._pid = 0

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._kept = Kept(
            [
                *(sys.executable, "-m", "benchmarks.runner.waiting"),
                *(str(self._site.folder), str(self._folder), str(self._latency_s)),
            ],
            folder=Path(__file__).parents[2],
        )
        deadline = time.monotonic() + _START_S
        while not (self._folder / "port").exists():
            if time.monotonic() > deadline:
                self._stop()
                raise ConcurcrawlError("the server that waits does not start")
            time.sleep(0.01)
        words = (self._folder / "port").read_text().split()
        self._pid, self._port = (int(word) for word in words)
        return self

    @override
    def cpu_s(self) -> float:
        return _cpu_s(self._pid)


_CONFIG = """
daemon off;
{processes}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {connections}; }}
http {{
    log_format seen '$msec $request_time $request_uri';
    access_log {folder}/access.log seen;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type "text/html; charset=UTF-8";
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    open_file_cache max=20000;
    gzip_static always;
    gunzip on;
    server {{
        listen {address}:{port}{ssl} backlog=1024;
        keepalive_timeout {keepalive_s};
        root {root};
        location /big/ {{
            gzip_static off;
            default_type application/octet-stream;
            rewrite ^ /big/file break;
        }}
        location ~ ^/(small|idle)/ {{
            rewrite "^/[a-z]+/\\d*(\\d\\d\\d\\d)$" /small/$1 break;
        }}
    }}
}}
"""
_TLS = """
ssl_certificate {folder}/certificate.pem;
ssl_certificate_key {folder}/key.pem;
"""


class NginxServer(_Logging):
    """Debian's nginx, one process, with the site's files; nothing is made on the way.

    Args:
        site: What to serve.
        folder: Where its log, its key and its certificate go; empty.
        tls: Whether to speak https.
        hosts: Addresses from 127.1.0.0 on that it answers at besides 127.0.0.1.
    """

    name = "nginx"
    sees_in_flight = False  # its clock counts milliseconds; an answer takes less

    def __init__(
        self, site: Site, folder: Path, *, tls: bool = False, hosts: int = 0
    ) -> None:
        super().__init__(site, folder)
        self._tls = tls
        self._hosts = hosts

    @property
    def certificate(self) -> Path:
        """The file with its certificate, if it speaks https."""
        return self._folder / "certificate.pem"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._tls:
            key, certificate = self_signed(["127.0.0.1"])
            (self._folder / "key.pem").write_bytes(key)
            self.certificate.write_bytes(certificate)
        for _ in range(_PORT_TRIES):
            if self._started():
                return self
            self._stop()
        log = (self._folder / "error.log").read_text(errors="replace").strip()
        raise ConcurcrawlError(f"nginx does not start: {log.rpartition(chr(10))[2]}")

    @property
    @override
    def list_url(self) -> str:
        plain = super().list_url
        return plain.replace("http:", "https:", 1) if self._tls else plain

    @override
    def cpu_s(self) -> float:
        return _cpu_s(self._pid())

    def _pid(self) -> int:
        pid = int((self._folder / "nginx.pid").read_text())
        workers = psutil.Process(pid).children()
        return workers[0].pid if workers else pid

    def _started(self) -> bool:
        with ExitStack() as stack:
            listener = None
            if self._hosts:
                listener = stack.enter_context(_loopback_listener())
                self._port = listener.getsockname()[1]
            else:
                # nginx takes no port 0: another may be quicker, and it is tried again.
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", 0))
                    self._port = probe.getsockname()[1]
            return self._serves(listener)

    def _serves(self, listener: socket.socket | None) -> bool:
        config = _CONFIG.format(
            folder=self._folder,
            port=self._port,
            root=self._site.folder,
            ssl=" ssl" if self._tls else "",
            address="0.0.0.0" if listener else "127.0.0.1",
            connections=16_384 if listener else 1024,
            # Many hosts would have as many idle connections open.
            keepalive_s=2 if listener else 75,
            # A single process crashes on a socket that it was given (nginx 1.22).
            processes=f"user {_user()};" if listener else "master_process off;",
        )
        if self._tls:
            config = config.replace(
                "    server {", _TLS.format(folder=self._folder) + "    server {", 1
            )
        (self._folder / "nginx.conf").write_text(config)
        (self._folder / "nginx.pid").unlink(missing_ok=True)
        nginx = nginx_path()
        assert nginx is not None
        self._kept = Kept(
            [
                *(nginx, "-p", str(self._folder), "-c", "nginx.conf"),
                *("-e", str(self._folder / "error.log")),
            ],
            listener=listener,
        )
        return self._answers()

    def _answers(self) -> bool:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except OSError:
                text = self._folder / "error.log"
                if text.exists() and b"emerg" in text.read_bytes():
                    return False
                time.sleep(0.01)
            else:
                if (self._folder / "nginx.pid").exists():
                    return True
                if not self._hosts:  # another process has the port
                    return False
                time.sleep(0.01)  # a socket of ours takes connections before nginx does
        return False

    @override
    def _stop(self) -> None:
        super()._stop()
        (self._folder / "error.log").unlink(missing_ok=True)


def _user() -> str:
    """Return who we are: nginx's worker would be another who may not read our files."""
    return pwd.getpwuid(os.getuid()).pw_name


def _loopback_listener() -> socket.socket:
    """Return a socket that listens at all loopback addresses, and at no other.

    Linux binds a socket to one address or to all: this one is bound to all of one
    device. nginx takes it over.
    """
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        listener.bind(("0.0.0.0", 0))
        listener.listen(_BACKLOG)
        listener.setblocking(False)  # as nginx would make its own
    except OSError:
        listener.close()
        raise
    return listener


def _cpu_s(pid: int | None) -> float:
    # The kernel's exact figure for the main thread, which does all the work here; the
    # other one comes in hundredths.
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def needs_nginx(workload: Workload) -> bool:
    """Return whether no other server has what *workload* needs."""
    return workload.is_https or bool(workload.hosts) or workload.kind == "big"


def server_for(
    workload: Workload, site: Site, folder: Path, *, has_nginx: bool
) -> Server:
    """Return the server of *workload*, which is to be entered.

    Args:
        workload: What is to be measured.
        site: What to serve.
        folder: Where it may write.
        has_nginx: Whether it may be nginx where both will do.
    """
    if workload.latency_s or not (has_nginx or needs_nginx(workload)):
        return WaitingServer(site, folder / "waiting", latency_s=workload.latency_s)
    return NginxServer(
        site, folder / "nginx", tls=workload.is_https, hosts=workload.hosts
    )


def peak_in_flight(visits: list[Visit]) -> int:
    """Return the most requests that were under way at once."""
    steps = [(visit.begin_s, 1) for visit in visits]
    steps += [(visit.end_s, -1) for visit in visits]
    now = peak = 0
    for _, step in sorted(steps):  # of two at a time the end comes first
        now += step
        peak = max(peak, now)
    return peak
