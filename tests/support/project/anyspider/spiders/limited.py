"""A spider that asks several hosts for what it is told."""

import scrapy


class Limited(scrapy.Spider):
    """Asks each host for pages, in turn; a page may cost a second download.

    ``hosts`` and ``path`` are divided by spaces: a path for each host, the last for all
    that follow. Of ``more`` downloads a page has the first kind if its number is even,
    else the last.
    """

    name = "limited"

    def __init__(self, site=None, hosts=None, pages=20, path=None, more=None, **kwargs):
        super().__init__(**kwargs)
        port = site.rsplit(":", 1)[-1]
        hosts = (hosts or "127.0.0.1").split()
        paths = (path or "/hang?s=0.1").split()
        paths += paths[-1:] * len(hosts)
        self.urls = [f"http://{h}:{port}{p}" for h, p in zip(hosts, paths)]
        self.pages, self.more = int(pages), (more or "").split()

    async def start(self):
        for number in range(self.pages):
            more = self.more[number % 2 - 1] if self.more else None
            for url in self.urls:
                yield scrapy.Request(f"{url}&n={number}", cb_kwargs={"more": more})

    async def parse(self, response, more):
        url = response.url.replace("&n=", "&more=")
        if more == "download":
            await self.crawler.engine.download_async(scrapy.Request(url))
        if more == "file":
            yield {"url": response.url, "file_urls": [url]}
        else:
            yield {"url": response.url}
