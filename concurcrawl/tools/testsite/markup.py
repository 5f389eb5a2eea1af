"""Pieces of HTML that every page uses."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence


def wiki_path(article: str) -> str:
    """Return the path of *article*, escaped as Wikipedia escapes it."""
    return "/wiki/" + quote(article, safe="/:,()!*;@$")


def link(article: str, text: str) -> str:
    """Return a link to *article*."""
    title = escape(article.replace("_", " "))
    return f'<a href="{wiki_path(article)}" title="{title}">{text}</a>'


def flag(iso: str) -> str:
    """Return the small flag that stands before a name in lists."""
    return (
        f'<span class="flagicon"><img alt="" src="/static/flags/{iso}.png"'
        ' decoding="async" width="23" height="15" class="thumbborder"'
        f' srcset="/static/flags/{iso}-2x.png 2x" />&#160;</span>'
    )


def document(title: str, article: str, body: str, languages: Sequence[str]) -> str:
    """Return a whole page.

    Args:
        title: What its heading says.
        article: Where it is.
        body: HTML of its content.
        languages: Codes of the other languages that it links to.
    """
    title, path = escape(title), wiki_path(article)
    elsewhere = "".join(
        f'<li class="interlanguage-link interwiki-{code}"><a href="{path}#{code}"'
        f' title="{title} in {code}" lang="{code}" hreflang="{code}"'
        f' class="interlanguage-link-target">{code}</a></li>\n'
        for code in languages
    )
    tools = "".join(
        f'<li id="n-{name.replace(" ", "").lower()}"><a href="/wiki/Special:'
        f'{name.replace(" ", "")}">{name}</a></li>\n'
        for name in ("Main page", "Contents", "Random", "About", "Recent changes")
    )
    return (
        '<!DOCTYPE html>\n<html class="client-nojs" lang="en" dir="ltr">\n<head>\n'
        f'<meta charset="UTF-8"/>\n<title>{title} - Mirror</title>\n'
        '<meta name="generator" content="concurcrawl"/>\n'
        f'<link rel="canonical" href="{path}"/>\n'
        '<link rel="stylesheet" href="/static/site.css"/>\n</head>\n'
        '<body class="mediawiki ltr sitedir-ltr ns-0 ns-subject skin-vector">\n'
        '<div id="content" class="mw-body" role="main">\n'
        f'<h1 id="firstHeading" class="firstHeading" lang="en">{title}</h1>\n'
        '<div id="bodyContent" class="vector-body"><div id="mw-content-text"'
        ' class="mw-body-content mw-content-ltr" lang="en" dir="ltr">'
        f'<div class="mw-parser-output">\n{body}</div></div></div>\n</div>\n'
        f'<div id="mw-navigation"><nav class="portal"><ul>\n{tools}</ul></nav>\n'
        f'<nav id="p-lang" class="portal"><ul>\n{elsewhere}</ul></nav></div>\n'
        '<footer id="footer" class="mw-footer" role="contentinfo">Made by a grammar:'
        " names and figures are facts, sentences are not.</footer>\n</body>\n</html>\n"
    )
