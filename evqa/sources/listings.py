"""Sitemaps (https://www.sitemaps.org/protocol.html) and feeds (RSS, Atom): lists of addresses.

Both are XML from strangers: entities are not resolved, nothing is loaded, and gzip is unpacked up
to a cap.
"""

import re
import zlib
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urljoin

from evqa.config.data import WebConfig
from evqa.records import Dropped
from evqa.sources.raw import RawFile, UnreadableError

STAGE = "fetch"
# The protocol allows 50 MiB and 50,000 addresses a file, and indexes of sitemaps one level deep.
MAX_UNPACKED_BYTES = 50 * 2**20
MAX_DEPTH = 3
GZIP_MAGIC = b"\x1f\x8b"

Fetch = Callable[[str], Awaitable[RawFile | Dropped]]


async def expand(
    seeds: Sequence[str], fetch: Fetch, config: WebConfig
) -> tuple[list[str], list[Dropped]]:
    """Return the addresses that sitemaps and feeds list, in order, each once.

    Args:
        seeds: Addresses of sitemaps and feeds; an index of sitemaps is followed.
        fetch: Fetches one address.
        config: Its ``max_urls`` and ``url_pattern`` choose among the addresses.
    """
    found: dict[str, None] = {}
    failed: list[Dropped] = []
    wanted = re.compile(config.url_pattern or "")
    queue = [(seed, 1) for seed in seeds]
    seen: set[str] = set(seeds)
    while queue and len(found) < config.max_urls:
        url, depth = queue.pop(0)
        result = await fetch(url)
        if isinstance(result, Dropped):
            failed.append(result)
            continue
        try:
            pages, nested = addresses(unpacked(result.path.read_bytes()), url)
        except UnreadableError as error:
            failed.append(error.drop(STAGE, url))
            continue
        found |= dict.fromkeys(page for page in pages if wanted.search(page))
        fresh = [other for other in nested if other not in seen and depth < MAX_DEPTH]
        seen.update(fresh)
        queue += [(other, depth + 1) for other in fresh]
    return list(found)[: config.max_urls], failed


def unpacked(data: bytes) -> bytes:
    """Return a listing's bytes, gunzipped when they are gzip.

    Raises:
        UnreadableError: too_large, or damaged.
    """
    if not data.startswith(GZIP_MAGIC):
        return data
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = unpacker.decompress(data, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise UnreadableError("damaged", f"gzip: {error}") from None
    if unpacker.unconsumed_tail:
        raise UnreadableError("too_large", f"unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    return text


def addresses(data: bytes, base: str) -> tuple[list[str], list[str]]:
    """Return the pages that a listing names, and the listings that it names.

    Args:
        data: A sitemap, an index of sitemaps, RSS or Atom; a plain list of addresses is one too.
        base: Where it came from: relative links count from there.

    Raises:
        UnreadableError: not_a_listing.
    """
    from lxml import etree

    if not data.lstrip().startswith(b"<"):
        return _plain(data), []
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
    root = etree.fromstring(data, parser=parser)
    if root is None:
        raise UnreadableError("not_a_listing", "is not XML")
    kind = etree.QName(root).localname.lower()
    if kind == "sitemapindex":
        return [], _texts(root, "sitemap/loc", base)
    if kind == "urlset":
        return _texts(root, "url/loc", base), []
    if kind in ("rss", "rdf"):
        return _texts(root, "item/link", base), []
    if kind == "feed":
        return _atom(root, base), []
    raise UnreadableError("not_a_listing", f"<{kind}> is no sitemap and no feed")


def _plain(data: bytes) -> list[str]:
    lines = (line.strip() for line in data.decode("utf-8-sig", errors="replace").splitlines())
    found = [line for line in lines if line.lower().startswith(("http://", "https://"))]
    if not found:
        raise UnreadableError("not_a_listing", "names no address")
    return found


def _texts(root: object, path: str, base: str) -> list[str]:
    """Return the texts of elements at the end of a path, whatever their namespace."""
    steps = "/".join(f"*[local-name()='{step}']" for step in path.split("/"))
    found = root.xpath(f".//{steps}")  # type: ignore[attr-defined]
    return [
        urljoin(base, element.text.strip()) for element in found if (element.text or "").strip()
    ]


def _atom(root: object, base: str) -> list[str]:
    entries = root.xpath(".//*[local-name()='entry']")  # type: ignore[attr-defined]
    found = []
    for entry in entries:
        links = entry.xpath("*[local-name()='link'][@href]")
        chosen = [link for link in links if link.get("rel", "alternate") == "alternate"] or links
        found += [urljoin(base, link.get("href")) for link in chosen[:1]]
    return found
