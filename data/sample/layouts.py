"""Turn a source into a PDF in one of four layouts.

``two_column`` is an A4 paper with justified columns and hyphenated line ends, ``table`` an A4 data
sheet, ``header_footer`` a small handbook page with running heads, ``report`` an A4 report with a
title page. The files are byte-identical on every build: no dates, no ids, no compression.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from blocks import Block, Bullets, Heading, Source, Table
from reportlab.lib import colors
from reportlab.lib.enums import TA_JUSTIFY, TA_LEFT
from reportlab.lib.pagesizes import A4, A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import (
    BaseDocTemplate,
    Frame,
    FrameBreak,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    TableStyle,
)
from reportlab.platypus import Table as PdfTable

SOFT_HYPHEN = "\u00ad"
_DIGRAPHS = ("ch", "sh", "th", "ph", "gh", "wh", "ck", "ng", "qu", "bl", "cl", "fl", "gl", "pl")
_NOT_SPLIT = (*_DIGRAPHS, "br", "cr", "dr", "fr", "gr", "pr", "tr", "st", "sp", "sc", "ll", "ss")


@dataclass(frozen=True, slots=True)
class Layout:
    """Page geometry and habits of one PDF layout; lengths in points."""

    page_size: tuple[float, float]
    margin: float
    num_columns: int
    font: str
    font_size: float
    justified: bool = False
    hyphenated: bool = False
    running_head: bool = True
    title_page: bool = False


LAYOUTS = {
    "two_column": Layout(A4, 20 * mm, 2, "Times-Roman", 11.5, justified=True, hyphenated=True),
    "table": Layout(A4, 22 * mm, 1, "Helvetica", 10, running_head=False),
    "header_footer": Layout(A5, 16 * mm, 1, "Times-Roman", 10, justified=True, hyphenated=True),
    "report": Layout(A4, 25 * mm, 1, "Helvetica", 10.5, title_page=True),
}


def render_pdf(source: Source) -> bytes:
    """Render a source with the layout named in its front matter."""
    layout = LAYOUTS[source.meta["layout"]]
    buffer = BytesIO()
    document = BaseDocTemplate(
        buffer,
        pagesize=layout.page_size,
        title=source.meta["title"],
        author=", ".join(source.authors),
        subject=source.meta["subject"],
        creator="evqa sample corpus",
        keywords=", ".join(source.meta[key] for key in ("category", "license", "canonical")),
        lang=source.meta["language"],
        pageCompression=0,
        invariant=1,
    )
    document.addPageTemplates(_page_templates(layout, source))
    document.build(_story(source, layout))
    return buffer.getvalue()


def _page_templates(layout: Layout, source: Source) -> list[Any]:
    width, height = layout.page_size
    inner = width - 2 * layout.margin
    gap = 7 * mm
    column = (inner - gap * (layout.num_columns - 1)) / layout.num_columns
    title_height = 38 * mm if layout.num_columns > 1 else 0

    def columns(frame_height: float) -> list[Any]:
        return [
            Frame(
                layout.margin + i * (column + gap), layout.margin, column, frame_height, 0, 0, 0, 0
            )
            for i in range(layout.num_columns)
        ]

    def decorate(canvas: Any, document: Any) -> None:
        _decorate(canvas, document.page, layout, source)

    full = height - 2 * layout.margin
    first = columns(full - title_height)
    if title_height:
        top = Frame(
            layout.margin, layout.margin + full - title_height, inner, title_height, 0, 0, 0, 0
        )
        first.insert(0, top)
    return [
        PageTemplate("first", first, onPage=decorate, autoNextPageTemplate="later"),
        PageTemplate("later", columns(full), onPage=decorate),
    ]


def _decorate(canvas: Any, page: int, layout: Layout, source: Source) -> None:
    width, height = layout.page_size
    canvas.saveState()
    canvas.setFont(layout.font, 8)
    canvas.drawCentredString(width / 2, layout.margin / 2, f"Page {page}")
    if layout.running_head:
        left, right = "The Charging Handbook", source.meta["title"].split(":")[0]
        canvas.drawString(layout.margin, height - layout.margin / 1.6, left)
        canvas.drawRightString(width - layout.margin, height - layout.margin / 1.6, right)
    canvas.restoreState()


def _story(source: Source, layout: Layout) -> list[Any]:
    story = _title(source, layout)
    for block in source.blocks:
        story.extend(_flowables(block, layout))
    story.append(Spacer(1, 8))
    story.append(Paragraph(_licence(source), _style("small", layout, size=-2)))
    return story


def _licence(source: Source) -> str:
    meta = source.meta
    return f"Licence: {meta['license']}. {escape(meta['canonical'])}"


def _title(source: Source, layout: Layout) -> list[Any]:
    names, date = escape(", ".join(source.authors)), source.meta["published"]
    story: list[Any] = [
        Paragraph(
            escape(source.meta["title"]), _style("title", layout, size=7, bold=True, after=8)
        ),
        Paragraph(f"{names}, {date}", _style("byline", layout, after=6)),
        Paragraph(escape(source.meta["subject"]), _style("subject", layout, after=10)),
    ]
    if layout.num_columns > 1:
        story.append(FrameBreak())
    if layout.title_page:
        story = [Spacer(1, 60 * mm), *story, NextPageTemplate("later"), PageBreak()]
    return story


def _style(
    name: str, layout: Layout, *, size: float = 0, bold: bool = False, after: float = 5
) -> ParagraphStyle:
    font = {"Times-Roman": "Times-Bold", "Helvetica": "Helvetica-Bold"}[layout.font]
    points = layout.font_size + size
    justified = layout.justified and name == "body"
    return ParagraphStyle(
        name,
        fontName=font if bold else layout.font,
        fontSize=points,
        leading=points * 1.3,
        alignment=TA_JUSTIFY if justified else TA_LEFT,
        spaceAfter=after,
        embeddedHyphenation=1 if justified and layout.hyphenated else 0,
    )


def _flowables(block: Block, layout: Layout) -> list[Any]:
    if isinstance(block, Heading):
        style = _style("heading", layout, size=2, bold=True, after=3)
        style.spaceBefore, style.keepWithNext = 6, 1
        return [Paragraph(escape(block.text), style)]
    if isinstance(block, Table):
        return [Spacer(1, 3), _table(block, layout), Spacer(1, 8)]
    if isinstance(block, Bullets):
        style = _style("bullet", layout, after=3)
        style.leftIndent, style.bulletIndent = 12, 2
        return [Paragraph(_inline(i, layout), style, bulletText="\u2022") for i in block.items]
    return [Paragraph(_inline(block.text, layout, hyphenate=True), _style("body", layout))]


def _inline(text: str, layout: Layout, *, hyphenate: bool = False) -> str:
    if hyphenate and layout.hyphenated:
        text = re.sub(r"[a-z]{9,}", lambda match: soft_hyphenate(match.group()), text)
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))


def soft_hyphenate(word: str) -> str:
    """Put soft hyphens between two consonants that stand between vowels: ``con|nec|tor``."""
    parts = [word[0]]
    for i in range(1, len(word)):
        if _may_split(word, i):
            parts.append(SOFT_HYPHEN)
        parts.append(word[i])
    return "".join(parts)


def _may_split(word: str, i: int) -> bool:
    if i < 3 or len(word) - i < 4 or word[i - 1 : i + 1] in _NOT_SPLIT:
        return False
    vowels = [letter in "aeiouy" for letter in word[i - 2 : i + 2]]
    return vowels == [True, False, False, True]


def _table(table: Table, layout: Layout) -> Any:
    width = layout.page_size[0] - 2 * layout.margin
    if layout.num_columns > 1:
        width = (width - 7 * mm) / layout.num_columns
    cell = _style("cell", layout, size=-1, after=0)
    head = _style("head", layout, size=-1, bold=True, after=0)
    data = [
        [Paragraph(escape(text), head if index == 0 else cell) for text in row]
        for index, row in enumerate(table.rows)
    ]
    return PdfTable(
        data,
        colWidths=[width / len(table.rows[0])] * len(table.rows[0]),
        repeatRows=1,
        style=TableStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.4, colors.grey),
                ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        ),
    )
