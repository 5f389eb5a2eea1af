"""A project's code as one archive, to be unpacked on other machines.

What pip installed is not in it: that must be on both machines. The same content makes
the same archive, so that a machine which has it needs no other.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from scrapy.utils.conf import closest_scrapy_cfg

from concurcrawl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SKIPPED = {"__pycache__", "node_modules", "venv"}
_SKIPPED_SUFFIXES = {".pyc", ".pyo"}
#: Never sent: it is installed at both ends, in the same version.
_OURS = "concurcrawl"


def pack(modules: Iterable[str], patterns: Iterable[str] = ()) -> bytes:
    """Return the code that workers need and do not have, as an archive.

    That is the whole project where there is a ``scrapy.cfg``: its packages with all
    files in them, and its modules. Elsewhere it is the package of each module, or the
    file, and what has been imported from beside it.

    Args:
        modules: Names of modules, the spider's among them.
        patterns: Of more files, relative to the project's folder.

    Raises:
        ConfigError: If a pattern names no file.
    """
    files: dict[str, Path] = {}
    root = project_folder()
    others = {_folder_of(name) for name in modules}
    if (root / "scrapy.cfg").is_file():
        files["scrapy.cfg"] = root / "scrapy.cfg"
        files |= _files_of_project(root)
        others.discard(root)
    for folder in others:
        if folder is not None:
            files |= _imported_from(folder)
    for pattern in patterns:
        files |= matching(root, pattern)
    return _archive(files)


def project_folder() -> Path:
    """Return the folder of ``scrapy.cfg``, or the current one where there is none."""
    cfg = closest_scrapy_cfg()
    return Path(cfg).resolve().parent if cfg else Path.cwd()


def _files_of_project(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(root.iterdir()):
        if path.suffix == ".py" or _is_package(path):
            found |= _tree(root, path)
    return found


def _is_package(path: Path) -> bool:
    return path.name != _OURS and (path / "__init__.py").is_file()


def _folder_of(module: str) -> Path | None:
    """Return where a module's top level package is; None where pip has put it."""
    file = getattr(sys.modules.get(module), "__file__", None)
    top = module.partition(".")[0]
    if file is None or top == _OURS:
        return None
    folder = Path(file).resolve().parent
    if module != "__main__":
        for _ in range(module.count(".") + Path(file).name.startswith("__init__.")):
            folder = folder.parent
    return None if _is_installed(folder) else folder


def _is_installed(folder: Path) -> bool:
    places = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}
    return any(folder.is_relative_to(Path(place).resolve()) for place in places)


def _imported_from(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if getattr(module, "__file__", None) and _folder_of(name) == folder:
            package = folder / top
            is_package = name != "__main__" and package.is_dir()
            path = package if is_package else Path(str(module.__file__)).resolve()
            found |= _tree(folder, path)
    return found


def matching(root: Path, pattern: str) -> dict[str, Path]:
    """Return the files that *pattern* names, by where they are in *root*.

    Raises:
        ConfigError: If there is none.
    """
    found: dict[str, Path] = {}
    for path in root.glob(pattern) if not Path(pattern).is_absolute() else ():
        found |= _tree(root, path)
    if not found:
        expected = f"files in {root}, as patterns like data/*.csv"
        raise ConfigError("CONCURCRAWL_CLUSTER_FILES", pattern, expected)
    return found


def _tree(root: Path, path: Path) -> dict[str, Path]:
    return {
        file.relative_to(root).as_posix(): file
        for file in _walk(path)
        if file.suffix not in _SKIPPED_SUFFIXES
    }


def _walk(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for one in sorted(path.iterdir()):
            if one.name not in _SKIPPED and not one.name.startswith("."):
                yield from _walk(one)
    elif path.is_file():
        yield path


def _archive(files: dict[str, Path]) -> bytes:
    """Pack *files*; without times and owners, so that content alone makes the name."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name, path in sorted(files.items()):
            content = path.read_bytes()
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o700 if os.access(path, os.X_OK) else 0o600
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()
