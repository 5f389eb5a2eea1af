"""File names for pages that are valid on every file system. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import unquote, urlsplit

_SUFFIX = ".html"
_MAX_BYTES = 255  # a name's length on ext4, APFS, NTFS; the shortest of them
_HASH_DIGITS = 10
_PUNCTUATION = frozenset("_-.,'()!&+=@")
#: Words that Wikipedia's titles of countries write small inside a title.
_SMALL_WORDS = frozenset({"and", "da", "de", "del", "do", "la", "of", "the"})
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"}
    | {f"{device}{number}" for device in ("com", "lpt") for number in "0123456789¹²³"}
)


def title_of(url: str) -> str:
    """Return the title of the article at *url*, decoded, with ``_`` for spaces.

    It is what follows the last ``/wiki/``. Where there is none it is the whole path
    and query, so that different pages of a site have different titles.
    """
    parts = urlsplit(url)
    before, mark, title = parts.path.rpartition("/wiki/")
    if not mark:
        title = before + title.lstrip("/")
    if parts.query:
        title += "?" + parts.query
    # Bytes that are no UTF-8 must stay different from each other.
    return re.sub(r"[ _]+", "_", unquote(title, errors="surrogateescape")).strip("_")


def file_name(url: str) -> str:
    """Return the name of the file for the page at *url*, at most 255 bytes of UTF-8.

    The name depends on the URL's title alone, so processes that never speak to each
    other agree on it. Different titles have different names, also on a disk that
    ignores case: a title that is safe, and written as countries are (each word with
    one capital), is its own name; any other is cleaned and gets a hash of the title.
    A site's address is no part of it: the same page of two copies has one name.
    """
    title = title_of(url)
    stem = _clean(title)
    if stem == title == _as_countries_are_written(title):
        name = stem + _SUFFIX
        if len(name.encode()) <= _MAX_BYTES:
            return name
    digest = hashlib.sha256(title.encode("utf-8", "surrogateescape")).hexdigest()
    # "~" is never part of a cleaned stem, so no title spells another one's hash.
    tail = f"~{digest[:_HASH_DIGITS]}{_SUFFIX}"
    return _shorten(stem, _MAX_BYTES - len(tail)) + tail


def _clean(title: str) -> str:
    text = unicodedata.normalize("NFC", title)
    stem = "".join(char if _is_plain(char) else "_" for char in text)
    if not stem or stem[0] in ".-" or stem.split(".")[0].casefold() in _DEVICES:
        stem = "_" + stem
    return stem


def _is_plain(char: str) -> bool:
    return char in _PUNCTUATION or unicodedata.category(char)[0] in "LMN"


def _as_countries_are_written(title: str) -> str:
    """Return the one spelling, of all that differ in case only, that needs no hash."""
    words = re.split(r"([_-])", title.casefold())
    return "".join(
        word if index and word in _SMALL_WORDS else word[:1].upper() + word[1:]
        for index, word in enumerate(words)
    )


def _shorten(stem: str, size: int) -> str:
    return stem.encode()[:size].decode("utf-8", "ignore")
