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
from concurcrawl.tools.testsite.countries import COUNTRY_COUNT, countries
from concurcrawl.tools.testsite.encodings import compress

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
            the lists; every file is gzipped.
        list_path: Path of the list page below the server's address.
        expected: SHA-256 of each page by the name of the file that it is saved in,
            unescaped.
        body_bytes: Bytes of all pages, inflated.
    """

    folder: Path
    list_path: str
    expected: dict[str, str]
    body_bytes: int

    @property
    def list_file(self) -> Path:
        """Return the file with the list page."""
        return file_of(self.folder, self.list_path)


def is_page(path: str) -> bool:
    """Return whether a request for *path* is for one of the pages to get."""
    return path.startswith(("/wiki/", "/small/", "/big/"))


def file_of(folder: Path, path: str) -> Path:
    """Return the file below *folder* that holds what is asked for with *path*.

    The query is left out, and so are all but the last four digits of a small page.
    """
    plain = unquote(path.partition("?")[0])
    _, kind, name = plain.split("/", 2)
    if kind in ("small", "idle"):
        kind, name = "small", name[-4:]
    return folder / kind / f"{name}.gz"


def site_of(kind: str, folder: Path, pages: int) -> Site:
    """Write the pages of a workload of *kind*, and a list of them, below *folder*."""
    sites = {"country": country_site, "small": small_site, "big": big_site}
    return sites[kind](folder, pages)


def country_site(folder: Path, pages: int) -> Site:
    """Write a list of *pages* country pages, and those, below *folder*.

    Beyond the last country the same pages come under other addresses.
    """
    bodies = Bodies.in_user_cache(0, min(pages, COUNTRY_COUNT))
    bodies.prepare()
    digests, sizes, paths = [], [], []
    for country in countries()[:pages]:
        page = unquote(country.path)
        squeezed = bodies.get(page, "gzip")
        _put(file_of(folder, country.path), squeezed)
        body = zlib.decompress(squeezed, _GZIP)
        digests.append(hashlib.sha256(body).hexdigest())
        sizes.append(len(body))
        paths.append(country.path)
    addresses = [_again(paths, number) for number in range(pages)]
    expected = {
        unquote(address.rpartition("/")[2]) + ".html": digests[number % len(paths)]
        for number, address in enumerate(addresses)
    }
    size = sum(sizes[number % len(paths)] for number in range(pages))
    return Site(folder, _put_list(folder, "country", addresses), expected, size)


def _again(paths: list[str], number: int) -> str:
    """Return the address of page *number*: a query tells those alike apart."""
    turn, index = divmod(number, len(paths))
    return paths[index] + (f"?n={turn}" if turn else "")


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
    expected = {f"{n:07}.html": digests[n % SMALL] for n in range(pages)}
    size = sum(sizes[n % SMALL] for n in range(pages))
    addresses = [f"/small/{number:07}" for number in range(pages)]
    return Site(folder, _put_list(folder, "small", addresses), expected, size)


def big_site(folder: Path, pages: int) -> Site:
    """Write a list of *pages* big files, which are one file, and that, not gzipped."""
    body = bytes(range(250)) * (_BIG_BYTES // 250)
    _put(folder / "big" / "file", body)
    digest = hashlib.sha256(body).hexdigest()
    expected = {f"{number:07}.html": digest for number in range(pages)}
    addresses = [f"/big/{number:07}" for number in range(pages)]
    listed = _put_list(folder, "big", addresses)
    return Site(folder, listed, expected, len(body) * pages)


def _put_list(folder: Path, kind: str, addresses: list[str]) -> str:
    """Write a page with links to *addresses*; return its own address."""
    rows = "\n".join(
        '<tr><td><span class="flagicon"></span> '
        f'<a href="{escape(address)}">Page {number}</a></td></tr>'
        for number, address in enumerate(addresses)
    )
    listed = _document(f"{len(addresses)} pages", f"<table>\n{rows}\n</table>")
    path = f"/list/{kind}-{len(addresses)}"
    _put(file_of(folder, path), compress(listed, "gzip"))
    return path


def _document(title: str, body: str) -> bytes:
    head = f'<html lang="en">\n<head><title>{escape(title)}</title></head>\n'
    return f"<!DOCTYPE html>\n{head}<body>\n{body}\n</body>\n</html>\n".encode()


def _put(file: Path, body: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
