"""The optional readers, against stand-ins for their packages: what they are asked, what comes back."""

import sys
import types

import pytest
from sources.test_pdf import PROSE, make_pdf
from sources.test_web import page

from evqa.config.data import PdfConfig, PdfExtractor, SourcesConfig, WebConfig, WebExtractor
from evqa.errors import UserError
from evqa.records import Document
from evqa.sources.extras import check_extras
from evqa.sources.raw import RawFile
from evqa.sources.read import read_one


def module(monkeypatch, name, **members):
    made = types.ModuleType(name)
    made.__dict__.update(members)
    monkeypatch.setitem(sys.modules, name, made)


@pytest.fixture
def docling(monkeypatch):
    """A docling that answers with Markdown, page by page, and remembers what it was given."""
    seen = {}

    class Converted:
        pages = {1: None, 2: None}

        def export_to_markdown(self, page_no):
            return seen.get("texts", ["# Plugs\n\n| a | b |\n|---|---|\n| 1 | 2 |", "Second."])[
                page_no - 1
            ]

    class Converter:
        def convert(self, stream):
            seen["bytes"] = stream.stream.read()
            return types.SimpleNamespace(document=Converted())

    module(monkeypatch, "docling")
    module(monkeypatch, "docling.datamodel")
    module(monkeypatch, "docling.datamodel.base_models", DocumentStream=types.SimpleNamespace)
    module(monkeypatch, "docling.document_converter", DocumentConverter=Converter)
    return seen


@pytest.fixture
def crawl4ai(monkeypatch):
    class Generator:
        def __init__(self, content_filter):
            self.content_filter = content_filter

        def generate_markdown(self, html, citations):
            assert "<html" in html
            assert citations is False
            return types.SimpleNamespace(
                fit_markdown="# Plugs\n\n- one\n- two", raw_markdown="raw"
            )

    module(monkeypatch, "crawl4ai")
    module(monkeypatch, "crawl4ai.content_filter_strategy", PruningContentFilter=object)
    module(
        monkeypatch, "crawl4ai.markdown_generation_strategy", DefaultMarkdownGenerator=Generator
    )


def read(tmp_path, data, kind, config):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(data)
    raw = RawFile(source=path.name, kind=kind, path=path, sha256="0" * 64, num_bytes=len(data))
    return read_one(raw, config)


WITH_DOCLING = SourcesConfig(pdf=PdfConfig(extractor=PdfExtractor.docling))
WITH_CRAWL4AI = SourcesConfig(web=WebConfig(extractor=WebExtractor.crawl4ai))


def test_docling_gives_pages_and_the_pdf_its_metadata(tmp_path, docling):
    found = read(tmp_path, make_pdf([("p", PROSE)]), "pdf", WITH_DOCLING)
    assert isinstance(found, Document)
    assert [found.text[start:end] for start, end in found.pages] == [
        "# Plugs\n\n| a | b |\n| 1 | 2 |", "Second.",
    ]  # fmt: skip
    assert (found.title, found.authors) == ("The title", ["Jane Doe", "Max Moritz"])


def test_docling_is_given_an_open_file(tmp_path, docling, monkeypatch):
    from reportlab.lib.pdfencrypt import StandardEncryption

    monkeypatch.setenv("PDF_PASSWORD", "sesame")
    data = make_pdf([("p", PROSE)], encrypt=StandardEncryption("sesame", strength=128))
    config = SourcesConfig(
        pdf=PdfConfig(extractor=PdfExtractor.docling, password_env="PDF_PASSWORD")
    )
    assert isinstance(read(tmp_path, data, "pdf", config), Document)
    assert b"/Encrypt" not in docling["bytes"]
    assert read(tmp_path, data, "pdf", WITH_DOCLING).reason == "encrypted"
    assert read(tmp_path, b"", "pdf", WITH_DOCLING).reason == "empty_file"


def test_docling_without_text_is_no_text_layer(tmp_path, docling):
    docling["texts"] = ["", " "]
    assert read(tmp_path, make_pdf([("p", PROSE)]), "pdf", WITH_DOCLING).reason == "no_text_layer"


def test_crawl4ai_gives_text_and_the_page_its_metadata(tmp_path, crawl4ai):
    found = read(tmp_path, page("<title>Level-2 charging at home</title>"), "html", WITH_CRAWL4AI)
    assert found.text == "# Plugs\n\n- one\n- two"
    assert found.title == "Level-2 charging at home"
    assert read(tmp_path, b"", "html", WITH_CRAWL4AI).reason == "empty_file"


@pytest.mark.parametrize(
    ("config", "key", "package"),
    [
        (WITH_DOCLING, "sources.pdf.extractor", "docling"),
        (WITH_CRAWL4AI, "sources.web.extractor", "crawl4ai"),
    ],
)
def test_an_absent_package_is_named_with_what_installs_it(monkeypatch, config, key, package):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UserError, match=rf"{key}={package}.*pip install 'evqa\[{package}\]'"):
        check_extras(config)
    check_extras(SourcesConfig())
