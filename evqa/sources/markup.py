"""Turn a tree of HTML, or of trafilatura's TEI, into text that follows `evqa.segmentation`."""

from collections.abc import Iterator
from typing import Any

from evqa.segmentation import table_row

HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_SKIPPED_TEXT = """
script style noscript template nav aside form button select svg iframe head-meta
"""
SKIPPED = frozenset(_SKIPPED_TEXT.split())
CODE = frozenset({"pre"})
_BLOCKS_TEXT = """
p div section article main body blockquote quote figure figcaption details summary header
footer address dl dt dd ul ol list center fieldset hr graphic tbody thead
"""
BLOCKS = frozenset(_BLOCKS_TEXT.split())
# Permalink signs that documentation generators hang on their headings.
PERMALINKS = "¶§#\uf0c1🔗"


def render(root: Any) -> str:
    """Return the text of a tree: headings, list items, table rows and code lines kept apart."""
    blocks = [block for block in _blocks(root) if block.strip()]
    joined = ""
    for block in blocks:
        together = joined and _is_item(block) and _is_item(joined.rsplit("\n", 1)[-1])
        joined += ("\n" if together else "\n\n") * bool(joined) + block
    return joined


def squeeze(text: str) -> str:
    """Return a text with every stretch of white space as one space, none at the ends."""
    return " ".join(text.split())


def inline_text(element: Any) -> str:
    """Return all text inside an element as one line."""
    return squeeze("".join(_strings(element)))


def _strings(element: Any) -> Iterator[str]:
    if not isinstance(element.tag, str) or element.tag in SKIPPED:
        return
    yield element.text or ""
    for child in element:
        if child.tag in ("br", "lb") or child.tag in BLOCKS or child.tag in ("li", "item"):
            yield " "
        yield from _strings(child)
        yield child.tail or ""


def _is_item(line: str) -> bool:
    return line.startswith("- ")


def _blocks(element: Any) -> Iterator[str]:
    """Yield the blocks of an element in reading order; loose inline text becomes paragraphs."""
    own = _own_block(element)
    if own is not None:
        yield from own
        return
    loose = [element.text or ""]
    for child in element:
        if not isinstance(child.tag, str) or child.tag in SKIPPED:
            loose.append(child.tail or "")
        elif _is_block(child):
            yield squeeze("".join(loose))
            yield from _blocks(child)
            loose = [child.tail or ""]
        else:
            loose += [" " if child.tag in ("br", "lb") else "", *_strings(child), child.tail or ""]
    yield squeeze("".join(loose))


def _is_block(element: Any) -> bool:
    tag = element.tag
    own = tag in HEADINGS or tag in CODE or tag in BLOCKS
    if own or tag in ("head", "table", "li", "item"):
        return True
    if tag == "code" and "\n" in "".join(element.itertext()).strip():
        return True
    return any(isinstance(child.tag, str) and _is_block(child) for child in element)


def _own_block(element: Any) -> list[str] | None:
    """Return the blocks of a heading, table, list item or code block; null for containers."""
    tag = element.tag
    level = HEADINGS.get(tag) or (_tei_level(element) if tag == "head" else 0)
    if level:
        title = inline_text(element).strip(PERMALINKS + " ")
        return [f"{'#' * level} {title}"] if title else []
    if tag == "table":
        return _table(element)
    if tag in CODE or (tag == "code" and "\n" in "".join(element.itertext()).strip()):
        code = "".join(element.itertext()).strip("\n").expandtabs(4)
        return ["\n".join(f"    {line.rstrip()}" for line in code.split("\n") if line.strip())]
    return _item(element) if tag in ("li", "item") else None


def _tei_level(element: Any) -> int:
    return HEADINGS.get(element.get("rend") or "", 2)


NESTED = frozenset({"ul", "ol", "list", "table", "pre"})


def _item(element: Any) -> list[str]:
    """Return a list item as one line, then the lists, tables and code inside it."""
    nested: list[Any] = []
    line = squeeze("".join(_item_strings(element, nested)))
    blocks = [f"- {line}"] if line else []
    for child in nested:
        blocks.extend(block for block in _blocks(child) if block.strip())
    return blocks


def _item_strings(element: Any, nested: list[Any]) -> Iterator[str]:
    """Yield the text of a list item; what must stand apart is put into ``nested`` instead."""
    yield element.text or ""
    for child in element:
        is_element = isinstance(child.tag, str) and child.tag not in SKIPPED
        if is_element and child.tag in NESTED:
            nested.append(child)
        elif is_element:
            space = " " if _is_block(child) or child.tag in ("br", "lb") else ""
            yield space
            yield from _item_strings(child, nested)
            yield space
        yield child.tail or ""


def _table(element: Any) -> list[str]:
    """Return a table as one block of rows; tables that only make layout become paragraphs."""
    rows = []
    for row in element.iter("tr", "row"):
        values = [inline_text(cell) for cell in row if cell.tag in ("td", "th", "cell")]
        if any(values):
            rows.append(values)
    if max(map(len, rows), default=0) <= 1:
        return [value for row in rows for value in row]
    caption = [inline_text(found) for found in element.iter("caption")]
    return [*caption, "\n".join(table_row(row) for row in rows)]
