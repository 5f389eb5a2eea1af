"""Where the archive of a project is unpacked on the machine of a worker."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from concurcrawl.workers.launch.cluster.order import digest

if TYPE_CHECKING:
    from collections.abc import Callable


def unpacked(name: str, fetch: Callable[[], bytes]) -> Path:
    """Return the folder with the code of an archive; unpack it where that is missing.

    Args:
        name: Its digest.
        fetch: Returns it; called once per machine, while other workers wait.

    Raises:
        OSError: If it cannot be written, or does not have that digest.
    """
    base = _cache()
    folder = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            archive = fetch()
            if digest(archive) != name:
                raise OSError("the project's archive has come with other content")
            new = Path(tempfile.mkdtemp(dir=base))
            try:
                with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                    tar.extractall(new, filter="data")
                new.rename(folder)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
    return folder


def _cache() -> Path:
    """Return a folder that only this user can write to: code is run from it."""
    folder = Path(tempfile.gettempdir()) / f"concurcrawl-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise PermissionError(f"{folder} belongs to another user, or is open to others")
    return folder
