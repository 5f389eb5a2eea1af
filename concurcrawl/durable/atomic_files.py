"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from concurcrawl.errors import ConfigError

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path


def write_whole(folder: Path, name: str, body: bytes) -> None:
    """Make the file *name* in *folder* hold *body*; readers see all of it or nothing.

    Atomic also when several processes write the same name: one of them is last, and
    the file is that one's. Overwrites.

    Raises:
        OSError: If it cannot be written. Nothing of it is left then.
    """
    # No other writer has this name. In the same folder: a rename can't cross disks.
    part = folder / f".{os.getpid()}-{os.urandom(8).hex()}.part"
    try:
        with part.open("xb", buffering=0) as file:
            write_all(file, body)
        part.replace(folder / name)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_all(file: FileIO, body: bytes) -> None:
    """Write *body* to *file*, all of it: unbuffered, a write may stop short of the end.

    Raises:
        OSError: If it cannot be written.
    """
    rest = memoryview(body)
    while rest:
        rest = rest[file.write(rest) :]


def prepare_folder(folder: Path) -> None:
    """Make *folder*, and see that a file can be written there.

    Raises:
        OSError: If it is no folder, cannot be made or refuses files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Permission bits do not tell: root may all, and a disk can be read-only.
    probe = f".{os.getpid()}-{os.urandom(8).hex()}.probe"
    write_whole(folder, probe, b"")
    (folder / probe).unlink()


def prepare_out(folder: Path) -> None:
    """Make the folder of the option ``--out``.

    Raises:
        ConfigError: If nothing can be written there.
    """
    try:
        prepare_folder(folder)
    except OSError as error:
        expected = f"a folder for results ({error.strerror or error})"
        raise ConfigError("--out", str(folder), expected) from None


def make_name_safe(path: Path) -> None:
    """Have the disk know that *path*, a new file or folder, is there.

    To write a file to disk does not write its name, which is its folder's.

    Raises:
        OSError: If that fails.
    """
    if os.name == "nt":
        return  # folders cannot be opened there
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
