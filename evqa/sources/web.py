"""Read a web page: newspaper4k for what it says about itself, the best of two for its body.

newspaper4k alone loses lists, tables and documentation pages (word-5-gram recall .76 on 54 real
pages); trafilatura keeps them (.99). Which of them covers the page's main container better is
decided page by page. Parsing makes no network calls.
"""

import logging
import re
from typing import Any

from evqa.config.data import WebExtractor
from evqa.sources.markup import render
from evqa.sources.metadata import (
    authors_of,
    canonical_of,
    language_of,
    license_of,
    published_of,
    title_of,
)
from evqa.sources.raw import Content, UnreadableError

# Neither extractor is believed when it covers less than this of a declared <main> or <article>.
ENOUGH_COVERAGE = 0.6
# A page with fewer words and this many times more script than text is a program.
MAX_APP_WORDS, MIN_SCRIPT_RATIO = 200, 20
ENOUGH_ROWS = 0.95  # … or when it keeps less than this of its table rows
_OUTSIDE_TEXT = """
nav aside footer script style noscript template form button select
"""
_OUTSIDE = _OUTSIDE_TEXT.split()
_CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?([\w-]+)""", re.IGNORECASE)


def read_html(data: bytes, extractor: WebExtractor = WebExtractor.best) -> Content:
    """Read the bytes of a web page.

    Raises:
        UnreadableError: empty_file, not_html or no_text.
    """
    markup, tree, article = _parsed(data)
    text = _body(markup, tree, article, extractor)
    if not text.strip():
        raise UnreadableError("no_text", "the page holds no text outside scripts and navigation")
    _refuse_app(text, tree)
    return Content(pages=[text], **_metadata(tree, article))


def _refuse_app(text: str, tree: Any) -> None:
    """Refuse a page that is a program: a few labels beside scripts that make the content.

    Raises:
        UnreadableError: script_app.
    """
    num_words = len(text.split())
    if num_words >= MAX_APP_WORDS:
        return
    num_scripted = sum(len(script.text or "") for script in tree.iter("script"))
    if num_scripted > MIN_SCRIPT_RATIO * len(text):
        raise UnreadableError(
            "script_app",
            f"{num_words} words beside {num_scripted} characters of scripts: the content is made "
            "in a browser; save the page as the browser shows it",
        )


def read_html_metadata(data: bytes) -> dict[str, Any]:
    """Return what a web page says about itself: the fields of a `Content` but its pages.

    Raises:
        UnreadableError: empty_file or not_html.
    """
    _, tree, article = _parsed(data)
    return _metadata(tree, article)


def _parsed(data: bytes) -> tuple[str, Any, Any]:
    """Return a page's markup, its tree, and newspaper4k's article."""
    from lxml import etree, html

    if not data.strip():
        raise UnreadableError("empty_file", "no bytes")
    markup = decode(data)
    if not re.search(r"<\s*(html|body|head|article|main|div|p|h1|table|!doctype)\b", markup, re.I):
        raise UnreadableError("not_html", f"starts with {markup[:40]!r}")
    try:
        tree = html.document_fromstring(markup.encode(), parser=html.HTMLParser(encoding="utf-8"))
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableError("not_html", str(error)) from None
    return markup, tree, _newspaper(markup)


def _metadata(tree: Any, article: Any) -> dict[str, Any]:
    return {
        "title": title_of(tree, article.title),
        "language": language_of(article, tree),
        "authors": authors_of(article, tree),
        "published": published_of(article),
        "url": canonical_of(article, tree),
        "license": license_of(tree),
    }


def decode(data: bytes) -> str:
    """Return the text of a page: by its byte order mark, its declared charset, or UTF-8."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    declared = _CHARSET.search(data[:4096])
    names = ["utf-8-sig", declared[1].decode("ascii") if declared else "utf-8", "cp1252"]
    for name in names:
        try:
            return data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("utf-8", errors="replace")


def _newspaper(markup: str) -> Any:
    import newspaper

    logging.getLogger("newspaper").setLevel(logging.ERROR)
    # fetch_images=True, its default, makes network calls inside parse().
    article = newspaper.Article("http://localhost/", fetch_images=False)
    article.download(input_html=markup)
    article.parse()
    return article


def _trafilatura(markup: str) -> str:
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    found = trafilatura.bare_extraction(
        markup,
        include_tables=True,
        include_comments=False,
        include_formatting=True,
        include_links=False,
        favor_recall=True,
    )
    return "" if found is None or found.body is None else render(found.body)


def _body(markup: str, tree: Any, article: Any, extractor: WebExtractor) -> str:
    by_newspaper = "" if article.top_node is None else render(article.top_node)
    if extractor is WebExtractor.newspaper:
        return by_newspaper
    by_trafilatura = _trafilatura(markup)
    if extractor is WebExtractor.trafilatura:
        return by_trafilatura
    container, is_declared = _main_container(tree)
    wanted = _trigrams(container)
    best = max((by_trafilatura, by_newspaper), key=lambda text: _coverage(text, wanted))
    if is_declared and (_coverage(best, wanted) < ENOUGH_COVERAGE or _loses_rows(best, container)):
        return container
    return best


def _loses_rows(text: str, container: str) -> bool:
    """Tell whether tables of the page's main part are missing: both extractors drop some."""
    num_rows, num_wanted = (_num_rows(given) for given in (text, container))
    return num_rows < ENOUGH_ROWS * num_wanted


def _num_rows(text: str) -> int:
    return sum(line.startswith("|") for line in text.split("\n"))


def _main_container(tree: Any) -> tuple[str, bool]:
    """Return the text of the page's main part, and whether the page itself marks it."""
    for path in (".//main", ".//*[@role='main']", ".//article"):
        found = tree.findall(path)
        if len(found) == 1:
            return _render_without_frame(found[0]), True
    body = tree.find(".//body")
    return _render_without_frame(tree if body is None else body), False


def _render_without_frame(element: Any) -> str:
    import copy

    copied = copy.deepcopy(element)
    copied.tail = None
    for part in list(copied.iter(*_OUTSIDE, "header")):
        holds_title = part.tag == "header" and part.find(".//h1") is not None
        if part is not copied and not holds_title:
            part.drop_tree()
    return render(copied)


def _trigrams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def _coverage(text: str, wanted: set[tuple[str, ...]]) -> float:
    return len(_trigrams(text) & wanted) / len(wanted) if wanted else 0.0
