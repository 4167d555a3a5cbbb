"""Structured configs of the rooms that make data: sources, documents, qa, data."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from evqa.config.fields import group, number, setting


class WebExtractor(StrEnum):
    """Who reads the body of a web page."""

    best = "best"
    newspaper = "newspaper"
    trafilatura = "trafilatura"
    crawl4ai = "crawl4ai"


class PdfExtractor(StrEnum):
    """Who reads a PDF."""

    pypdf = "pypdf"
    docling = "docling"


@dataclass(kw_only=True, slots=True)
class WebConfig:
    """Web pages: a folder of saved HTML, or URLs to fetch."""

    folder: str | None = setting(None, "folder of saved .html pages, read recursively")
    urls: list[str] = setting([], "addresses to fetch (quote the ones with & ( or #)")
    urls_file: str | None = setting(None, "text file of addresses, one a line, # starts a comment")
    sitemaps: list[str] = setting([], "addresses of sitemaps whose pages are fetched")
    feeds: list[str] = setting([], "addresses of RSS or Atom feeds whose entries are fetched")
    url_pattern: str | None = setting(
        None, "regular expression that addresses from sitemaps and feeds must contain"
    )
    max_urls: int = number(
        1000, ge=1, le=1_000_000, doc="most addresses taken from sitemaps and feeds"
    )
    extractor: WebExtractor = setting(
        WebExtractor.best, "best: newspaper4k's metadata, the body from whichever covers the page"
    )
    user_agent: str = setting(
        "evqa/0.1 (+https://github.com/evqa/evqa)", "sent with every request; name a contact in it"
    )
    timeout_s: float = number(20.0, gt=0, le=600, doc="seconds to wait for one page")
    requests_per_s: float = number(
        1.0, gt=0, le=100, doc="polite rate per host, requests a second"
    )
    max_page_mib: float = number(10.0, gt=0, le=1024, doc="largest page accepted, MiB")
    max_retries: int = number(3, ge=0, le=20, doc="times a page is asked for again, with backoff")
    refresh: bool = setting(False, "ask again for pages in the cache, on condition of a change")
    allow_private_addresses: bool = setting(
        False, "fetch from loopback and private addresses too (intranets)"
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield what cannot work."""
        try:
            re.compile(self.url_pattern or "")
        except re.error as error:
            yield (
                "url_pattern",
                f"must be a regular expression, but got {self.url_pattern!r} ({error})",
            )


@dataclass(kw_only=True, slots=True)
class PdfConfig:
    """PDF files: a folder, or URLs to fetch."""

    folder: str | None = setting(None, "folder of .pdf files, read recursively")
    urls: list[str] = setting([], "addresses of PDFs to fetch")
    extractor: PdfExtractor = setting(PdfExtractor.pypdf, "library that reads the PDF")
    password_env: str | None = setting(
        None, "NAME of the environment variable that holds the password of encrypted PDFs"
    )


@dataclass(kw_only=True, slots=True)
class TextConfig:
    """Plain text and Markdown files."""

    folder: str | None = setting(None, "folder of .txt and .md files, read recursively")


@dataclass(kw_only=True, slots=True)
class SourcesConfig:
    """Where raw documents come from."""

    web: WebConfig = group(WebConfig, "web pages")
    pdf: PdfConfig = group(PdfConfig, "PDF files")
    text: TextConfig = group(TextConfig, "text files")
    num_workers: int | None = number(
        None, ge=1, le=256, doc="processes that parse (null: one per 8 MiB, at most one a core)"
    )
    max_parse_s: float = number(
        300.0, gt=0, le=86_400, doc="seconds after which a document is given up (too_slow)"
    )


class UnknownLicense(StrEnum):
    """What to do with a document whose licence is not stated."""

    keep = "keep"
    drop = "drop"


@dataclass(kw_only=True, slots=True)
class LicenseConfig:
    """Which licences may be trained on."""

    allow: list[str] = setting([], "keep only these licences (empty: all that are not denied)")
    deny: list[str] = setting([], "drop documents under these licences")
    unknown: UnknownLicense = setting(UnknownLicense.keep, "documents that state no licence")


@dataclass(kw_only=True, slots=True)
class DocumentsConfig:
    """Cleaning, filtering, deduplication, splitting and chunking."""

    license: LicenseConfig = group(LicenseConfig, "licence policy")
    languages: list[str] = setting(["en"], "keep documents in these languages (empty: all)")
    min_words: int = number(40, ge=1, le=100_000, doc="drop documents shorter than this, words")
    near_duplicate_jaccard: float = number(
        0.8, gt=0, le=1, doc="word-8-gram Jaccard at and above which documents are near-duplicates"
    )
    cluster_jaccard: float = number(
        0.3, gt=0, le=1, doc="word-8-gram Jaccard at and above which documents share a split"
    )
    scrub_pii: bool = setting(True, "replace e-mail addresses, phone and card numbers, IBANs")
    scrub_license_plates: bool = setting(
        False, "replace European and British number plates too (needs scrub_pii)"
    )
    validation_fraction: float = number(
        0.05, ge=0, lt=0.5, doc="share of documents to validate on"
    )
    test_fraction: float = number(0.05, ge=0, lt=0.5, doc="share of documents kept for testing")
    chunk_words: int = number(160, ge=20, le=5000, doc="size that chunks aim at, words")
    chunk_overlap_words: int = number(0, ge=0, le=1000, doc="words repeated between chunks")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if self.chunk_overlap_words >= self.chunk_words:
            yield (
                "chunk_overlap_words",
                f"must be smaller than chunk_words={self.chunk_words}, "
                f"but got {self.chunk_overlap_words}",
            )
        if self.cluster_jaccard > self.near_duplicate_jaccard:
            yield (
                "cluster_jaccard",
                f"must be at most near_duplicate_jaccard={self.near_duplicate_jaccard}, "
                f"but got {self.cluster_jaccard}",
            )


class PairGenerator(StrEnum):
    """Who writes question-answer pairs."""

    extractive = "extractive"
    together = "together"


@dataclass(kw_only=True, slots=True)
class QAConfig:
    """Question-answer pairs from chunks."""

    generator: PairGenerator = setting(
        PairGenerator.extractive, "extractive: offline; together: an LLM API, paid by the token"
    )
    categories: list[str] = setting([], "categories that pairs are sorted into")
    category_keywords: dict[str, list[str]] = setting(
        {}, "words that speak for a category (offline generator)"
    )
    max_pairs_per_chunk: int = number(16, ge=1, le=100, doc="pairs kept from one chunk")
    confirmations: bool = setting(
        True, "ask whether statements hold, too: 'Is …?', 'Can …?' (offline generator)"
    )
    overlap_likeness: float = number(
        0.55,
        gt=0,
        le=1,
        doc="likeness of meaning at and above which a question is the benchmark's",
    )
    category_quota: dict[str, int] = setting(
        {}, "most generated pairs of a category (category: pairs); others have no limit"
    )
    difficulty_quota: dict[str, int] = setting(
        {}, "most generated pairs of a difficulty (easy, medium, hard: pairs)"
    )
    difficulty_mix: dict[str, float] = setting(
        {"easy": 0.4, "medium": 0.4, "hard": 0.2}, "shares of difficulties asked of the API"
    )
    num_paraphrases: int = number(
        0, ge=0, le=4, doc="other wordings of each question, bought in a second pass (qa=together)"
    )
    judge: bool = setting(
        False, "let an LLM that sees the source refuse pairs; paid like qa=together"
    )
    model: str | None = setting(None, "model of the API (qa=together)")
    base_url: str | None = setting(None, "OpenAI-compatible server, without /v1 (qa=together)")
    api_key_env: str = setting("TOGETHER_API_KEY", "NAME of the variable that holds the API key")
    budget_usd: float = number(1.0, gt=0, le=100_000, doc="never spend more than this, US dollars")
    usd_per_million_prompt_tokens: float | None = number(
        None, ge=0, doc="price of the model's input, US dollars"
    )
    usd_per_million_completion_tokens: float | None = number(
        None, ge=0, doc="price of the model's output, US dollars"
    )
    max_completion_tokens: int = number(
        1500, ge=64, le=32_000, doc="longest answer asked of the API, tokens"
    )
    temperature: float = number(0.2, ge=0, le=2, doc="randomness of the API's answers")
    request_timeout_s: float = number(120.0, gt=0, le=3600, doc="seconds to wait for the API")
    max_retries: int = number(5, ge=0, le=20, doc="times a request is repeated, with backoff")
    max_concurrent_requests: int = number(8, ge=1, le=512, doc="requests in flight at once")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that cannot work."""
        for name in ("difficulty_mix", "difficulty_quota"):
            unknown = sorted(getattr(self, name).keys() - {"easy", "medium", "hard"})
            if unknown:
                yield name, f"knows easy, medium and hard, but got {unknown[0]!r}"
        if any(share < 0 for share in self.difficulty_mix.values()):
            yield "difficulty_mix", "must hold shares of 0 or more"


class DataKind(StrEnum):
    """What the dataset starts from."""

    corpus = "corpus"
    jsonl = "jsonl"
    hub = "hub"


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """The dataset: a corpus to make pairs from, or pairs that exist already."""

    name: str = setting("dataset", "short name, part of the dataset's id")
    kind: DataKind = setting(DataKind.corpus, "corpus, or ready pairs from jsonl or the hub")
    path: str | None = setting(None, "file of ready pairs (jsonl), or dataset name (hub)")
    hub_split: str = setting("train", "which split of a hub dataset to read")
    pairs_file: str | None = setting(None, "hand-written pairs to add to the generated ones")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield settings that contradict each other."""
        if self.kind is not DataKind.corpus and not self.path:
            yield "path", f"must be set when data.kind={self.kind}: a file or a dataset name"
