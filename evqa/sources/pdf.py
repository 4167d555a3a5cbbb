"""Read a PDF page by page with pypdf's plain extraction, and say why when there is no text.

Plain mode keeps two-column pages in reading order (layout mode interleaves them). The visitor
gives each stretch its font size and place, so that headings and table rows are recognisable.
"""

import io
import logging
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from pypdf.errors import PyPdfError

from evqa.segmentation import table_row
from evqa.sources.license import find_creative_commons
from evqa.sources.metadata import is_person, tidy
from evqa.sources.raw import Content, UnreadableError

MAGIC_WITHIN_BYTES = 1024  # ISO 32000-1, annex H.3.4.1: readers look for %PDF- this far
# A scanned page gives a handful of characters and no error; a page of text gives hundreds.
MIN_CHARACTERS_PER_PAGE = 16
MAX_CONTROL_SHARE = 0.05
HEADING_SCALE = 1.12  # a heading is set this much larger than the body
MAX_HEADING_WORDS = 16
SAME_LINE_POINTS = 1.0
SAME_COLUMN_POINTS = 1.0
MAX_CELL_LINES = 4  # more lines in a row are columns of text, not a cell
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]")
_NO_DATE = "20000101000000"  # what reproducible builds write instead of the time
_PDF_DATE = re.compile(r"D?:?(\d{4})(\d{2})?(\d{2})?")


@dataclass(slots=True)
class Stretch:
    """Text that pypdf emitted at once, with the size and place of its first character.

    Coordinates and size are in points, from the lower left of the page.
    """

    text: str
    size: float
    x: float
    y: float


def read_pdf(data: bytes, password: str | None = None) -> Content:
    """Read the bytes of a PDF.

    Args:
        data: The whole file.
        password: Tried when the file is encrypted; the empty one is tried first.

    Raises:
        UnreadableError: empty_file, not_a_pdf, damaged, encrypted, no_text_layer or
            broken_font_map.
    """
    try:
        reader = _open(data, password)
        pages = [_page_stretches(page) for page in reader.pages]
    except PyPdfError as error:
        raise UnreadableError("damaged", f"{type(error).__name__}: {error}") from None
    _check_text(pages)
    body_size = _body_size(pages)
    first = "".join(stretch.text for page in pages[:2] + pages[-1:] for stretch in page)
    return Content(
        pages=[_page_text(page, body_size) for page in pages], **_metadata(reader, first)
    )


def read_pdf_metadata(data: bytes, password: str | None = None) -> tuple[dict[str, Any], bytes]:
    """Return what a PDF says about itself, and its bytes without encryption.

    Raises:
        UnreadableError: empty_file, not_a_pdf, damaged or encrypted.
    """
    import pypdf

    try:
        reader = _open(data, password)
        found = _metadata(reader, "")
        if not reader.is_encrypted:
            return found, data
        stream = io.BytesIO()
        pypdf.PdfWriter(clone_from=reader).write(stream)
    except PyPdfError as error:
        raise UnreadableError("damaged", f"{type(error).__name__}: {error}") from None
    return found, stream.getvalue()


def _open(data: bytes, password: str | None) -> Any:
    import pypdf

    if not data.strip():
        raise UnreadableError("empty_file", "no bytes")
    if b"%PDF-" not in data[:MAGIC_WITHIN_BYTES]:
        raise UnreadableError("not_a_pdf", f"starts with {data[:24]!r}")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not any(
        reader.decrypt(candidate) for candidate in ("", password) if candidate is not None
    ):
        tried = "the given password does not open it" if password else "it needs a password"
        raise UnreadableError("encrypted", f"{tried}; see sources.pdf.password_env")
    return reader


def _page_stretches(page: Any) -> list[Stretch]:
    found: list[Stretch] = []

    def visit(text: str, cm: list[float], tm: list[float], _font: Any, size: float) -> None:
        if not text:
            return
        scale = abs(tm[3] or tm[0] or 1.0) * abs(cm[3] or cm[0] or 1.0)
        x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
        y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        found.append(Stretch(text, round(float(size or 0.0) * scale, 1), x, y))

    page.extract_text(visitor_text=visit)
    return found


def _check_text(pages: list[list[Stretch]]) -> None:
    text = "".join(stretch.text for page in pages for stretch in page)
    num_printed = len("".join(text.split()))
    if num_printed < MIN_CHARACTERS_PER_PAGE * max(len(pages), 1):
        raise UnreadableError(
            "no_text_layer",
            f"{num_printed} characters on {len(pages)} pages: scanned? run OCR first",
        )
    share = len(_CONTROL.findall(text)) / num_printed
    if share > MAX_CONTROL_SHARE:
        raise UnreadableError(
            "broken_font_map", f"{share:.0%} of the characters are not text; run OCR instead"
        )


def _body_size(pages: list[list[Stretch]]) -> float:
    sizes: Counter[float] = Counter()
    for page in pages:
        for stretch in page:
            sizes[stretch.size] += len(stretch.text.strip())
    return max(sizes, key=lambda size: (sizes[size], -size), default=0.0)


def _page_text(page: list[Stretch], body_size: float) -> str:
    """Return a page's lines: headings marked by their size, cells on one baseline as a row."""
    lines: list[str] = []
    heading: tuple[float, list[str]] | None = None
    for line in _lines(page):
        words = " ".join("".join(part.text for part in cell).strip() for cell in line).strip()
        size = max((part.size for cell in line for part in cell if part.text.strip()), default=0)
        if _is_heading(words, size, body_size) and len(line) == 1:
            if heading and heading[0] == size:
                heading[1].append(words)  # a title set on two lines is one heading
                continue
            lines += _heading_line(heading, body_size)
            heading = (size, [words])
            continue
        lines += _heading_line(heading, body_size)
        heading = None
        lines.append(_row(line) if len(line) > 1 else words)
    return "\n".join([*lines, *_heading_line(heading, body_size)])


def _is_heading(words: str, size: float, body_size: float) -> bool:
    is_large = bool(body_size) and size >= HEADING_SCALE * body_size
    is_title = not words[:1].islower() and not words.endswith((".", ",", ";"))
    is_short = len(words.split()) <= MAX_HEADING_WORDS
    return is_large and is_title and is_short and any(map(str.isalpha, words))


def _heading_line(heading: tuple[float, list[str]] | None, body_size: float) -> list[str]:
    if heading is None:
        return []
    size, words = heading
    level = 1 if size >= 1.7 * body_size else 2 if size >= 1.3 * body_size else 3
    return [f"{'#' * level} {tidy(' '.join(words))}"]


def _lines(page: list[Stretch]) -> list[list[list[Stretch]]]:
    """Group stretches into lines of cells: pypdf broke the line, but the baseline is the same."""
    lines: list[list[list[Stretch]]] = [[[]]]
    last: Stretch | None = None
    for stretch in _broken(page):
        if last is not None and last.text.endswith("\n"):
            beside = abs(stretch.y - last.y) < SAME_LINE_POINTS and stretch.x > last.x
            if beside and stretch.text.strip():
                lines[-1].append([])
            elif not (stretch.text.strip() and _rejoin_row(lines, stretch)):
                lines.append([[]])
        lines[-1][-1].append(stretch)
        last = stretch
    return [line for line in lines if line[0]]


def _rejoin_row(lines: list[list[list[Stretch]]], stretch: Stretch) -> bool:
    """Go back to a row whose cell was set on several lines, when the next cell stands beside it.

    The lines since the row belong to its last cell then. Tells whether there is such a row.
    """
    for back in range(2, MAX_CELL_LINES + 1):
        row = lines[-back] if len(lines) >= back else None
        first = row[-1][0] if row and row[-1] else None
        if row is None or first is None:
            return False
        if abs(first.y - stretch.y) < SAME_LINE_POINTS and stretch.x > first.x:
            wrapped = [part for line in lines[-back + 1 :] for cell in line for part in cell]
            if any(abs(part.x - first.x) > SAME_COLUMN_POINTS for part in wrapped):
                return False
            row[-1].extend(wrapped)
            del lines[-back + 1 :]
            row.append([])
            return True
    return False


def _broken(page: list[Stretch]) -> list[Stretch]:
    """Return the stretches broken at line ends, each piece ending its line or not."""
    pieces = []
    for stretch in page:
        for piece in stretch.text.splitlines(keepends=True):
            pieces.append(Stretch(piece, stretch.size, stretch.x, stretch.y))  # noqa: PERF401
    return pieces


def _row(line: list[list[Stretch]]) -> str:
    return table_row([tidy("".join(part.text for part in cell)) for cell in line])


def _metadata(reader: Any, text: str) -> dict[str, Any]:
    """Return title, authors, date, licence and language; ``text`` may state a licence too."""
    info = reader.metadata or {}
    stated = {key: str(info.get(f"/{key}") or "") for key in ("Title", "Author", "CreationDate")}
    authors = [tidy(name) for name in re.split(r";|,| and ", stated["Author"])]
    date = None if _NO_DATE in stated["CreationDate"] else _PDF_DATE.match(stated["CreationDate"])
    rights = " ".join(str(value) for value in info.values()) + _xmp(reader)
    language = str(reader.root_object.get("/Lang") or "")[:2].lower()
    return {
        "title": tidy(stated["Title"]),
        "authors": [name for name in authors if is_person(name)],
        "published": "-".join(part for part in date.groups() if part) if date else None,
        "license": find_creative_commons(f"{rights} {text}"),
        "language": language or None,
    }


def _xmp(reader: Any) -> str:
    """Return the document's XMP packet as text, nothing when it has none or it is not XML."""
    stream = reader.root_object.get("/Metadata")
    if stream is None:
        return ""
    return " " + bytes(stream.get_object().get_data()).decode("utf-8", errors="replace")
