from __future__ import annotations

import signal
import subprocess
import sys
import unicodedata
from itertools import combinations
from pathlib import Path

import pytest

from concurcrawl.countries.page_files import file_name, title_of
from concurcrawl.durable.atomic_files import prepare_folder, write_whole

WIKI = "http://site.test/wiki/"

#: Titles that a disk, a shell or another title could stumble over.
HOSTILE = (
    "",
    ".",
    "..",
    "../../etc/passwd",
    "%2E%2E%2Fup",
    "%2Fetc%2Fpasswd",
    "A/B",
    "A%2FB%2FC",
    "A%5CB",
    "-rf",
    ".hidden",
    "CON",
    "con",
    "Nul.txt",
    "COM1",
    "Lpt%C2%B9",
    "a%00b",
    "a%0Ab",
    "a%7Fb",
    "What%3F",
    "C%3A",
    "A*B",
    "A%22B",
    "Tilde~0123456789",
    "france",
    "FRANCE",
    "France",
    "Cote_d'Ivoire",
    "C%C3%B4te_d%27Ivoire",
    "Co%CC%82te_d%27Ivoire",
    "Stra%C3%9Fe",
    "Strasse",
    "%FF",
    "%FE",
    "%E2%80%AEFrance",
    "%F0%9F%87%AB%F0%9F%87%B7",
    "x" * 250,
    "X" + "x" * 249,
    "X" + "x" * 250,
    "X" + "x" * 251,
    "%E4%B8%AD" * 84,
    "%E4%B8%AD" * 85,
)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("France", "France.html"),
        ("Trinidad_and_Tobago", "Trinidad_and_Tobago.html"),
        ("Guinea-Bissau", "Guinea-Bissau.html"),
        ("Isle_of_Man", "Isle_of_Man.html"),
        ("The_Gambia", "The_Gambia.html"),
        ("Republic_of_the_Congo", "Republic_of_the_Congo.html"),
        ("Georgia_(country)", "Georgia_(country).html"),
        ("S%C3%A3o_Tom%C3%A9_and_Pr%C3%ADncipe", "São_Tomé_and_Príncipe.html"),
        ("Cura%C3%A7ao#History", "Curaçao.html"),
        ("Demographics%20of_India", "Demographics_of_India.html"),
    ],
)
def test_an_ordinary_title_is_its_own_name(title: str, name: str) -> None:
    assert file_name(WIKI + title) == name


def test_the_address_of_a_site_is_no_part_of_a_name() -> None:
    copies = ("http://127.0.0.1:8000/wiki/", "https://en.wikipedia.org/wiki/")
    for title in ("France", "DR_Congo"):
        assert len({file_name(copy + title) for copy in copies}) == 1


def test_a_hash_is_the_same_in_every_process_and_release() -> None:
    assert file_name(WIKI + "DR_Congo") == "DR_Congo~0ea2ee63d2.html"


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_title_has_a_safe_name(title: str) -> None:
    name = file_name(WIKI + title)
    assert name.endswith(".html")
    assert len(name.encode()) <= 255
    assert not set(name) & set('/\\:*?"<>|%$ ')
    assert not any(unicodedata.category(char).startswith("C") for char in name)
    assert name[0] not in ".-"
    assert name.split(".")[0].casefold() not in {"con", "nul", "com1", "lpt¹"}


def test_different_titles_have_names_that_differ_in_more_than_case() -> None:
    def on_disk(title: str) -> str:
        return unicodedata.normalize("NFD", file_name(WIKI + title)).casefold()

    pairs = combinations(HOSTILE, 2)
    assert [pair for pair in pairs if on_disk(pair[0]) == on_disk(pair[1])] == []


def test_where_there_is_no_wiki_in_the_path_the_whole_path_is_the_title() -> None:
    assert title_of("http://site.test/africa/Congo.html") == "africa/Congo.html"
    assert title_of("http://site.test/page?id=1") != title_of(
        "http://site.test/page?id=2"
    )


def test_a_page_is_written_over_the_last_one(tmp_path: Path) -> None:
    write_whole(tmp_path, "France.html", b"old, and longer")
    write_whole(tmp_path, "France.html", b"new")
    assert (tmp_path / "France.html").read_bytes() == b"new"
    assert names(tmp_path) == ["France.html"]


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "France.html").mkdir()  # a rename onto a folder fails at the last step
    with pytest.raises(OSError, match="France"):
        write_whole(tmp_path, "France.html", b"body")
    assert names(tmp_path) == ["France.html"]


WRITER = """
import sys
from pathlib import Path
from concurcrawl.durable.atomic_files import write_whole

folder, letter = Path(sys.argv[1]), sys.argv[2].encode()
print("ready", flush=True)
while True:
    write_whole(folder, "France.html", letter * 300_000)
"""


def test_readers_see_whole_pages_while_processes_write_and_are_killed(
    tmp_path: Path,
) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), letter],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        for letter in "ab"
    ]
    seen: set[bytes] = set()
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
        reads = 0
        while reads < 300 or len(seen) < 2:  # pytest's time-out is the deadline
            reads += 1
            if (tmp_path / "France.html").exists():
                body = (tmp_path / "France.html").read_bytes()
                assert len(body) == 300_000
                assert set(body) in ({ord("a")}, {ord("b")})
                seen.add(body[:1])
        assert [writer.poll() for writer in writers] == [None, None]  # nobody failed
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
    assert len((tmp_path / "France.html").read_bytes()) == 300_000


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "pages").write_text("mine")
    with pytest.raises(FileExistsError):
        prepare_folder(tmp_path / "pages")
    assert (tmp_path / "pages").read_text() == "mine"
