"""Scrapy's meta refresh, told from the head of a page.

Scrapy looks at the first 4096 characters, but decodes the whole page for that, which is
most of what a large page costs that is only saved.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scrapy.downloadermiddlewares.redirect import MetaRefreshMiddleware
from scrapy.http import HtmlResponse
from scrapy.utils.response import get_meta_refresh
from typing_extensions import override

from concurcrawl.compat import components

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.http import Response
    from scrapy.settings import BaseSettings

_CHARACTERS = 4096
#: Bytes that hold as many in any encoding.
_HEAD = 4 * _CHARACTERS

#: A declared encoding in which ASCII is ASCII.
_PLAIN = re.compile(
    rb"charset=[\"']?(utf-?8|us-ascii|iso-8859-\d+|windows-125\d)\b", re.IGNORECASE
)

#: A reference to a letter of "refresh".
_LETTER = re.compile(
    rb"&#(?:0*(?:69|70|72|82|83|101|102|104|114|115)|x0*[4-7][2-8])\b", re.IGNORECASE
)


def enable(settings: BaseSettings, rank: str) -> None:
    """Put ours in the place of Scrapy's, unless the project has moved that."""
    components.replace(settings, MetaRefreshMiddleware, HeadMetaRefreshMiddleware, rank)


class HeadMetaRefreshMiddleware(MetaRefreshMiddleware):
    """Gives the same answers as its base."""

    def __init__(self, settings: BaseSettings) -> None:
        super().__init__(settings)
        self._tags: list[str] = settings.getlist("METAREFRESH_IGNORE_TAGS")

    @override
    def process_response(
        self, request: Request, response: Response, spider: Spider | None = None
    ) -> Request | Response:
        if isinstance(response, HtmlResponse) and self._is_settled_by_head(response):
            return response
        return super().process_response(request, response)

    def _is_settled_by_head(self, response: HtmlResponse) -> bool:
        """Return whether the head alone shows that there is no refresh.

        Only if the encoding is declared: else it is found out from the whole page.
        """
        declared = response.headers.get("Content-Type") or b""
        start = response.body[:_HEAD]
        if _PLAIN.search(declared) and not _may_say_refresh(_ascii(start)):
            return True
        if len(response.body) <= _HEAD or b"charset=" not in declared.lower():
            return False  # there is nothing to save, or it might be another encoding
        head = response.replace(body=start)
        return not get_meta_refresh(head, ignore_tags=self._tags)[1]


def _ascii(start: bytes) -> bytes:
    """Return the characters at *start* that count, those beyond ASCII left out.

    In other encodings than UTF-8 that may be some more than count.
    """
    text = start.decode("utf-8", "ignore")[:_CHARACTERS]
    return text.encode("ascii", "ignore")


def _may_say_refresh(start: bytes) -> bool:
    """Return whether the word may be in *start*, by what is quick to see."""
    # A zero: it is UTF-16 after all.
    return bool(
        b"refresh" in start.lower()
        or b"\0" in start
        or (b"&#" in start and _LETTER.search(start))
    )
