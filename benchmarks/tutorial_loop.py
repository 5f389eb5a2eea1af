"""The tutorial's first program: one page after the other.

Its mistakes are left in: whatever comes is saved, an error page too; there is no
time-out; and each page pays for a connection of its own.
"""

from __future__ import annotations

import json
import os
import sys
from urllib.parse import urljoin

import requests
from bs4 import BeautifulSoup

from benchmarks.common import facts

LIST_URL, OUT, WORK = sys.argv[1:4]


def get_links() -> list[str]:
    """Return the links beside the flags of the list page."""
    soup = BeautifulSoup(requests.get(LIST_URL).text, "lxml")
    return [
        urljoin(LIST_URL, str(link.get("href")))
        for link in soup.select("td .flagicon+ a")
    ]


def fetch(link: str) -> None:
    """Get one page, and do the work on it."""
    response = requests.get(link)
    name = link.split("/")[-1]
    if WORK == "save":
        with open(name + ".html", "wb") as file:
            file.write(response.content)
    else:
        with open(name + ".json", "w") as file:
            json.dump(facts(link, response.content), file)


if __name__ == "__main__":
    os.chdir(OUT)
    for link in get_links():
        fetch(link)
