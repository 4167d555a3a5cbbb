"""Find every input: files of the configured folders, and URLs fetched through the cache."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from evqa.config.data import SourcesConfig
from evqa.errors import UserError
from evqa.records import Dropped
from evqa.sources.folder import list_folder
from evqa.sources.raw import RawFile


def collect(config: SourcesConfig, cache_dir: Path) -> tuple[list[RawFile], list[Dropped]]:
    """Return the raw files in order (web, PDF, text; folders before URLs) and failed fetches.

    Raises:
        UserError: when a folder or the file of addresses does not exist.
    """
    files = list_files(config)
    urls = list_urls(config)
    listings = list_listings(config)
    if not urls and not listings:
        return files, []
    from evqa.sources.fetch import fetch_all

    fetched, failed = fetch_all(urls, config.web, cache_dir, listings)
    return [*files, *fetched], failed


def list_files(config: SourcesConfig) -> list[RawFile]:
    """Return the files of the configured folders, in order: web, PDF, text.

    Raises:
        UserError: when a folder does not exist.
    """
    folders = (
        (config.web.folder, "html", "sources.web.folder"),
        (config.pdf.folder, "pdf", "sources.pdf.folder"),
        (config.text.folder, "text", "sources.text.folder"),
    )
    return [
        raw for folder, kind, key in folders if folder for raw in list_folder(folder, kind, key)
    ]


def list_urls(config: SourcesConfig) -> list[str]:
    """Return the configured addresses, each once, in order.

    Raises:
        UserError: for a missing file, or an address that is not http or https.
    """
    urls = [*config.web.urls, *_urls_of_file(config.web.urls_file), *config.pdf.urls]
    return _checked(urls)


def list_listings(config: SourcesConfig) -> list[str]:
    """Return the addresses of the configured sitemaps and feeds, each once, in order.

    Raises:
        UserError: for an address that is not http or https.
    """
    return _checked([*config.web.sitemaps, *config.web.feeds])


def _checked(urls: Sequence[str]) -> list[str]:
    for url in urls:
        if not url.lower().startswith(("http://", "https://")) or not urlsplit(url).hostname:
            raise UserError(f"{url}: not a web address; it must begin with http:// or https://")
    return list(dict.fromkeys(urls))


def _urls_of_file(name: str | None) -> Iterable[str]:
    if name is None:
        return []
    path = Path(name)
    if not path.is_file():
        raise UserError(f"sources.web.urls_file={name}: no such file")
    stripped = (line.split(" #")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def describe(config: SourcesConfig) -> str:
    """Return where documents were looked for, for the error when there are none."""
    places = {
        "sources.web.folder": config.web.folder,
        "sources.web.urls_file": config.web.urls_file,
        "sources.web.sitemaps": ",".join(config.web.sitemaps),
        "sources.web.feeds": ",".join(config.web.feeds),
        "sources.pdf.folder": config.pdf.folder,
        "sources.text.folder": config.text.folder,
    }
    named = [f"{key}={value}" for key, value in places.items() if value]
    return ", ".join(named) or "no folder and no URL is set"
