"""Read raw files into documents, in a process pool when there is enough to read.

The order of the results is that of the files, whatever the number of workers; a file that cannot
be read becomes a drop with its reason.
"""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from evqa.config.data import SourcesConfig
from evqa.records import Document, Dropped
from evqa.sources.pdf import read_pdf
from evqa.sources.raw import Content, RawFile, UnreadableError
from evqa.sources.text import read_text
from evqa.sources.web import read_html

STAGE = "read"
PAGE_BREAK = "\n\n"
# Starting a worker costs about 2 s of imports; reading goes at some 4 MiB/s.
MIB_PER_WORKER = 8


def read_one(raw: RawFile, config: SourcesConfig) -> Document | Dropped:
    """Read one file; every failure is a drop with a reason, never an exception."""
    try:
        content = _content(raw, config)
    except UnreadableError as error:
        return _drop(raw, error.reason, error.detail)
    except RecursionError:
        return _drop(raw, "damaged", "nested too deeply")
    except Exception as error:  # noqa: BLE001  third-party parsers raise anything on odd bytes
        return _drop(raw, "damaged", f"{type(error).__name__}: {error}"[:300])
    return to_document(raw, content)


def _content(raw: RawFile, config: SourcesConfig) -> Content:
    data = raw.path.read_bytes()
    if raw.kind == "pdf":
        name = config.pdf.password_env
        return read_pdf(data, os.environ.get(name) if name else None)
    if raw.kind == "html":
        return read_html(data, config.web.extractor)
    return read_text(data, raw.source)


def to_document(raw: RawFile, content: Content) -> Document:
    """Join the pages of a content into a document; only PDFs keep page offsets."""
    text = PAGE_BREAK.join(content.pages)
    pages: list[list[int]] = []
    start = 0
    for page in content.pages if raw.kind == "pdf" else []:
        pages.append([start, start + len(page)])
        start += len(page) + len(PAGE_BREAK)
    return Document(
        id=Document.make_id(raw.source, raw.sha256),
        source=raw.source,
        kind=raw.kind,
        title=content.title,
        text=text,
        language=content.language,
        authors=content.authors,
        published=content.published,
        fetched=raw.fetched,
        license=content.license,
        sha256=raw.sha256,
        pages=pages,
        cluster_id="",
        split="",
        url=content.url,
    )


def _drop(raw: RawFile, reason: str, detail: str) -> Dropped:
    document_id = Document.make_id(raw.source, raw.sha256)
    return Dropped(
        stage=STAGE,
        id=document_id,
        source=raw.source,
        reason=reason,
        detail=" ".join(detail.split()),
    )


def choose_num_workers(files: Sequence[RawFile], config: SourcesConfig) -> int:
    """Return the configured number of workers, else one for every 8 MiB, at most one a core."""
    if config.num_workers is not None:
        return config.num_workers
    mib = sum(file.num_bytes for file in files) / 2**20
    return max(1, min(os.cpu_count() or 1, int(mib / MIB_PER_WORKER)))


def read_all(files: Sequence[RawFile], config: SourcesConfig) -> Iterator[Document | Dropped]:
    """Yield a document or a drop for each file, in order."""
    num_workers = choose_num_workers(files, config)
    if num_workers == 1:
        yield from (read_one(file, config) for file in files)
        return
    done = 0
    try:
        for result in _pooled(files, config, num_workers):
            yield result
            done += 1
    except BrokenProcessPool:
        # A parser killed its process (a crash in C, memory). Go on one process a file, so that
        # only the file to blame is lost.
        yield from (_read_isolated(file, config) for file in files[done:])


def _pooled(
    files: Sequence[RawFile], config: SourcesConfig, num_workers: int
) -> Iterator[Document | Dropped]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        yield from pool.map(read_one, files, [config] * len(files), chunksize=1)


def _read_isolated(file: RawFile, config: SourcesConfig) -> Document | Dropped:
    try:
        return next(_pooled([file], config, 1))
    except BrokenProcessPool:
        return _drop(file, "reader_crashed", "the parser ended its own process on this file")
