"""Real web pages and PDFs on charging, against references made without our readers."""

import os
import statistics
from pathlib import Path

import pytest
from references import (
    FURNITURE,
    cells_of,
    markdown_reference,
    pdf_reference,
    recall_and_precision,
    rows_as_cells,
    template_body,
)

from evqa.config.data import SourcesConfig
from evqa.documents.clean import clean_document
from evqa.sources.folder import list_folder
from evqa.sources.read import read_one
from evqa.sources.web import read_html

CORPUS = Path(os.environ.get("EVQA_CORPUS_DIR", "missing"))
pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="EVQA_CORPUS_DIR is not set")
MIN_TABLE_CELLS = 719  # of the documentation pages, as first counted


@pytest.fixture(scope="module")
def pages():
    """Name → (text, recall, precision, cells wanted, cells kept) of every page with a reference."""
    found = {}
    for path in sorted((CORPUS / "html").glob("*.html")):
        data = path.read_bytes()
        body = template_body(data)
        if path.name.startswith("trap_") or body is None:
            continue
        (text,) = read_html(data).pages
        twin = CORPUS / "text" / f"{path.stem}.md"
        is_twin = twin.is_file()
        wanted = markdown_reference(twin.read_text()) if is_twin else body.text_content()
        cells = cells_of(body)
        kept = (cells & rows_as_cells(text)).total()
        found[path.name] = (*recall_and_precision(text, wanted), cells.total(), kept)
    return found


def test_pages_are_read_whole_and_clean(pages):
    assert len(pages) == 37
    recalls, precisions = ([row[n] for row in pages.values()] for n in (0, 1))
    assert statistics.mean(recalls) >= 0.97
    assert statistics.mean(precisions) >= 0.98
    assert min(recalls) >= 0.85
    assert min(precisions) >= 0.85


def test_table_cells_stay_in_rows(pages):
    wanted, kept = (sum(row[n] for row in pages.values()) for n in (2, 3))
    assert wanted >= MIN_TABLE_CELLS
    assert kept >= 650 / 719 * wanted


@pytest.mark.parametrize("name", sorted(FURNITURE))
def test_cleaned_pdfs_beat_plain_extraction(name):
    import pypdf

    path = CORPUS / "pdf" / name
    (raw,) = (r for r in list_folder(str(CORPUS / "pdf"), "pdf", "k") if r.source == name)
    wanted = pdf_reference(path)
    plain = "\n".join(page.extract_text() for page in pypdf.PdfReader(path).pages)
    recall, precision = recall_and_precision(
        clean_document(read_one(raw, SourcesConfig())).text, wanted
    )
    plain_recall, plain_precision = recall_and_precision(plain, wanted)
    assert recall > plain_recall
    assert precision > plain_precision
    assert min(recall, precision) > 0.98
