"""Where the control door of a crawl is, and how others find it.

A file of JSON in the ``JOBDIR``, or in a folder of the run's own, says where: its
``address`` is ``unix:<path>`` or ``http://host:port``, and ``token`` is there if one
was made. Only its owner can read it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.config import PREFIX, Config
from concurcrawl.errors import ConfigError

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

#: The names of the file and of the socket.
FILE = "concurcrawl.control.json"
SOCKET = "concurcrawl.sock"

#: Of the setting and of the variable of the environment.
TOKEN = f"{PREFIX}CONTROL_TOKEN"

_CONTROL = f"{PREFIX}CONTROL"

#: The shortest token that is taken.
_SHORTEST = 16

#: Bytes that the name of a Unix socket may have on every system.
_LONGEST_PATH = 100


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen.

    Attributes:
        host: Its name or address; empty for a Unix socket.
        port: 0 means any that is free.
    """

    host: str = ""
    port: int = 0


def listen_of(settings: BaseSettings) -> Listen:
    """Return where ``CONCURCRAWL_CONTROL`` says to listen.

    Raises:
        ConfigError: If it is no address, or one that must not be used.
    """
    config = Config.from_settings(settings)
    value = config.control
    if value in {"1", "True"}:  # of settings.py, too
        return Listen()
    host, colon, port = value.rpartition(":")
    host = host.strip("[]")
    if not (colon and host and port.isdigit() and int(port) < 1 << 16):
        raise ConfigError(_CONTROL, value, "1 or host:port, such as 127.0.0.1:8900")
    if not (_is_loopback(host) or config.control_public):
        raise ConfigError(
            _CONTROL,
            value,
            "a loopback address such as 127.0.0.1:8900; set "
            f"{PREFIX}CONTROL_PUBLIC=1 to let other machines reach it",
        )
    return Listen(host, int(port))


def given_token(settings: BaseSettings) -> str:
    """Return the token that is set, or nothing.

    Raises:
        ConfigError: If it is too short to be one. It is not in the sentence.
    """
    token = Config.from_settings(settings).control_token or os.environ.get(TOKEN, "")
    if token and len(token) < _SHORTEST:
        raise ConfigError(TOKEN, "…", f"at least {_SHORTEST} characters long")
    return token


def folder_of(jobdir: str | None, spider: str) -> Path:
    """Return the folder for the file, which is there: the ``JOBDIR`` or a new one."""
    if jobdir:
        return Path(jobdir).absolute()
    name = "".join(c if c.isalnum() else "-" for c in spider)
    return Path(tempfile.mkdtemp(prefix=f"concurcrawl-{name}-"))


def socket_in(folder: Path) -> Path:
    """Return where the socket of a crawl with *folder* is to be.

    Names of sockets must be short; one for a long name is in a folder of its own.
    """
    path = folder / SOCKET
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    return Path(tempfile.mkdtemp(prefix="concurcrawl-")) / SOCKET


def write(folder: Path, address: str, token: str | None) -> Path:
    """Write the file that says where the door is, whole; return its path."""
    file = folder / FILE
    beside = file.with_suffix(".new")
    beside.unlink(missing_ok=True)
    number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as out:
        found = {"address": address, "pid": os.getpid()}
        json.dump(found | ({"token": token} if token else {}), out)
    beside.replace(file)
    return file


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
