"""Turn a source into a complete web page in one of four templates.

The pages carry what real pages carry around their text: navigation, a cookie notice, related
links, newsletter boxes and advertisements, so that extraction is tested and not only parsing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import escape

from blocks import Block, Bullets, Heading, Source, Table

SECTIONS = ("Charging speed", "Connectors", "Installation", "Prices", "Availability")


def render_page(source: Source, related: list[Source]) -> str:
    """Render a source with the template named by its ``layout``."""
    template = TEMPLATES[source.meta["layout"]]
    body = "\n".join(_block(block) for block in source.blocks)
    return template(source, body, related)


def _inline(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(text, quote=False))


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h2>{_inline(block.text)}</h2>"
    if isinstance(block, Bullets):
        return "<ul>\n" + "\n".join(f"<li>{_inline(i)}</li>" for i in block.items) + "\n</ul>"
    if isinstance(block, Table):
        return _table(block)
    return f"<p>{_inline(block.text)}</p>"


def _table(table: Table) -> str:
    head = "".join(f"<th>{_inline(cell)}</th>" for cell in table.rows[0])
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows[1:]
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _head(source: Source, site: str, *, json_ld: bool) -> str:
    meta = {key: escape(value) for key, value in source.meta.items()}
    authors = "\n".join(f'<meta name="author" content="{escape(a)}">' for a in source.authors)
    script = f'\n<script type="application/ld+json">{_json_ld(source)}</script>' if json_ld else ""
    return f"""<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{meta["title"]} | {site}</title>
{authors}
<meta name="description" content="{meta["subject"]}">
<meta property="og:type" content="article">
<meta property="og:title" content="{meta["title"]}">
<meta property="og:url" content="{meta["canonical"]}">
<meta property="og:site_name" content="{site}">
<meta property="article:published_time" content="{meta["published"]}">
<link rel="canonical" href="{meta["canonical"]}">
<link rel="license" href="{source.license_url}">{script}
</head>"""


def _json_ld(source: Source) -> str:
    record = {
        "@context": "https://schema.org",
        "@type": "Article",
        "headline": source.meta["title"],
        "author": [{"@type": "Person", "name": name} for name in source.authors],
        "datePublished": source.meta["published"],
        "license": source.license_url,
        "mainEntityOfPage": source.meta["canonical"],
    }
    return json.dumps(record, ensure_ascii=False)


def _byline(source: Source) -> str:
    date = source.meta["published"]
    names = escape(" and ".join(source.authors))
    return f'<p class="byline">By {names} · <time datetime="{date}">{date}</time></p>'


def _licence(source: Source) -> str:
    name = source.meta["license"]
    return (
        f'<p class="licence">This text is available under '
        f'<a rel="license" href="{source.license_url}">{name}</a>.</p>'
    )


def _navigation(separator: str = "") -> str:
    links = (f'<a href="/{s.lower().replace(" ", "-")}">{s}</a>' for s in SECTIONS)
    return '<nav aria-label="Main">' + separator.join(links) + "</nav>"


def _related(related: list[Source]) -> str:
    return "\n".join(
        f'<li><a href="{escape(r.meta["canonical"])}">{escape(r.meta["title"])}</a></li>'
        for r in related
    )


def _blog(source: Source, body: str, related: list[Source]) -> str:
    return f"""<!DOCTYPE html>
<html lang="{source.meta["language"]}">
{_head(source, "The Charging Handbook", json_ld=False)}
<body>
<div class="cookie-banner" role="dialog">We use cookies to count visits.
<button>Accept all</button> <button>Only necessary</button></div>
<header class="site-header"><a class="logo" href="/">The Charging Handbook</a>
{_navigation()}</header>
<main>
<article class="post">
<h1>{escape(source.meta["title"], quote=False)}</h1>
{_byline(source)}
<div class="post-content">
{body}
</div>
</article>
<aside class="sidebar"><h3>Read next</h3>
<ul>
{_related(related)}
</ul>
<div class="newsletter"><p>One letter a month, no advertising.</p>
<form><input type="email" name="email"><button>Subscribe</button></form></div></aside>
</main>
<footer>{_licence(source)}<p>Imprint · Privacy · Contact</p></footer>
</body>
</html>
"""


def _portal(source: Source, body: str, related: list[Source]) -> str:
    return f"""<!DOCTYPE html>
<html lang="{source.meta["language"]}" class="no-js">
{_head(source, "Plug and Road", json_ld=True)}
<body class="portal">
<a class="skip" href="#content">Skip to content</a>
<div id="top-bar">{_navigation(" | ")}
<form role="search"><input type="search" name="q" placeholder="Search"></form></div>
<div class="ad-slot" aria-hidden="true"><span>Advertisement</span>
<a href="/ads/roof-boxes">Roof boxes, now lighter: see the new range</a></div>
<div class="breadcrumb"><a href="/">Home</a> &gt; <a href="/guides">Guides</a></div>
<div class="columns">
<div class="left-menu menu"><h4>In this section</h4><ul>
{_related(related)}
</ul></div>
<div id="content" role="main" class="entry-content">
<h1 class="entry-title">{escape(source.meta["title"], quote=False)}</h1>
{_byline(source)}
{body}
</div>
</div>
<div class="ad-slot" aria-hidden="true"><span>Advertisement</span>
<a href="/ads/tyres">Winter tyres, fitted while you wait</a></div>
<div class="footer" role="contentinfo">{_licence(source)}
<ul><li><a href="/about">About us</a></li><li><a href="/terms">Terms of use</a></li></ul></div>
<div class="cookie-consent">This site stores your choices on your device.
<a href="/cookies">Settings</a></div>
</body>
</html>
"""


def _docs(source: Source, body: str, related: list[Source]) -> str:
    return f"""<!DOCTYPE html>
<html lang="{source.meta["language"]}">
{_head(source, "Charging Handbook Reference", json_ld=False)}
<body class="docs">
<nav class="side-navigation"><h3>Reference</h3><ul>
{_related(related)}
</ul></nav>
<main class="document" role="main">
<section>
<h1>{escape(source.meta["title"], quote=False)}</h1>
{body}
</section>
</main>
<footer class="docs-footer">
<p>Published {source.meta["published"]} by {escape(", ".join(source.authors))}.</p>
{_licence(source)}
<a href="/prev">Previous</a> <a href="/next">Next</a>
<p>Was this page helpful? <button>Yes</button> <button>No</button></p>
</footer>
</body>
</html>
"""


def _magazine(source: Source, body: str, related: list[Source]) -> str:
    return f"""<!DOCTYPE html>
<html lang="{source.meta["language"]}" prefix="og: https://ogp.me/ns#">
{_head(source, "Kilowatt Magazine", json_ld=True)}
<body>
<div class="masthead"><a href="/">Kilowatt Magazine</a>
{_navigation(" · ")}<a class="button" href="/subscribe">Subscribe</a></div>
<div class="gdpr-notice"><p>We and our partners ask for your consent.</p>
<button>Agree</button><button>Refuse</button></div>
<article itemscope itemtype="https://schema.org/Article">
<header><h1 itemprop="headline">{escape(source.meta["title"], quote=False)}</h1>
<p class="standfirst">{escape(source.meta["subject"], quote=False)}</p>
{_byline(source)}</header>
<div class="share-buttons"><a href="/share/mail">Mail</a> <a href="/share/print">Print</a></div>
<div itemprop="articleBody">
{body}
</div>
</article>
<section class="recommended"><h3>More from this issue</h3><ul>
{_related(related)}
</ul></section>
<section class="comments"><h3>Comments</h3><p>Comments are closed.</p></section>
<footer>{_licence(source)}<small>Kilowatt Magazine is printed on paper, too.</small></footer>
</body>
</html>
"""


TEMPLATES: dict[str, Callable[[Source, str, list[Source]], str]] = {
    "blog": _blog,
    "portal": _portal,
    "docs": _docs,
    "magazine": _magazine,
}
