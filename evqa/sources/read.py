"""Read raw files into documents, in a process pool when there is enough to read.

The order of the results is that of the files, whatever the number of workers; a file that cannot
be read becomes a drop with its reason. Only a few documents per worker are in flight at a time,
so that memory does not grow with the corpus.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from evqa.config.data import PdfExtractor, SourcesConfig, WebExtractor
from evqa.records import Document, Dropped
from evqa.sources.pdf import read_pdf
from evqa.sources.raw import Content, RawFile, UnreadableError
from evqa.sources.text import read_text
from evqa.sources.web import read_html

STAGE = "read"
PAGE_BREAK = "\n\n"
# Starting a worker costs about 2 s of imports; reading goes at some 4 MiB/s.
MIB_PER_WORKER = 8
IN_FLIGHT_PER_WORKER = 4

T = TypeVar("T")
Then = Callable[[Document], T]


def read_one(raw: RawFile, config: SourcesConfig) -> Document | Dropped:
    """Read one file; every failure is a drop with a reason, never an exception."""
    try:
        with time_limit(config.max_parse_s):
            content = _content(raw, config)
    except UnreadableError as error:
        return _drop(raw, error.reason, error.detail)
    except RecursionError:
        return _drop(raw, "damaged", "nested too deeply")
    except MemoryError:
        return _drop(raw, "too_large", "reading it takes more memory than there is")
    except Exception as error:  # noqa: BLE001  third-party parsers raise anything on odd bytes
        return _drop(raw, "damaged", f"{type(error).__name__}: {error}"[:300])
    return to_document(raw, content)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop the block after so many seconds; only the main thread of a process can do so.

    Raises:
        UnreadableError: too_slow.
    """

    def give_up(_signum: int, _frame: FrameType | None) -> None:
        raise UnreadableError("too_slow", f"not read within sources.max_parse_s={seconds:g}")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _content(raw: RawFile, config: SourcesConfig) -> Content:
    data = raw.path.read_bytes()
    if raw.kind == "pdf":
        name = config.pdf.password_env
        password = os.environ.get(name) if name else None
        if config.pdf.extractor is PdfExtractor.docling:
            from evqa.sources.extras import read_pdf_with_docling

            return read_pdf_with_docling(data, password)
        return read_pdf(data, password)
    if raw.kind == "html":
        if config.web.extractor is WebExtractor.crawl4ai:
            from evqa.sources.extras import read_html_with_crawl4ai

            return read_html_with_crawl4ai(data)
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


def read_all(
    files: Sequence[RawFile], config: SourcesConfig, then: Then[T]
) -> Iterator[T | Dropped]:
    """Yield what becomes of each file, in order.

    Args:
        files: What to read.
        config: How, and by how many processes.
        then: What to do with each document in the process that read it; a function that can be
            pickled, and never raises.

    Yields:
        What ``then`` returned, or a drop of stage ``read``.
    """
    num_workers = choose_num_workers(files, config)
    if num_workers == 1:
        yield from (_process(file, config, then) for file in files)
        return
    done = 0
    try:
        for result in _pooled(files, config, then, num_workers):
            yield result
            done += 1
    except BrokenProcessPool:
        # A parser killed its process (a crash in C, memory). Go on one process a file, so that
        # only the file to blame is lost.
        yield from (_isolated(file, config, then) for file in files[done:])


def _process(file: RawFile, config: SourcesConfig, then: Then[T]) -> T | Dropped:
    found = read_one(file, config)
    return found if isinstance(found, Dropped) else then(found)


def _pooled(
    files: Sequence[RawFile], config: SourcesConfig, then: Then[T], num_workers: int
) -> Iterator[T | Dropped]:
    context = multiprocessing.get_context("spawn")
    in_flight: deque[Future[T | Dropped]] = deque()
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        for file in files:
            in_flight.append(pool.submit(_process, file, config, then))
            if len(in_flight) >= IN_FLIGHT_PER_WORKER * num_workers:
                yield in_flight.popleft().result()
        while in_flight:
            yield in_flight.popleft().result()


def _isolated(file: RawFile, config: SourcesConfig, then: Then[T]) -> T | Dropped:
    try:
        return next(_pooled([file], config, then, 1))
    except BrokenProcessPool:
        return _drop(file, "reader_crashed", "the parser ended its own process on this file")
