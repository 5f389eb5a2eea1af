"""The spider ``countries`` saves the page of every country of a list."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from scrapy import Request, Spider, signals
from scrapy.exceptions import CloseSpider
from scrapy.http import TextResponse
from scrapy.spidermiddlewares.httperror import HttpError

from concurcrawl.config import Config
from concurcrawl.countries.country_list import find_countries
from concurcrawl.countries.infobox import read_facts
from concurcrawl.countries.page_files import file_name
from concurcrawl.durable.atomic_files import prepare_folder, write_whole
from concurcrawl.errors import ConfigError, ListPageError
from concurcrawl.limits.wikimedia import (
    MAX_IN_FLIGHT,
    MIN_DELAY_S,
    is_wikimedia,
    require_contact,
)
from concurcrawl.startup_errors import refusal
from concurcrawl.tools.testsite.process import SiteProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.settings import BaseSettings
    from twisted.python.failure import Failure

WIKIPEDIA = (
    "https://en.wikipedia.org/wiki/List_of_countries_by_population_(United_Nations)"
)
#: The file of a ``JOBDIR`` with the port of the crawl's test site.
_PORT = "testsite.port"
#: Above the command line's (40): these are the site's rules, not the user's wishes.
_SITE_RULE = 50


class CountriesSpider(Spider):
    """Save each country's page under ``CONCURCRAWL_PAGES_DIR`` and yield what it says.

    Callbacks may run in other processes than ``start()``: what they need comes with
    the response, and from arguments and settings, which all processes share.

    Args:
        site: ``testsite`` starts the offline copy (``mirror`` is its old name),
            ``wikipedia`` is the live list of the United Nations' figures, anything
            else is the URL of a list page.
        work: ``save`` keeps the pages; ``parse`` also reads their facts.
        pages: How many countries of the list, from its top; all if empty.
        _job: The id that Scrapyd gave this crawl; it has a folder of its own below
            ``CONCURCRAWL_PAGES_DIR`` then.
    """

    name = "countries"

    def __init__(
        self,
        site: str = "testsite",
        work: str = "save",
        pages: str = "",
        _job: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = _checked_job(_job)
        self._has_old_name = site == "mirror"
        self.site = _checked_site("testsite" if self._has_old_name else site)
        self.work = _checked_work(work)
        self.limit = _checked_pages(pages)
        self.folder: Path | str = Path()  # or the URL of one, for fsspec
        self._list_url = ""  # of our test site, once it runs

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Make the spider, or refuse in one sentence before anything is sent.

        Raises:
            SystemExit: If an argument, the agent or the folder will not do. Any other
                exception here ends ``scrapy crawl`` with a traceback.
        """
        try:
            spider = super().from_crawler(crawler, *args, **kwargs)
            spider.folder = _prepared_folder(crawler.settings, spider.job)
            _obey(spider.site, crawler.settings)
            if spider.site == "testsite" and _kept_port(crawler.settings["JOBDIR"]):
                # Where start() had yielded all, it is not asked again.
                crawler.signals.connect(spider.start_site, signals.spider_opened)
        except ConfigError as error:
            raise refusal(error, crawler.settings) from None
        return spider

    async def start(self) -> AsyncIterator[Any]:
        """Ask for the list page; start the test site first if that is the site."""
        if self._has_old_name:  # logged here, since workers do not run this
            self.logger.warning("-a site=mirror is deprecated; use -a site=testsite")
        if self.site == "testsite" and not self._list_url:
            self.start_site()
        url = self._list_url or self.site
        yield Request(url, self.parse_list, errback=self.list_failed)

    def start_site(self) -> None:
        """Start a test site that stops with the spider.

        A crawl that resumes has requests for the port that its test site had.
        """
        jobdir = self.crawler.settings["JOBDIR"]
        testsite = SiteProcess(port=_kept_port(jobdir))

        def stop() -> None:
            testsite.stop()

        # Held weakly, as receivers are by default, it would be gone at once. Connected
        # first: the crawl may be stopped while the test site is still starting.
        self.crawler.signals.connect(stop, signals.spider_closed, weak=False)
        self._list_url = testsite.start().list_url
        if jobdir:
            port = urlsplit(self._list_url).port
            write_whole(Path(jobdir), _PORT, str(port).encode())

    def parse_list(self, response: Response) -> Iterator[Request]:
        """Yield a request for each country of the list."""
        if response.status != 200:  # 2xx pass Scrapy's filter: 204 has no page
            raise self._without_list(response.url, f"status {response.status}")
        html = response.text if isinstance(response, TextResponse) else ""
        try:
            countries = find_countries(html, response.url)
        except ListPageError as error:
            # Without a traceback: the sentence says it all.
            self.logger.error(error)  # noqa: TRY400
            raise CloseSpider("no_countries") from None
        self._count("found", len(countries))
        for country in countries[: self.limit]:
            yield Request(
                _at_home(country.url, response.url),
                self.parse_country,
                errback=self.country_failed,
                cb_kwargs={
                    "country": country.name,
                    "population": country.population,
                    "file": file_name(country.url),
                },
                # They differ already. A filter would lose a country whose page is
                # redirected to that of another.
                dont_filter=True,
            )

    def list_failed(self, failure: Failure) -> Iterator[Request]:
        """End the crawl: without its list there is nothing to do."""
        # A generator: when a plain errback raises, Scrapy logs the failure's traceback.
        yield from ()
        raise self._without_list(_request(failure).url, _reason(failure))

    def _without_list(self, url: str, reason: str) -> CloseSpider:
        self.logger.error("The list page %s was not downloaded: %s", url, reason)
        return CloseSpider("list_page_failed")

    def parse_country(
        self, response: Response, country: str, population: int | None, file: str
    ) -> Iterator[dict[str, Any]]:
        """Save the page and yield an item with the facts of the country."""
        if response.status != 200:
            self._fail(country, response.url, f"status {response.status}")
            return
        try:
            _save(self.folder, file, response.body)
        except OSError as error:
            self._fail(country, response.url, f"it cannot be saved: {error}")
            raise CloseSpider("cannot_save_pages") from None
        self._count("saved")
        item = {
            "country": country,
            "population": population,
            "url": response.url,
            "file": file,
            "bytes": len(response.body),
            "sha256": hashlib.sha256(response.body).hexdigest(),
        }
        if self.work == "parse":
            html = response.text if isinstance(response, TextResponse) else ""
            item |= asdict(read_facts(html))
        yield item

    def country_failed(self, failure: Failure) -> None:
        """Log and count a country's page that could not be downloaded."""
        request = _request(failure)
        self._fail(request.cb_kwargs["country"], request.url, _reason(failure))

    def _fail(self, country: str, url: str, reason: str) -> None:
        self.logger.error("No page of %s from %s: %s", country, url, reason)
        self._count("failed")

    def _count(self, what: str, count: int = 1) -> None:
        self.crawler.stats.inc_value(f"countries/{what}", count)


def _kept_port(jobdir: str | None) -> int:
    """Return the port of the test site that a crawl with *jobdir* had, or 0."""
    if not jobdir:
        return 0
    try:
        return int((Path(jobdir) / _PORT).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _checked_site(site: str) -> str:
    if site == "wikipedia":
        return WIKIPEDIA
    try:
        parts = urlsplit(site)
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        is_url = False
    if site != "testsite" and not is_url:
        raise ConfigError("site", site, "testsite, wikipedia or the URL of a list page")
    return site


def _checked_work(work: str) -> str:
    if work not in {"save", "parse"}:
        raise ConfigError("work", work, "save or parse")
    return work


def _checked_pages(pages: str) -> int | None:
    if not pages:
        return None
    expected = "a whole number >= 1 (pages)"
    try:
        number = int(pages)
    except ValueError as error:
        raise ConfigError("pages", pages, expected) from error
    if number < 1:
        raise ConfigError("pages", pages, expected)
    return number


def _checked_job(job: str) -> str:
    if job in {".", ".."} or job != Path(job).name:
        raise ConfigError("_job", job, "an id that can be the name of a folder")
    return job


def _save(folder: Path | str, file: str, body: bytes) -> None:
    if isinstance(folder, Path):
        write_whole(folder, file, body)
        return
    import fsspec

    with fsspec.open(f"{folder}/{file}", "wb") as pages:
        pages.write(body)


def _prepared_folder(settings: BaseSettings, job: str) -> Path | str:
    name = Config.from_settings(settings).pages_dir
    if "://" in name:
        return _prepared_url(name.rstrip("/"), job)
    folder = Path(name).absolute() / job
    try:
        prepare_folder(folder)
    except OSError as error:
        expected = f"a folder that pages can be saved in ({error.strerror})"
        raise ConfigError("CONCURCRAWL_PAGES_DIR", name, expected) from error
    return folder


def _prepared_url(name: str, job: str) -> str:
    """Return the URL of a folder that all machines of a cluster write to."""
    if find_spec("fsspec") is None:
        raise ConfigError("CONCURCRAWL_PAGES_DIR", name, "a folder: a URL needs fsspec")
    import fsspec

    url = f"{name}/{job}" if job else name
    try:
        filesystem, path = fsspec.url_to_fs(url)
        filesystem.makedirs(path, exist_ok=True)
    except (OSError, ValueError, ImportError) as error:
        expected = f"a folder, or a URL that fsspec can write to ({error})"
        raise ConfigError("CONCURCRAWL_PAGES_DIR", name, expected) from error
    return url


def _obey(site: str, settings: BaseSettings) -> None:
    """Set what *site* asks of a crawler."""
    is_local = urlsplit(site).hostname in {"localhost", "127.0.0.1", "::1"}
    if site == "testsite" or is_local:
        # This machine's own: its robots.txt would be one more request a process.
        settings.set("ROBOTSTXT_OBEY", False, "spider")
    if not is_wikimedia(site):
        return
    require_contact(settings.get("USER_AGENT") or "")
    for name in ("CONCURRENT_REQUESTS", "CONCURRENT_REQUESTS_PER_DOMAIN"):
        # 0 means no limit
        in_flight = min(settings.getint(name) or math.inf, MAX_IN_FLIGHT)
        settings.set(name, int(in_flight), _SITE_RULE)
    delay_s = max(settings.getfloat("DOWNLOAD_DELAY"), MIN_DELAY_S)
    settings.set("DOWNLOAD_DELAY", delay_s, _SITE_RULE)
    settings.set("DOWNLOAD_DELAY_JITTER", 0, _SITE_RULE)  # half the delay is too short
    settings.set("ROBOTSTXT_OBEY", True, _SITE_RULE)
    settings.set("COOKIES_ENABLED", False, _SITE_RULE)


def _at_home(url: str, list_url: str) -> str:
    """Return *url*, on the site of *list_url* if it leads from a copy to the original.

    A saved page may link to Wikipedia in full. Whoever crawls a copy has not agreed
    with Wikimedia's rules, and the copy has those pages under the same paths.
    """
    if is_wikimedia(list_url) or not is_wikimedia(url):
        return url
    home = urlsplit(list_url)
    return urlsplit(url)._replace(scheme=home.scheme, netloc=home.netloc).geturl()


def _request(failure: Failure) -> Request:
    request: Request = failure.request  # type: ignore[attr-defined]  # Scrapy adds it
    return request


def _reason(failure: Failure) -> str:
    if isinstance(failure.value, HttpError):
        return f"status {failure.value.response.status}"
    return failure.getErrorMessage() or type(failure.value).__name__
