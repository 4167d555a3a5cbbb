"""Optional readers: docling for PDFs (layout models, OCR), crawl4ai for web pages.

Neither is installed by default: they bring models or a browser. What they return is Markdown,
which is read like a Markdown file; metadata comes from the same place as with the default readers.
"""

import importlib.util
import io
from typing import Any

from evqa.config.data import PdfExtractor, SourcesConfig, WebExtractor
from evqa.errors import UserError
from evqa.sources.raw import Content, UnreadableError


def check_extras(config: SourcesConfig) -> None:
    """Refuse an extractor whose package is absent, before anything is fetched.

    Raises:
        UserError: naming the setting and the command that installs what is missing.
    """
    wanted = (
        (config.pdf.extractor is PdfExtractor.docling, "sources.pdf.extractor", "docling"),
        (config.web.extractor is WebExtractor.crawl4ai, "sources.web.extractor", "crawl4ai"),
    )
    for is_chosen, key, package in wanted:
        if is_chosen and importlib.util.find_spec(package) is None:
            raise UserError(
                f"{key}={package}: the package {package} is not installed; "
                f"pip install 'evqa[{package}]', or leave {key} out"
            )


def read_pdf_with_docling(data: bytes, password: str | None = None) -> Content:
    """Read the bytes of a PDF with docling: page by page, tables by its layout model.

    Args:
        data: The whole file.
        password: Tried when the file is encrypted.

    Raises:
        UnreadableError: as `read_pdf` says; no_text_layer when docling finds no text either.
    """
    from docling.datamodel.base_models import DocumentStream
    from docling.document_converter import DocumentConverter

    from evqa.sources.pdf import read_pdf_metadata
    from evqa.sources.text import markdown_text

    metadata, opened = read_pdf_metadata(data, password)
    stream = DocumentStream(name="document.pdf", stream=io.BytesIO(opened))
    document: Any = DocumentConverter().convert(stream).document
    numbers = sorted(document.pages) or [1]
    pages = [markdown_text(document.export_to_markdown(page_no=number)) for number in numbers]
    if not any(page.strip() for page in pages):
        raise UnreadableError("no_text_layer", "docling finds no text on its pages")
    return Content(pages=pages, **metadata)


def read_html_with_crawl4ai(data: bytes) -> Content:
    """Read the bytes of a web page with crawl4ai's Markdown generator; nothing is fetched.

    Raises:
        UnreadableError: as `read_html` says.
    """
    from crawl4ai.content_filter_strategy import PruningContentFilter
    from crawl4ai.markdown_generation_strategy import DefaultMarkdownGenerator

    from evqa.sources.text import markdown_text
    from evqa.sources.web import decode, read_html_metadata

    metadata = read_html_metadata(data)
    generator = DefaultMarkdownGenerator(content_filter=PruningContentFilter())
    found: Any = generator.generate_markdown(decode(data), citations=False)
    text = markdown_text(found.fit_markdown or found.raw_markdown or "")
    if not text.strip():
        raise UnreadableError("no_text", "crawl4ai finds no text on the page")
    return Content(pages=[text], **metadata)
