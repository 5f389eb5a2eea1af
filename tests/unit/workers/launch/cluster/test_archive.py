"""Which code travels, and that it is unpacked once."""

from __future__ import annotations

import io
import sys
import tarfile
import tempfile
from typing import TYPE_CHECKING

import pytest

from concurcrawl.errors import ConfigError
from concurcrawl.workers.launch.cluster.archive import pack
from concurcrawl.workers.launch.cluster.order import digest
from concurcrawl.workers.launch.cluster.unpacking import unpacked

if TYPE_CHECKING:
    from pathlib import Path


def names(archive: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return set(tar.getnames())


def written(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n", encoding="utf-8")
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = written(
        tmp_path / "project",
        *("scrapy.cfg", "helper.py", "items.jsonl", "data/words.txt"),
        *("shop/__init__.py", "shop/prices/list.json", "shop/__pycache__/x.pyc"),
        *("shop/.git/config", "shop/.env", "concurcrawl/__init__.py"),
    )
    monkeypatch.chdir(folder)
    return folder


def test_of_a_project_its_packages_and_modules_travel(project: Path) -> None:
    found = names(pack(["shop.spiders"]))
    expected = {"scrapy.cfg", "helper.py", "shop/__init__.py", "shop/prices/list.json"}
    assert found == expected


def test_other_files_travel_if_they_are_named(project: Path) -> None:
    assert "data/words.txt" in names(pack([], ["data/*.txt"]))
    with pytest.raises(ConfigError, match="CONCURCRAWL_CLUSTER_FILES='none"):
        pack([], ["none/*.txt"])


def test_the_same_content_makes_the_same_archive(project: Path) -> None:
    first = pack([])
    (project / "helper.py").touch()
    assert digest(pack([])) == digest(first)
    (project / "helper.py").write_text("more = 1\n", encoding="utf-8")
    assert digest(pack([])) != digest(first)


def test_a_file_of_runspider_travels_with_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "a", "lone_spider.py", "beside/__init__.py", "other.py")
    written(folder, "beside/data.txt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(folder)
    __import__("lone_spider")
    __import__("beside")
    try:
        found = names(pack(["lone_spider"]))
    finally:
        del sys.modules["lone_spider"], sys.modules["beside"]
    assert found == {"lone_spider.py", "beside/__init__.py", "beside/data.txt"}


def test_a_file_in_the_current_folder_travels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(written(tmp_path / "here", "lone_here.py", "other.py"))
    monkeypatch.syspath_prepend(tmp_path / "here")
    __import__("lone_here")
    try:
        assert names(pack(["lone_here"])) == {"lone_here.py"}
    finally:
        del sys.modules["lone_here"]


def test_what_pip_installed_does_not_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert names(pack(["scrapy.spiders", "json", "concurcrawl.spiders"])) == set()


def test_an_archive_is_unpacked_once(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    archive = pack([])
    fetched: list[bytes] = []

    def fetch() -> bytes:
        fetched.append(archive)
        return archive

    for _ in range(2):
        folder = unpacked(digest(archive), fetch)
        assert (folder / "shop/prices/list.json").is_file()
    assert len(fetched) == 1
    with pytest.raises(OSError, match="other content"):
        unpacked(digest(b""), lambda: archive)
    assert [*folder.parent.glob("tmp*")] == []


def test_a_folder_that_others_can_write_to_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    unpacked(digest(pack([])), lambda: pack([])).parent.chmod(0o777)
    with pytest.raises(PermissionError, match="open to others"):
        unpacked(digest(pack([])), lambda: pack([]))
