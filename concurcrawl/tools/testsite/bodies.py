"""Every page in every content coding, ready to send."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import unquote

from concurcrawl.tools.testsite.countries import CountryFacts, countries
from concurcrawl.tools.testsite.encodings import Encoding, compress
from concurcrawl.tools.testsite.site import CONTENT_VERSION, LIST_PATH, Site
from concurcrawl.tools.testsite.store import BodyStore, cache_folder

if TYPE_CHECKING:
    from pathlib import Path


class Bodies:
    """The site's pages by path, made once and kept.

    ``gzip``, which nearly every client asks for, is made by :meth:`prepare`; ``br`` and
    ``identity`` when they are first asked for. ``identity`` is not kept on disk.

    Args:
        seed: Which of the possible sites.
        pages: How many countries it has.
        folder: Where caches are kept; None for nowhere.
    """

    def __init__(self, seed: int, pages: int, folder: Path | None) -> None:
        self._site = Site(seed)
        self._pages = pages
        if folder is not None:
            folder /= f"site-{CONTENT_VERSION}-{seed}"
        self._store = BodyStore(folder)
        self._made: dict[tuple[str, Encoding], bytes] = {}
        self._countries = {
            unquote(country.path): country for country in countries()[:pages]
        }
        self._paths = {LIST_PATH, *self._countries}
        self._cancelled = Event()

    @classmethod
    def in_user_cache(cls, seed: int, pages: int) -> Bodies:
        """Make one that keeps what it makes among the user's caches."""
        return cls(seed, pages, cache_folder())

    def find(self, raw_path: str) -> str | None:
        """Return the page that *raw_path* names, however escaped, or None."""
        if raw_path in self._paths:
            return raw_path
        path = unquote(raw_path)
        return path if path in self._paths else None

    def etag(self, page: str, encoding: Encoding) -> str:
        """Return a tag that changes when, and only when, the body may have changed."""
        return f'"{CONTENT_VERSION}-{self._site.seed}-{self._key(page)}-{encoding}"'

    def get(self, page: str, encoding: Encoding) -> bytes:
        """Return the body of *page*, which :meth:`find` found."""
        body = self._made.get((page, encoding))
        if body is None:
            body = self._made[page, encoding] = self._fetch(page, encoding)
        return body

    def prepare(self) -> None:
        """Compress every page with gzip, in two threads: zlib releases the GIL."""
        with ThreadPoolExecutor(2) as pool:
            for _ in pool.map(self._prepare, sorted(self._paths)):
                pass

    def cancel(self) -> None:
        """End a :meth:`prepare` that runs in another thread after its present page."""
        self._cancelled.set()

    def _prepare(self, page: str) -> None:
        if not self._cancelled.is_set():
            self.get(page, "gzip")

    def _fetch(self, page: str, encoding: Encoding) -> bytes:
        if encoding == "identity":
            return self._make(page)
        name = f"{self._key(page)}.{encoding}"
        body = self._store.get(name)
        if body is None:
            body = compress(self._make(page), encoding)
            self._store.put(name, body)
        return body

    def _make(self, page: str) -> bytes:
        country = self._countries.get(page)
        if country is None:
            return self._site.list_page(self._pages)
        return self._site.country_page(country)

    def _key(self, page: str) -> str:
        country: CountryFacts | None = self._countries.get(page)
        return f"{country.rank:03}" if country else f"list-{self._pages}"
