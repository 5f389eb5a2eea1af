"""A script with aiohttp: one session, so many requests in flight."""

from __future__ import annotations

import asyncio

import aiohttp

from benchmarks.common import arguments, keep, links


async def main() -> None:
    """Get all pages."""
    list_url, out, work, in_flight = arguments()
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(
        connector=connector, raise_for_status=True
    ) as session:

        async def get(url: str) -> bytes:
            async with session.get(url) as response:
                return await response.read()

        async def do(url: str) -> None:
            keep(out, work, url, await get(url))

        urls = links(await get(list_url), list_url)
        waiting = iter(urls)

        async def take() -> None:
            for url in waiting:
                await do(url)

        await asyncio.gather(*(take() for _ in range(in_flight)))


if __name__ == "__main__":
    asyncio.run(main())
