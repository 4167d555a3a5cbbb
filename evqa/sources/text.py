"""Read plain text and Markdown: front matter becomes metadata, markup becomes our convention."""

import itertools
import re
from collections.abc import Iterator

from evqa.segmentation import HEADING, cells, table_row
from evqa.sources.license import normalise_license
from evqa.sources.metadata import tidy
from evqa.sources.raw import Content, UnreadableError
from evqa.sources.web import decode

_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*\n", re.DOTALL)
_FIELD = re.compile(r"^([A-Za-z_-]+):\s*(.+?)\s*$", re.MULTILINE)
_RULE_ROW = re.compile(r"\|?[\s:|-]+\|?$")
_REFERENCE_LINK = re.compile(r"\[([^\]\[]+)\]\[[^\]\[]*\]")
_LINK_TARGET = re.compile(r"^\[[^\]]+\]:\s*\S+.*$", re.MULTILINE)
_EMPTY_LINK = re.compile(r"\[\s*\]\([^)]*\)")
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\((?:[^()]|\([^()]*\))*\)")
_STRONG = re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])")
_TAG = re.compile(r"</?[A-Za-z][\w-]*(?:\s[^<>]*)?/?>")
_COMMENT = re.compile(r"<!--.*?-->|<style\b.*?</style>", re.DOTALL)
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!~<>-])")
_FENCE = re.compile(r"\s*(```|~~~)")
_NO_TEXT = re.compile(r"(?:import|export) .*(?:from .*|;)$|:::|---")
_UNDERLINE = re.compile(r"=+|-{3,}")
_ITEM = re.compile(r"(?:[*+-]|\d+[.)])\s+(\S.*)")
_ENDS = re.compile(r"[.!?:][\"'”’)\]]*$")
MAX_CONTROL_SHARE = 0.02
MIN_WRAPPED_PAIRS, MIN_WRAPPED_SHARE = 10, 0.3
FULL_LINE_SHARE = 0.75  # of the usual length: a shorter line that ends a sentence ends a paragraph


def read_text(data: bytes, name: str) -> Content:
    """Read the bytes of a .txt or Markdown file.

    Args:
        data: The whole file.
        name: The file's name; a Markdown suffix decides how it is read.

    Raises:
        UnreadableError: empty_file or binary.
    """
    if not data.strip():
        raise UnreadableError("empty_file", "no bytes")
    text = decode(data).replace("\r\n", "\n").replace("\r", "\n")
    strange = sum(1 for sign in text if ord(sign) < 32 and sign not in "\n\t\f") / len(text)
    if strange > MAX_CONTROL_SHARE:
        raise UnreadableError("binary", f"{strange:.0%} of the characters are control characters")
    if not name.lower().endswith((".md", ".mdx", ".markdown")):
        return Content(pages=[_plain(text)], title=_first_line(text))
    return _read_markdown(text)


def _first_line(text: str) -> str:
    return tidy(text.strip().split("\n", 1)[0])[:120]


def _plain(text: str) -> str:
    """Return plain text with its paragraphs apart; a line alone is a paragraph.

    Lines that were broken at a margin are joined again.
    """
    lines = [line.strip() for line in text.replace("\f", "\n\n").split("\n")]
    return "\n".join(_unwrapped(lines) if _is_wrapped(lines) else lines)


def _is_wrapped(lines: list[str]) -> bool:
    """Tell whether most lines break off and go on in lower case on the next one."""
    pairs = [(a, b) for a, b in itertools.pairwise(lines) if a and b]
    broken = sum(not _ENDS.search(a) and b[0].islower() for a, b in pairs)
    return len(pairs) >= MIN_WRAPPED_PAIRS and broken >= MIN_WRAPPED_SHARE * len(pairs)


def _unwrapped(lines: list[str]) -> list[str]:
    joined: list[str] = []
    usual = sorted(map(len, filter(None, lines)))[int(0.8 * sum(map(bool, lines)))]
    last = ""
    for line in lines:
        ends = bool(_ENDS.search(last)) and len(last) < FULL_LINE_SHARE * usual
        goes_on = last and line and (line[0].islower() or not ends)
        if goes_on and not _ITEM.match(line):
            joined[-1] += f" {line}"
        else:
            joined.append(line)
        last = line
    return joined


def _read_markdown(text: str) -> Content:
    match = _FRONT_MATTER.match(text)
    fields = _FIELD.findall(match[1]) if match else []
    stated = {key.lower(): value.strip("\"'") for key, value in fields}
    body = markdown_text(text[match.end() :] if match else text)
    heading = next((found[2] for found in map(HEADING.match, body.split("\n")) if found), "")
    return Content(
        pages=[body],
        title=tidy(stated.get("title") or heading or _first_line(body)),
        language=(stated.get("language") or stated.get("lang") or "")[:2].lower() or None,
        authors=[tidy(name) for name in re.split(r";|,", stated.get("authors", "")) if tidy(name)],
        published=stated.get("published") or stated.get("date"),
        url=stated.get("canonical") or stated.get("url"),
        license=normalise_license(stated.get("license", "")),
    )


def markdown_text(text: str) -> str:
    """Return Markdown as text of `evqa.segmentation`: no links, emphasis, tags or rules."""
    lines: list[str] = []
    for is_code, part in _fenced_parts(text):
        if is_code:
            lines += [f"    {line.rstrip()}" if line.strip() else "" for line in part]
        elif part:
            for line in _unmarked("\n".join(part)).split("\n"):
                _add_line(lines, line)
    return "\n".join(lines)


def _fenced_parts(text: str) -> Iterator[tuple[bool, list[str]]]:
    """Yield stretches of lines outside and inside code fences, the fences left out."""
    part: list[str] = []
    is_code = False
    for line in text.split("\n"):
        if _FENCE.match(line):
            yield is_code, part
            part, is_code = [], not is_code
        else:
            part.append(line)
    yield is_code, part


def _add_line(lines: list[str], raw: str) -> None:
    line = raw.strip()
    above = lines[-1] if lines else ""
    if _UNDERLINE.fullmatch(line) and _is_prose(above):
        lines[-1] = f"{'#' if line[0] == '=' else '##'} {above}"
    elif _NO_TEXT.match(line):
        lines.append("")
    elif line.startswith("|"):
        lines += [] if _RULE_ROW.fullmatch(line) else [table_row(cells(line))]
    elif item := _ITEM.match(line):
        lines += [*([""] if _is_prose(above) else []), f"- {item[1]}"]
    elif heading := HEADING.match(line):
        lines.append(f"{heading[1]} {heading[2].rstrip('# ')}")
    elif line and _goes_on(above, raw):
        lines[-1] += f" {line}"
    else:
        lines += ["", line] if line and above.startswith(("- ", "|")) else [line]


def _goes_on(above: str, raw: str) -> bool:
    """Tell whether a line goes on with the paragraph or the list item above it."""
    return _is_prose(above) or (above.startswith("- ") and raw.startswith("  "))


def _is_prose(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(("- ", "|", "#", "    "))


def _unmarked(text: str) -> str:
    """Return text without what Markdown and HTML add to it; links and tags may span lines."""
    text = _REFERENCE_LINK.sub(r"\1", _LINK_TARGET.sub("", _COMMENT.sub("", text)))
    parts = re.split(r"(`[^`\n]+`)", text)  # what stands in code signs is no markup
    for index in range(0, len(parts), 2):
        part = _LINK.sub(r"\1", _EMPTY_LINK.sub("", _IMAGE.sub("", _TAG.sub("", parts[index]))))
        parts[index] = _ESCAPE.sub(r"\1", part)
    text = "".join(part.strip("`") if index % 2 else part for index, part in enumerate(parts))
    text = _LINK.sub(r"\1", text)  # "[`name`](…)"
    text = _EMPHASIS.sub(r"\1", _STRONG.sub(r"\2", text))
    return re.sub(r"^[ \t]*>[ \t]?", "", text, flags=re.MULTILINE)
