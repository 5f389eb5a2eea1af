"""Download handlers and add-ons as plugins bring them."""

import os

from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler


class Rendering(HTTP11DownloadHandler):
    """Made at the start, as one that starts a browser."""

    lazy = False

    def __init__(self, crawler):
        super().__init__(crawler)
        with open(crawler.settings["MADE"], "a") as made:
            made.write(f"{os.getpid()}\n")

    async def download_request(self, request):
        response = await super().download_request(request)
        return response.replace(flags=["rendered"])


class RenderingAddon:
    """Sets its handler as scrapy-zyte-api's does."""

    def update_settings(self, settings):
        settings["DOWNLOAD_HANDLERS"]["http"] = Rendering
