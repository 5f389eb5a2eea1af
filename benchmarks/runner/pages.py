"""The pages as files, gzipped, as a server hands them out; and what each must hold."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from html import escape
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import unquote

from benchmarks.runner.workloads import SMALL
from concurcrawl.tools.testsite.bodies import Bodies
from concurcrawl.tools.testsite.countries import countries
from concurcrawl.tools.testsite.encodings import compress
from concurcrawl.tools.testsite.site import LIST_PATH

if TYPE_CHECKING:
    from pathlib import Path

_GZIP = 31  # wbits of a gzip stream
_SMALL_BYTES = 5_000
_BIG_BYTES = 50_000_000
_WORDS = 900


@dataclass(frozen=True, slots=True)
class Site:
    """A folder of files and what they hold.

    Attributes:
        folder: ``wiki/`` has the country pages, ``small/`` the small ones, ``list/``
            the lists, all gzipped; ``big/file`` is every big file.
        list_path: Path of the list page below the server's address.
        expected: SHA-256 of each page by the name of the file that it is saved in,
            unescaped.
        body_bytes: Bytes of all pages, inflated.
    """

    folder: Path
    list_path: str
    expected: dict[str, str]
    body_bytes: int


def is_page(path: str) -> bool:
    """Return whether a request for *path* is for one of the pages to get."""
    # The test site's own list is among its pages.
    return (
        path.startswith(("/wiki/", "/small/", "/big/")) and unquote(path) != LIST_PATH
    )


def country_site(folder: Path, pages: int) -> Site:
    """Write the list of *pages* countries and their pages below *folder*."""
    bodies = Bodies.in_user_cache(0, pages)
    bodies.prepare()
    name = f"country-{pages}"
    _put(folder / "list" / f"{name}.gz", bodies.get(LIST_PATH, "gzip"))
    expected, size = {}, 0
    for country in countries()[:pages]:
        page = unquote(country.path)
        squeezed = bodies.get(page, "gzip")
        title = page.rpartition("/")[2]
        _put(folder / "wiki" / f"{title}.gz", squeezed)
        body = zlib.decompress(squeezed, _GZIP)
        expected[f"{title}.html"] = hashlib.sha256(body).hexdigest()
        size += len(body)
    return Site(folder, f"/list/{name}", expected, size)


def small_site(folder: Path, pages: int) -> Site:
    """Write a list of *pages* small pages, and those, below *folder*.

    Beyond the first 10 000 the same pages come under other addresses.
    """
    rng = Random(5)
    words = ["".join(rng.choices("aeilnorst", k=7)) for _ in range(_WORDS)]
    digests, sizes = [], []
    for number in range(min(pages, SMALL)):
        text = " ".join(rng.choices(words, k=_SMALL_BYTES // 8))
        body = _document(f"Page {number}", f"<p>{text[: _SMALL_BYTES - 100]}</p>")
        _put(folder / "small" / f"{number:04}.gz", compress(body, "gzip"))
        digests.append(hashlib.sha256(body).hexdigest())
        sizes.append(len(body))
    name = _put_list(folder, "small", pages)
    expected = {f"{n:07}.html": digests[n % SMALL] for n in range(pages)}
    size = sum(sizes[n % SMALL] for n in range(pages))
    return Site(folder, f"/list/{name}", expected, size)


def big_site(folder: Path, pages: int) -> Site:
    """Write a list of *pages* big files, which are one file, and that, not gzipped."""
    name = _put_list(folder, "big", pages)
    body = bytes(range(250)) * (_BIG_BYTES // 250)
    _put(folder / "big" / "file", body)
    digest = hashlib.sha256(body).hexdigest()
    expected = {f"{number:07}.html": digest for number in range(pages)}
    return Site(folder, f"/list/{name}", expected, len(body) * pages)


def _put_list(folder: Path, kind: str, pages: int) -> str:
    """Write a page with links to *pages* pages of a kind; return its name."""
    rows = "\n".join(
        '<tr><td><span class="flagicon"></span> '
        f'<a href="/{kind}/{number:07}">Page {number}</a></td></tr>'
        for number in range(pages)
    )
    listed = _document(f"{pages} pages", f"<table>\n{rows}\n</table>")
    name = f"{kind}-{pages}"
    _put(folder / "list" / f"{name}.gz", compress(listed, "gzip"))
    return name


def _document(title: str, body: str) -> bytes:
    head = f'<html lang="en">\n<head><title>{escape(title)}</title></head>\n'
    return f"<!DOCTYPE html>\n{head}<body>\n{body}\n</body>\n</html>\n".encode()


def _put(file: Path, body: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
