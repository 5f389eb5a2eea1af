"""A spider that asks several hosts for what it is told."""

import scrapy


class Limited(scrapy.Spider):
    """Asks each host for pages, in turn; a page may cost a second download."""

    name = "limited"

    def __init__(self, site=None, hosts=None, pages=20, path=None, more=None, **kwargs):
        super().__init__(**kwargs)
        port = site.rsplit(":", 1)[-1]
        self.sites = [
            f"http://{host}:{port}" for host in (hosts or "127.0.0.1").split()
        ]
        self.pages, self.path, self.more = int(pages), path or "/hang?s=0.1", more

    async def start(self):
        for number in range(self.pages):
            for site in self.sites:
                yield scrapy.Request(self.url(site, number))

    def url(self, site, number):
        # The first host may be asked for something else than the others.
        first, _, rest = self.path.partition(" ")
        path = first if site == self.sites[0] or not rest else rest
        return f"{site}{path}&n={number}"

    async def parse(self, response):
        url = response.url.replace("&n=", "&more=")
        if self.more == "download":
            await self.crawler.engine.download_async(scrapy.Request(url))
        if self.more == "file":
            yield {"url": response.url, "file_urls": [url]}
        else:
            yield {"url": response.url}
