"""Translates Scrapy's requests to options of libcurl, and its errors to Scrapy's.

Pure, except that settings which libcurl does not support are logged.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import ssl
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urldefrag, urlsplit

import pycurl
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    ScrapyDeprecationWarning,
    UnsupportedURLSchemeError,
)
from scrapy.utils.misc import load_object
from scrapy.utils.url import add_http_if_no_scheme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scrapy import Request
    from scrapy.settings import BaseSettings

logger = logging.getLogger(__name__)

#: One option of an easy handle and its value, as ``setopt`` takes them.
Option = tuple[int, Any]

_TLS_VERSIONS = {
    "TLSv1.0": (pycurl.SSLVERSION_TLSv1_0, pycurl.SSLVERSION_MAX_TLSv1_0),
    "TLSv1.1": (pycurl.SSLVERSION_TLSv1_1, pycurl.SSLVERSION_MAX_TLSv1_1),
    "TLSv1.2": (pycurl.SSLVERSION_TLSv1_2, pycurl.SSLVERSION_MAX_TLSv1_2),
    "TLSv1.3": (pycurl.SSLVERSION_TLSv1_3, pycurl.SSLVERSION_MAX_TLSv1_3),
}
#: CURLE_PROXY, a SOCKS proxy that refuses; pycurl has no name for it.
_E_PROXY = 97
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LIBCURLS_OWN = (
    b"Accept",
    b"Content-Type",
    b"Expect",
    b"Proxy-Connection",
    b"User-Agent",
)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Route:
    """Proxy and local address. Requests of one host share a connection if these agree.

    Attributes:
        proxy: URL of the proxy, or None.
        proxy_authorization: Value of the header that only the proxy gets, or None.
        bind: Local address and port (0 for any), or None.
    """

    proxy: str | None = None
    proxy_authorization: bytes | None = None
    bind: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class TransferTarget:
    """Scheme, host, port and path of a request.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name or address, without brackets.
        port: TCP port.
        origin: Scheme, host, port and a slash: the URL for libcurl.
        path: Path and query, byte for byte as they are sent.
    """

    scheme: str
    host: str
    port: int
    origin: str
    path: str


def target_of(url: str) -> TransferTarget:
    """Parse *url* without normalizing it.

    Raises:
        UnsupportedURLSchemeError: If it is not http or https, or names no host.
    """
    parts = urlsplit(url)
    try:
        host, port, origin = _place_of(parts.scheme, parts.netloc)
    except ValueError as error:
        raise UnsupportedURLSchemeError(f"{url}: {error}") from error
    rest = urldefrag(url)[0].partition("://")[2]
    start = re.search(r"[/?]", rest)
    path = rest[start.start() :] if start else "/"
    return TransferTarget(
        scheme=parts.scheme,
        host=host,
        port=port,
        origin=origin,
        path=path if path.startswith("/") else "/" + path,
    )


@lru_cache(maxsize=1024)
def _place_of(scheme: str, netloc: str) -> tuple[str, int, str]:
    """Return host, port and origin of a :class:`TransferTarget`.

    Raises:
        ValueError: If it is not http or https, or names no host.
    """
    parts = SplitResult(scheme, netloc, "", "", "")
    if scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("no http or https URL of a host")
    host, port = parts.hostname, parts.port
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        place += f":{port}"
    if "@" in netloc:
        place = netloc.rpartition("@")[0] + "@" + place
    return host, port or _DEFAULT_PORTS[scheme], f"{scheme}://{place}/"


def route_of(request: Request, bind: tuple[str, int] | None) -> Route:
    """Return proxy and local address of *request*.

    Args:
        request: Has meta ``proxy`` and ``bindaddress`` and a header
            ``Proxy-Authorization``, or not.
        bind: Local address of a request without its own.
    """
    own = request.meta.get("bindaddress")
    bind = bind_address(own) if own else bind
    proxy = request.meta.get("proxy")
    if not proxy:
        return Route(bind=bind)
    auth = request.headers.get(b"Proxy-Authorization")
    return Route(add_http_if_no_scheme(proxy), auth, bind)


def bind_address(value: str | Sequence[Any] | None) -> tuple[str, int] | None:
    """Return address and port of a setting that has an address, or both."""
    if not value:
        return None
    if isinstance(value, str):
        return value, 0
    return str(value[0]), int(value[1])


def is_tunnel(target: TransferTarget, route: Route) -> bool:
    """Return whether the proxy only forwards bytes, after a CONNECT."""
    return is_http_proxy(route) and target.scheme == "https"


def is_http_proxy(route: Route) -> bool:
    """Return whether there is an HTTP proxy, not a SOCKS one."""
    return bool(route.proxy and route.proxy[:4].lower() == "http")


def tls_options(settings: BaseSettings, *, is_for_https: bool = True) -> list[Option]:
    """Return the options for certificates, TLS versions and ciphers.

    Args:
        settings: Of the crawl.
        is_for_https: Whether https is downloaded with them, not only by a proxy. If
            not, a context factory may well have its effect elsewhere.

    Raises:
        ValueError: If a version is not one of TLSv1.0 to TLSv1.3.
    """
    # The deprecated setting is always read, because it warns.
    verify = _factory_verifies(settings, is_for_https=is_for_https) or settings.getbool(
        "DOWNLOAD_VERIFY_CERTIFICATES"
    )
    versions = _tls_version(settings, "DOWNLOAD_TLS_MIN_VERSION", 0)
    versions |= _tls_version(settings, "DOWNLOAD_TLS_MAX_VERSION", 1)
    older = settings["DOWNLOADER_CLIENT_TLS_METHOD"]
    if not versions and older in _TLS_VERSIONS:
        versions = sum(_TLS_VERSIONS[older])
    options: list[Option] = [
        (pycurl.SSL_VERIFYPEER, int(verify)),
        (pycurl.SSL_VERIFYHOST, 2 if verify else 0),
        (pycurl.PROXY_SSL_VERIFYPEER, int(verify)),
        (pycurl.PROXY_SSL_VERIFYHOST, 2 if verify else 0),
        (pycurl.SSLVERSION, versions),
        (pycurl.OPT_CERTINFO, 1),
    ]
    if ciphers := settings["DOWNLOADER_CLIENT_TLS_CIPHERS"]:
        options.append((pycurl.SSL_CIPHER_LIST, ciphers))
    if verify:
        # The libcurl of a pycurl wheel looks for certificates where its build machine
        # had them; those of this system are to be trusted.
        paths = ssl.get_default_verify_paths()
        if paths.cafile:
            options.append((pycurl.CAINFO, paths.cafile))
            options.append((pycurl.PROXY_CAINFO, paths.cafile))
        if paths.capath:
            options.append((pycurl.CAPATH, paths.capath))
            options.append((pycurl.PROXY_CAPATH, paths.capath))
    return options


def version_option(wants_http2: bool) -> Option:
    """Return the option for the HTTP version: 1.1, or 2 where the server offers it."""
    if not wants_http2:
        return pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1
    if not pycurl.version_info()[4] & pycurl.VERSION_HTTP2:
        logger.warning(
            "CONCURCRAWL_HTTP2=1: this libcurl (%s) was built without HTTP/2. The "
            "crawl goes on in HTTP/1.1.",
            pycurl.version,
        )
    # Without HTTP/2 in libcurl, or without TLS, this means HTTP/1.1.
    return pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS


def _factory_verifies(settings: BaseSettings, *, is_for_https: bool) -> bool:
    """Return whether the deprecated setting, a Twisted class, verifies certificates."""
    name = settings["DOWNLOADER_CLIENTCONTEXTFACTORY"]
    if name == "SENTINEL":
        return False
    warnings.warn(
        "The 'DOWNLOADER_CLIENTCONTEXTFACTORY' setting is deprecated.",
        ScrapyDeprecationWarning,
        stacklevel=3,
    )
    # Imported late: it imports Twisted's TLS.
    from scrapy.core.downloader.contextfactory import BrowserLikeContextFactory

    factory = load_object(name)
    if isinstance(factory, type) and issubclass(factory, BrowserLikeContextFactory):
        warnings.warn(
            "BrowserLikeContextFactory is deprecated. Set "
            "DOWNLOAD_VERIFY_CERTIFICATES=True instead.",
            ScrapyDeprecationWarning,
            stacklevel=3,
        )
        return True
    if is_for_https:
        _warn_of_factory(name)
    return False


@lru_cache(maxsize=8)  # once, though http and https have a handler each
def _warn_of_factory(name: str | type) -> None:
    logger.warning(
        "DOWNLOADER_CLIENTCONTEXTFACTORY=%s: libcurl has no use for Twisted's context "
        "factories. Set DOWNLOAD_VERIFY_CERTIFICATES, DOWNLOAD_TLS_MIN_VERSION, "
        "DOWNLOAD_TLS_MAX_VERSION or DOWNLOADER_CLIENT_TLS_CIPHERS instead.",
        name,
    )


def _tls_version(settings: BaseSettings, name: str, which: int) -> int:
    value = settings[name]
    if value is None:
        return 0
    try:
        return int(_TLS_VERSIONS[value][which])
    except KeyError as error:
        raise ValueError(f"Unknown {name} value: {value}") from error


def connection_options(target: TransferTarget, route: Route) -> list[Option]:
    """Return the options to reach *target*, without the addresses of its name."""
    options: list[Option] = [
        (pycurl.URL, target.origin),
        (pycurl.NOSIGNAL, 1),
        (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
        # An empty string: with None, libcurl would read the environment.
        (pycurl.PROXY, route.proxy or ""),
        (pycurl.NOPROXY, ""),
        (pycurl.HEADEROPT, pycurl.HEADER_SEPARATE),
    ]
    if route.proxy:
        options += _proxy_options(route.proxy, route)
    if route.bind:
        address, port = route.bind
        options.append((pycurl.INTERFACE, f"host!{address}"))
        if port:
            options.append((pycurl.LOCALPORT, port))
    return options


def _proxy_options(proxy: str, route: Route) -> list[Option]:
    auth = route.proxy_authorization
    if is_http_proxy(route):
        lines = [b"Proxy-Connection:", b"User-Agent:"]
        lines += [_line(b"Proxy-Authorization", auth)] if auth else []
        # libcurl's default for a proxy without a port is 1080.
        port = target_of(proxy).port
        return [(pycurl.PROXYHEADER, lines), (pycurl.PROXYPORT, port)]
    if not auth:
        return []
    # A SOCKS proxy gets no headers, but Scrapy has no other place for credentials.
    scheme, _, token = auth.partition(b" ")
    try:
        user, colon, password = base64.b64decode(token, validate=True).partition(b":")
    except binascii.Error:
        colon = b""
    if scheme.lower() != b"basic" or not colon:
        raise ValueError("A SOCKS proxy needs Basic credentials in Proxy-Authorization")
    return [(pycurl.PROXYUSERNAME, user), (pycurl.PROXYPASSWORD, password)]


def message_options(
    request: Request, target: TransferTarget, route: Route
) -> list[Option]:
    """Return the options for request line, headers and body of *request*.

    Raises:
        ValueError: If the method or the name of a header is not a token, or a verbatim
            URL breaks its line, any of which could smuggle in a request.
    """
    if not _TOKEN.fullmatch(request.method):
        raise ValueError(f"Invalid method {request.method!r}")
    through = is_http_proxy(route) and not is_tunnel(target, route)
    line = urldefrag(request.url)[0] if through else target.path
    if not line.isprintable():
        raise ValueError(f"Invalid URL {request.url!r}")
    options: list[Option] = [
        (pycurl.REQUEST_TARGET, line),
        (pycurl.PATH_AS_IS, 1),
        (pycurl.HTTPHEADER, header_lines(request)),
    ]
    if request.body or request.method in {"POST", "PUT"}:
        options.append((pycurl.POSTFIELDS, request.body))
    elif request.method == "HEAD":
        options.append((pycurl.NOBODY, 1))
    options.append((pycurl.CUSTOMREQUEST, request.method))
    return options


def request_bytes(request: Request, target: TransferTarget, route: Route) -> bytes:
    """Return the request as bytes, to be sent without libcurl's HTTP.

    Raises:
        ValueError: As :func:`message_options`.
    """
    settings = dict(message_options(request, target, route))
    host = target.origin.partition("://")[2].rpartition("@")[2].rstrip("/")
    lines = [line for line in settings[pycurl.HTTPHEADER] if not line.endswith(b":")]
    if not request.headers.getlist(b"Host"):
        lines.insert(0, b"Host: " + host.encode("ascii"))
    if pycurl.POSTFIELDS in settings:
        lines.append(b"Content-Length: %d" % len(request.body))
    if route.proxy_authorization and not is_tunnel(target, route):
        lines.append(_line(b"Proxy-Authorization", route.proxy_authorization))
    first = f"{request.method} {settings[pycurl.REQUEST_TARGET]} HTTP/1.1".encode()
    empty_ones = (line[:-1] + b":" if line.endswith(b";") else line for line in lines)
    return b"\r\n".join([first, *empty_ones, b"", b""]) + request.body


def header_lines(request: Request) -> list[bytes]:
    """Return the headers of *request* as libcurl takes them.

    A name alone removes a header that libcurl would add by itself.
    """
    lines = [
        _line(name, value)
        for name, values in request.headers.items()
        if name != b"Proxy-Authorization"
        for value in values
    ]
    # dict.get, because getlist() converts a name that is as it should be.
    lines += [
        name + b":" for name in _LIBCURLS_OWN if not dict.get(request.headers, name)
    ]
    return lines


def _line(name: bytes, value: bytes) -> bytes:
    # A line break in a value would start a header, or a request, of its own.
    value = b" ".join(value.splitlines())
    return _checked(name) + (b": " + value if value.strip() else b";")


@lru_cache(maxsize=1024)
def _checked(name: bytes) -> bytes:
    if not _TOKEN.fullmatch(name.decode("latin-1")):
        raise ValueError(f"Invalid header name {name!r}")
    return name


def error_from(code: int, message: str, url: str, timeout_s: float) -> Exception:
    """Return Scrapy's exception for an error of libcurl.

    Args:
        code: A ``CURLE_`` code.
        message: libcurl's message.
        url: The request's URL.
        timeout_s: Timeout of the request.

    References:
        https://curl.se/libcurl/c/libcurl-errors.html
    """
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return DownloadTimeoutError(
            f"Getting {url} took longer than {timeout_s} seconds."
        )
    kinds: dict[int, type[Exception]] = {
        pycurl.E_URL_MALFORMAT: UnsupportedURLSchemeError,
        pycurl.E_COULDNT_RESOLVE_HOST: CannotResolveHostError,
        pycurl.E_COULDNT_RESOLVE_PROXY: CannotResolveHostError,
        pycurl.E_COULDNT_CONNECT: DownloadConnectionRefusedError,
        _E_PROXY: DownloadConnectionRefusedError,
    }
    return kinds.get(code, DownloadFailedError)(f"{url}: {message}")
