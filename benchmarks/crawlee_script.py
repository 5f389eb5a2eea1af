"""Crawlee for Python: its crawler that leaves the body as it came."""

from __future__ import annotations

import asyncio

from crawlee import ConcurrencySettings
from crawlee.configuration import Configuration
from crawlee.crawlers import HttpCrawler, HttpCrawlingContext
from crawlee.http_clients import ImpitHttpClient
from crawlee.storage_clients import MemoryStorageClient

from benchmarks.common import arguments, keep, links


async def main() -> None:
    """Get all pages."""
    list_url, out, work, in_flight = arguments()
    crawler = HttpCrawler(
        # The certificate is thrown away after the run; Scrapy checks none either.
        http_client=ImpitHttpClient(verify=False),
        storage_client=MemoryStorageClient(),
        configuration=Configuration(purge_on_start=False),
        concurrency_settings=ConcurrencySettings(
            min_concurrency=in_flight,
            desired_concurrency=in_flight,
            max_concurrency=in_flight,
        ),
    )

    @crawler.router.default_handler  # type: ignore[untyped-decorator]  # as crawlee is
    async def handle(context: HttpCrawlingContext) -> None:
        body = await context.http_response.read()
        if context.request.url == list_url:
            await context.add_requests(list(links(body, list_url)))
        else:
            keep(out, work, context.request.url, body)

    await crawler.run([list_url])


if __name__ == "__main__":
    asyncio.run(main())
