"""What a web page says about itself: title, authors, date, canonical link, language, licence.

newspaper4k reads it; what it is known to get wrong (titles cut at hyphens, U+2060 kept) is
repaired from the page itself.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from evqa.sources.license import find_creative_commons, normalise_license
from evqa.sources.markup import PERMALINKS, inline_text, squeeze

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_SEPARATORS = re.compile(r"\s+[|–—·»:-]\s+")
_SITE_WORD = re.compile(r"\b(?:docs?|documentation|blog)\b", re.IGNORECASE)
_NOT_A_PERSON = re.compile(
    r"https?:|@|\d|^(by|admin|anonymous|unknown|about|share|posted|edition)\b", re.I
)


def tidy(text: str | None) -> str:
    """Return a line without invisible characters, entities of white space and permalink signs."""
    return squeeze(_INVISIBLE.sub("", text or "")).strip(PERMALINKS + " ")


def title_of(tree: Any, guessed: str) -> str:
    """Return the page's title whole.

    The heading wins when the ``<title>`` or ``og:title`` contains it; then ``og:title``; then the
    ``<title>`` without the site's name; newspaper4k's guess comes last.
    """
    stated = tidy(tree.findtext(".//title"))
    social = tidy(_meta(tree, "property", "og:title"))
    headings = [tidy(inline_text(heading)) for heading in tree.iter("h1")]
    for heading in filter(None, headings):
        if heading.casefold() in f"{stated} {social}".casefold() or not (stated or social):
            return heading
    site = tidy(_meta(tree, "property", "og:site_name"))
    return _without_site(social or stated, site) or tidy(guessed)


def _without_site(title: str, site: str) -> str:
    parts = _SEPARATORS.split(title)
    if len(parts) < 2:
        return title
    last = parts[-1]
    is_site = last.casefold() == site.casefold() or _SITE_WORD.search(last)
    if is_site:
        return title[: title.rindex(last)].rstrip(" |–—·»:-")
    return title


def _meta(tree: Any, attribute: str, name: str) -> str | None:
    for element in tree.iter("meta"):
        if (element.get(attribute) or "").lower() == name:
            return element.get("content")  # type: ignore[no-any-return]
    return None


def authors_of(article: Any, tree: Any) -> list[str]:
    """Return the authors: those in the page's ``meta author``, else newspaper4k's."""
    stated = tidy(_meta(tree, "name", "author"))
    found = re.split(r"\s*(?:;|,| and )\s*", stated) if stated else list(article.authors)
    people = [tidy(name) for name in found]
    return list(dict.fromkeys(filter(is_person, people)))


def is_person(name: str) -> bool:
    """Tell a person's or an organisation's name from versions, dates, addresses and accounts."""
    return bool(name) and not _NOT_A_PERSON.search(name)


def published_of(article: Any) -> str | None:
    """Return the stated date of publication as ISO 8601: a date, or a date with its time."""
    date = article.publish_date
    if date is None:
        return None
    has_time = (date.hour, date.minute, date.second) != (0, 0, 0)
    return str(date.isoformat() if has_time else date.date().isoformat())


def canonical_of(article: Any, tree: Any) -> str | None:
    """Return the canonical link when it is an absolute web address."""
    links = [link.get("href") for link in tree.iter("link") if link.get("rel") == "canonical"]
    for link in [*links, article.canonical_link]:
        parts = urlsplit((link or "").strip())
        if parts.scheme in ("http", "https") and parts.netloc:
            return str(link).strip()
    return None


def language_of(article: Any, tree: Any) -> str | None:
    """Return the two-letter language that the page states."""
    stated = tree.get("lang") or _meta(tree, "http-equiv", "content-language") or article.meta_lang
    code = re.split(r"[-_,;]", (stated or "").strip().lower())[0]
    return code if re.fullmatch(r"[a-z]{2,3}", code) else None


def license_of(tree: Any) -> str | None:
    """Return the licence that the page states, by link, by meta tag or in its footer."""
    for element in tree.iter("link", "a"):
        if "license" in (element.get("rel") or "").lower().split():
            return normalise_license(element.get("href") or inline_text(element))
    for name in ("license", "dcterms.license", "dc.rights", "dcterms.rights", "rights"):
        stated = _meta(tree, "name", name)
        if stated:
            return normalise_license(stated)
    for script in tree.iter("script"):
        if "ld+json" in (script.get("type") or ""):
            match = re.search(r'"license"\s*:\s*"([^"]+)"', script.text or "")
            if match:
                return normalise_license(match[1].replace("\\/", "/"))
    return _license_in_footer(tree)


def _license_in_footer(tree: Any) -> str | None:
    for footer in tree.iter("footer"):
        addresses = " ".join(link.get("href") or "" for link in footer.iter("a"))
        found = find_creative_commons(f"{inline_text(footer)} {addresses}")
        if found:
            return found
    return None
