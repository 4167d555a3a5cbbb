"""Fetched pages on disk: each URL has a folder with its body and what the server said of it.

A page that is there is not fetched again, so that an interrupted run goes on where it stopped;
with ``sources.web.refresh`` it is asked for again, on condition that it has changed.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from evqa.files import atomic_folder, read_json, sha256_bytes, sha256_file, write_json
from evqa.sources.raw import RawFile

BODY, ABOUT = "body", "about.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedPage:
    """What is known of a fetched page besides its body."""

    url: str
    kind: str
    sha256: str
    fetched: str
    etag: str | None
    last_modified: str | None


class HttpCache:
    """Pages under a folder; a page whose body does not have its hash is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _place(self, url: str) -> Path:
        return self._folder / sha256_bytes(url.encode())[:32]

    def get(self, url: str) -> CachedPage | None:
        """Return what is known of a page, null when it was not fetched or is damaged."""
        place = self._place(url)
        if not ((place / BODY).is_file() and (place / ABOUT).is_file()):
            return None
        page = CachedPage(**read_json(place / ABOUT))
        return page if sha256_file(place / BODY) == page.sha256 else None

    def put(self, page: CachedPage, body: bytes) -> None:
        """Keep a page: body and description appear together or not at all."""
        with atomic_folder(self._place(page.url)) as made:
            (made / BODY).write_bytes(body)
            write_json(made / ABOUT, asdict(page))

    def raw(self, page: CachedPage) -> RawFile:
        """Return a page as a raw file to read."""
        body = self._place(page.url) / BODY
        return RawFile(
            source=page.url,
            kind=page.kind,
            path=body,
            sha256=page.sha256,
            num_bytes=body.stat().st_size,
            fetched=page.fetched,
        )
