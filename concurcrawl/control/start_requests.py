"""Start requests for a running crawl, from URLs and from what JSON says of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scrapy import FormRequest, Request

from concurcrawl.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scrapy import Spider

#: The name of the spider's method that makes the start request of a URL.
START_REQUEST_FOR = "start_request_for"

#: Allowed schemes. With others, such as ``file``, a client could read local files.
SCHEMES = ("http", "https")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


#: What a description of a request may say, and whether a value is of its kind.
FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "url": (_is_text, "text"),
    "method": (_is_text, "text"),
    "headers": (_is_map, "an object"),
    "body": (_is_text, "text"),
    "meta": (_is_map, "an object"),
    "cb_kwargs": (_is_map, "an object"),
    "priority": (_is_whole, "a whole number"),
    "dont_filter": (lambda value: isinstance(value, bool), "true or false"),
    "callback": (_is_text, "the name of a method of the spider"),
    "formdata": (_is_map, "an object"),
}


async def start_request(spider: Spider, wanted: str | Mapping[str, Any]) -> Request:
    """Return the start request that *wanted* describes.

    Its base is what ``spider.start_request_for(url)`` returns, if the spider has that
    method, else a request whose response goes to ``parse``.

    Args:
        spider: Of the crawl.
        wanted: A URL, or ``url`` and other fields of :data:`FIELDS`.

    Raises:
        ControlError: With one sentence, if no request can be made of it.
    """
    if isinstance(wanted, str):
        wanted = {"url": wanted}
    check_fields(wanted)
    fields = dict(wanted)
    url = str(fields.pop("url")).strip()
    check_url(url)
    request = await _base(spider, url)
    form = fields.pop("formdata", None)
    meta = {**request.meta, **fields.pop("meta", {})}
    meta.setdefault("is_start_request", True)  # as Scrapy's own middleware does
    if "callback" in fields:
        fields["callback"] = _method(spider, fields["callback"])
    try:
        request = request.replace(meta=meta, **fields)
        return _as_form(request, form) if form else request
    except (TypeError, ValueError) as error:
        raise ControlError(f"{url}: {error}") from error


def check_fields(wanted: object) -> None:
    """See that *wanted* describes a request, whatever its URL is.

    Raises:
        ControlError: If it does not.
    """
    if isinstance(wanted, str):
        return
    if not isinstance(wanted, Mapping) or "url" not in wanted:
        raise ControlError(f"{_short(wanted)} is neither a URL nor an object with url")
    for name, value in wanted.items():
        if name not in FIELDS:
            known = ", ".join(FIELDS)
            raise ControlError(f"a request has no {name!r}; it may have {known}")
        is_right, expected = FIELDS[name]
        if not is_right(value):
            raise ControlError(f"{name} of a request must be {expected}")


def check_url(url: str) -> None:
    """See that *url* may be requested.

    Raises:
        ControlError: If it is no absolute URL of http or https.
    """
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in SCHEMES and bool(parts.hostname)
    except ValueError:
        is_right = False
    if not is_right:
        raise ControlError(f"{_short(url)} is no http or https URL")


async def _base(spider: Spider, url: str) -> Request:
    make = getattr(spider, START_REQUEST_FOR, None)
    if make is None:
        return Request(url)
    try:
        made = make(url)
        if inspect.isawaitable(made):
            made = await made
    except Exception as error:  # the spider's own code
        raise ControlError(
            f"{START_REQUEST_FOR}({url!r}) raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, Request):
        raise ControlError(
            f"{START_REQUEST_FOR}({url!r}) returned {_short(made)}, which is no Request"
        )
    return made


def _as_form(request: Request, form: Mapping[str, str]) -> Request:
    method = None if request.method == "GET" else request.method  # then it is POST
    return request.replace(cls=FormRequest, method=method, formdata=form)


def _method(spider: Spider, name: str) -> Callable[..., Any]:
    found = getattr(spider, name, None)
    if name.startswith("__") or not inspect.ismethod(found):
        raise ControlError(f"the spider has no method {name!r}")
    callback: Callable[..., Any] = found
    return callback


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
