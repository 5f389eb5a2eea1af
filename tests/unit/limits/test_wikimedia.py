from __future__ import annotations

import pytest

from concurcrawl.errors import ConfigError
from concurcrawl.limits.wikimedia import is_wikimedia, require_contact


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://en.wikipedia.org/wiki/France", True),
        ("https://en.m.wikipedia.org/wiki/France", True),
        ("https://wikipedia.org/", True),
        ("https://upload.wikimedia.org/x.png", True),
        ("https://www.wikidata.org:443/wiki/Q142", True),
        ("https://notwikipedia.org/", False),
        ("https://wikipedia.org.evil.test/", False),
        ("http://127.0.0.1:8000/wiki/France", False),
        ("testsite", False),
    ],
)
def test_the_sites_of_wikimedia_are_known_by_their_domain(
    url: str, expected: bool
) -> None:
    assert is_wikimedia(url) is expected


@pytest.mark.parametrize(
    "agent",
    [
        "",
        "Mozilla/5.0",
        "mycrawler/1.0",
        "Scrapy/2.19.0 (+https://scrapy.org)",
        "python-requests/2.32 (https://python-requests.org)",
        "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
        "colly - https://github.com/gocolly/colly",
        "mycrawler/1.0 (https://example.com/bot; me@example.org)",
        "mycrawler/1.0 (http://www.example.net)",
        "mycrawler/1.0 (your@email.com)",
        "mycrawler/1.0 (your.name@gmail.com)",
        "mycrawler/1.0 (https://yourdomain.com)",
        "mycrawler/1.0 (https://mysite.org/crawler; me@mysite.org)",
        "mycrawler/1.0 (https://localhost:8000/)",
        "mycrawler/1.0 (http://127.0.0.1/)",
    ],
)
def test_an_agent_that_names_nobody_is_refused(agent: str) -> None:
    with pytest.raises(ConfigError, match="where you can be reached") as caught:
        require_contact(agent)
    assert caught.value.value == agent


@pytest.mark.parametrize(
    "agent",
    [
        "census/1.0 (https://atlas.uni-strelsau.de/crawler) Scrapy/2.19.0",
        "census/1.0 (+https://github.com/somebody/census)",
        "census/1.0 (hentzau@strelsau.edu)",
        "census/1.0 (https://scrapy.org; mailto:hentzau@strelsau.edu)",
    ],
)
def test_an_agent_that_names_a_contact_is_let_in(agent: str) -> None:
    require_contact(agent)
