"""Scrapy's meta refresh, told from the head of a page.

Scrapy looks at the first 4096 characters, but decodes the whole page for that, which is
most of what a large page costs that is only saved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scrapy.downloadermiddlewares.redirect import MetaRefreshMiddleware
from scrapy.http import HtmlResponse
from scrapy.utils.response import get_meta_refresh

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.http import Response
    from scrapy.settings import BaseSettings

#: Bytes that hold 4096 characters in any encoding.
_HEAD = 4 * 4096

_SCRAPYS = "scrapy.downloadermiddlewares.redirect.MetaRefreshMiddleware"


def enable(settings: BaseSettings, rank: str) -> None:
    """Put ours in the place of Scrapy's, unless the project has moved that."""
    middlewares = settings.getdict("DOWNLOADER_MIDDLEWARES")
    place = settings.getdict("DOWNLOADER_MIDDLEWARES_BASE").get(_SCRAPYS)
    if place is None or _SCRAPYS in middlewares or MetaRefreshMiddleware in middlewares:
        return
    middlewares |= {_SCRAPYS: None, HeadMetaRefreshMiddleware: place}
    settings.set("DOWNLOADER_MIDDLEWARES", middlewares, rank)


class HeadMetaRefreshMiddleware(MetaRefreshMiddleware):
    """Gives the same answers as its base."""

    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        """See :class:`MetaRefreshMiddleware`."""
        if isinstance(response, HtmlResponse) and self._is_settled_by_head(response):
            return response
        return super().process_response(request, response)

    def _is_settled_by_head(self, response: HtmlResponse) -> bool:
        """Tell whether the head alone shows that there is no refresh.

        Only if the encoding is declared: else it is found out from the whole page.
        """
        declared = b"charset=" in (response.headers.get("Content-Type") or b"").lower()
        if len(response.body) <= _HEAD or not declared:
            return False
        head = response.replace(body=response.body[:_HEAD])
        return not get_meta_refresh(head, ignore_tags=self._ignore_tags)[1]
