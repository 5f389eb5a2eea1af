"""What every program here does alike: read the list, name a file, keep a page."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urljoin

from lxml import html

from concurcrawl.countries.infobox import read_facts


def arguments() -> tuple[str, Path, str, int]:
    """Return list page, folder, work and requests in flight (1 if not given)."""
    list_url, out, work, *rest = sys.argv[1:]
    return list_url, Path(out), work, int(rest[0]) if rest else 1


def links(page: bytes, base: str) -> list[str]:
    """Return the addresses of the pages that the list page links to."""
    # Not "td .flagicon + a": with 100 000 links on a page that takes minutes.
    icons = html.fromstring(page.decode()).cssselect(".flagicon")
    found = (icon.getnext() for icon in icons)
    links = [link for link in found if link is not None and link.tag == "a"]
    return [urljoin(base, link.get("href", "")) for link in links]


def name_of(url: str) -> str:
    """Return the name of a page's file."""
    return url.rsplit("/", 1)[-1] + ".html"


def facts(url: str, body: bytes) -> dict[str, object]:
    """Return what a page says, and which page it was."""
    return {
        "file": name_of(url),
        "sha256": hashlib.sha256(body).hexdigest(),
        **asdict(read_facts(body.decode())),
    }


def keep(out: Path, work: str, url: str, body: bytes) -> None:
    """Do the work on one page."""
    file = out / name_of(url)
    if work == "save":
        file.write_bytes(body)
    else:
        file.with_suffix(".json").write_text(json.dumps(facts(url, body)))
