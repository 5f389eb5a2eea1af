"""What the sites of Wikimedia ask of their crawlers.

References:
    https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy
    https://wikitech.wikimedia.org/wiki/Robot_policy
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from concurcrawl.errors import ConfigError
from concurcrawl.limits.policy import Profile

#: Less than half of what the robot policy allows: other crawls may share the address.
MAX_IN_FLIGHT = 3
MIN_DELAY_S = 0.2

_DOMAINS = (
    "mediawiki.org",
    "w.wiki",
    "wikibooks.org",
    "wikidata.org",
    "wikifunctions.org",
    "wikimedia.org",
    "wikimediafoundation.org",
    "wikinews.org",
    "wikipedia.org",
    "wikiquote.org",
    "wikisource.org",
    "wikiversity.org",
    "wikivoyage.org",
    "wiktionary.org",
)

#: The robot policy: fewer than 10 at a time and below 20 a second over all its sites.
PROFILE = Profile(
    name="wikimedia",
    hosts=_DOMAINS,
    in_flight=MAX_IN_FLIGHT,
    max_in_flight=9,
    rate_per_s=1 / MIN_DELAY_S,
    max_rate_per_s=19.0,
    min_pause_s=5.0,
    obeys_robots=True,
    query_strings=False,
    cookies=False,
    gzip=True,
    needs_contact=True,
)

_CONTACT = re.compile(
    r"https?://(?P<site>[^\s/;,)]+)|(?P<person>[\w.+-]+)@(?P<host>[\w-]+(?:\.[\w-]+)+)",
    re.IGNORECASE,
)
#: Hosts that reach no operator, and those of the libraries themselves.
_NO_OPERATOR = re.compile(
    r"(?:.*\.)?(?:(?:example|domain|test)\.\w+|\w+\.(?:example|invalid|test|local)"
    r"|localhost|(?:your|my)[\w-]*\.\w+|scrapy\.org|python\.org|python-requests\.org"
    r"|curl\.se|\d+(?:\.\d+){3})(?::\d+)?",
    re.IGNORECASE,
)
#: Where libraries live whose default agent names their address.
_LIBRARY = re.compile(
    r"https?://(?:www\.)?github\.com/(?:scrapy/scrapy|psf/requests|gocolly/colly"
    r"|(?:bitinn|node-fetch)/node-fetch|sindresorhus/got)\b",
    re.IGNORECASE,
)
_ANYBODY = re.compile(r"you\b.*|your.*|me|name|user|username|email", re.IGNORECASE)


def is_wikimedia(url: str) -> bool:
    """Whether *url* is on a site that Wikimedia's limits count together."""
    host = f".{urlsplit(url).hostname or ''}"
    return any(host.endswith(f".{domain}") for domain in _DOMAINS)


def require_contact(user_agent: str, site: str = "Wikimedia") -> None:
    """Refuse a ``USER_AGENT`` that does not say whom to write to.

    Args:
        user_agent: The setting.
        site: Who wants to know, for the message.

    Raises:
        ConfigError: If it names neither a site nor a mail address, or only those of a
            library or an example.
    """
    for contact in _CONTACT.finditer(_LIBRARY.sub("", user_agent)):
        host = contact["site"] or contact["host"]
        if _NO_OPERATOR.fullmatch(host):
            continue
        if contact["person"] and _ANYBODY.fullmatch(contact["person"]):
            continue
        return
    raise ConfigError(
        "USER_AGENT",
        user_agent,
        f"your crawler's name and where you can be reached, because {site} turns "
        "away everybody else; write it like "
        "-s USER_AGENT='mycrawler/1.0 (https://mysite.org/crawler; me@mysite.org)' "
        "with an address of your own",
    )
