"""Fetch web pages politely: robots.txt obeyed, one host one request at a time, everything bounded.

Hosts go side by side. A page that cannot be had becomes a drop with a reason.
"""

import asyncio
import datetime
import email.utils
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp

from evqa.config.data import WebConfig
from evqa.files import sha256_bytes
from evqa.progress import progress
from evqa.records import Dropped
from evqa.sources.addresses import PrivateAddressError, PublicResolver, check_literal
from evqa.sources.http_cache import CachedPage, HttpCache
from evqa.sources.listings import expand
from evqa.sources.raw import RawFile, UnreadableError
from evqa.sources.robots import Robots, origin_of

STAGE = "fetch"
MAX_REDIRECTS = 5
MAX_CONNECTIONS = 32
MAX_RETRY_AFTER_S = 120.0
FIRST_BACKOFF_S = 1.0
MAX_ROBOTS_BYTES = 512 * 1024  # RFC 9309, 2.5: at least 500 KiB are read
BLOCK_BYTES = 64 * 1024
KINDS = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "text/plain": "text",
    "text/markdown": "text",
}
# What sitemaps and feeds come as; they are read for the addresses in them.
LISTING_TYPES = frozenset(
    {
        "application/xml",
        "text/xml",
        "application/rss+xml",
        "application/atom+xml",
        "application/rdf+xml",
        "application/gzip",
        "application/x-gzip",
        "text/plain",
    }
)
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(slots=True)
class Answer:
    """What a server said, its body read up to the cap."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: str


@dataclass(slots=True)
class Host:
    """The pace of one host: requests one after another, so far apart."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    next_at_s: float = 0.0

    async def wait(self, interval_s: float) -> None:
        """Wait for this host's turn and take it."""
        loop = asyncio.get_running_loop()
        delay_s = self.next_at_s - loop.time()
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        self.next_at_s = loop.time() + interval_s

    def hold_off(self, delay_s: float) -> None:
        """Leave the host alone for a while: it asked for that, whichever page was answered so."""
        self.next_at_s = max(self.next_at_s, asyncio.get_running_loop().time() + delay_s)


def fetch_all(
    urls: Sequence[str], config: WebConfig, cache_dir: Path, listings: Sequence[str] = ()
) -> tuple[list[RawFile], list[Dropped]]:
    """Return the pages in the order of their addresses, and drops for those that failed.

    Args:
        urls: Addresses of pages and PDFs.
        config: Rates, caps and permissions.
        cache_dir: Where fetched bytes are kept.
        listings: Addresses of sitemaps and feeds, whose addresses are fetched too.
    """
    return asyncio.run(_fetch_all(urls, listings, config, HttpCache(cache_dir)))


async def _fetch_all(
    urls: Sequence[str], listings: Sequence[str], config: WebConfig, cache: HttpCache
) -> tuple[list[RawFile], list[Dropped]]:
    resolver = None if config.allow_private_addresses else PublicResolver()
    connector = aiohttp.TCPConnector(resolver=resolver, limit=MAX_CONNECTIONS)
    timeout = aiohttp.ClientTimeout(total=config.timeout_s)
    headers = {"User-Agent": config.user_agent}
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers, trust_env=True
    ) as session:
        fetcher = Fetcher(session, config, cache)
        listed, failed = await expand(listings, fetcher.listing, config)
        wanted = list(dict.fromkeys([*urls, *listed]))
        results = await _fetch_pages(wanted, fetcher)
    pages = [result for result in results if isinstance(result, RawFile)]
    return pages, [*failed, *(result for result in results if isinstance(result, Dropped))]


async def _fetch_pages(urls: Sequence[str], fetcher: "Fetcher") -> list[RawFile | Dropped]:
    """Fetch all pages side by side, with a bar that counts those that failed."""
    num_failed = 0
    with progress("fetching", len(urls)) as bar:

        async def one(url: str) -> RawFile | Dropped:
            nonlocal num_failed
            result = await fetcher.page(url)
            num_failed += isinstance(result, Dropped)
            bar.add(1, f"{num_failed} failed")
            return result

        return list(await asyncio.gather(*map(one, urls)))


class Fetcher:
    """Fetches pages within one event loop.

    Args:
        session: Opened with time-out, user agent and resolver.
        config: Rates, caps and permissions.
        cache: Where pages are kept.
    """

    def __init__(
        self, session: aiohttp.ClientSession, config: WebConfig, cache: HttpCache
    ) -> None:
        self._session = session
        self._config = config
        self._cache = cache
        self._robots = Robots(config.user_agent)
        self._hosts: defaultdict[str, Host] = defaultdict(Host)

    async def page(self, url: str) -> RawFile | Dropped:
        """Return a page from the cache or the network, or the reason why not."""
        return await self._cached_or_fetched(url, KINDS)

    async def listing(self, url: str) -> RawFile | Dropped:
        """Return a sitemap or a feed, which come as XML, or the reason why not."""
        return await self._cached_or_fetched(url, dict.fromkeys(LISTING_TYPES, "text"))

    async def _cached_or_fetched(self, url: str, kinds: dict[str, str]) -> RawFile | Dropped:
        cached = self._cache.get(url)
        if cached is not None and not self._config.refresh:
            return self._cache.raw(cached)
        try:
            return self._cache.raw(await self._fetch(url, cached, kinds))
        except UnreadableError as error:
            return error.drop(STAGE, url)

    async def _fetch(
        self, url: str, cached: CachedPage | None, kinds: dict[str, str]
    ) -> CachedPage:
        conditions = _conditions(cached)
        answer = await self._follow(url, conditions)
        if answer.status == 304 and cached is not None:
            return cached
        if answer.status != 200:
            raise UnreadableError(f"http_{answer.status}", f"the server answered {answer.status}")
        page = CachedPage(
            url=url,
            kind=_kind(answer, kinds),
            sha256=sha256_bytes(answer.body),
            fetched=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            etag=answer.headers.get("ETag") or None,
            last_modified=answer.headers.get("Last-Modified"),
        )
        self._cache.put(page, answer.body)
        return page

    async def _follow(self, url: str, conditions: dict[str, str]) -> Answer:
        """Follow redirects; each step is checked and paced like the first."""
        for _ in range(MAX_REDIRECTS + 1):
            await self._check(url)
            answer = await self._with_retries(url, conditions)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not location:
                return answer
            url = urljoin(url, location)
            if urlsplit(url).scheme not in ("http", "https"):
                raise UnreadableError("redirect", f"leads to {url}")
        raise UnreadableError("redirect_loop", f"more than {MAX_REDIRECTS} redirects")

    async def _check(self, url: str) -> None:
        """Refuse what the site's robots.txt, or our own rule on private addresses, forbids."""
        self._refuse_private(url)
        origin = origin_of(url)
        async with self._hosts[f"robots {origin}"].lock:
            if not self._robots.knows(origin):
                await self._learn(origin)
        if not self._robots.allows(url):
            raise UnreadableError("robots", f"{origin}/robots.txt forbids it")

    async def _learn(self, origin: str) -> None:
        """Read a site's robots.txt; up to five redirects are followed (RFC 9309, 2.3.1.2)."""
        url = f"{origin}/robots.txt"
        status, text = 404, ""
        for _ in range(MAX_REDIRECTS + 1):
            try:
                answer = await self._with_retries(url, {}, MAX_ROBOTS_BYTES)
            except UnreadableError as error:
                if error.reason == "private_address":
                    raise
                status = 0
                break
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not location:
                status, text = answer.status, answer.body.decode("utf-8", errors="replace")
                break
            url = urljoin(url, location)
            if urlsplit(url).scheme not in ("http", "https"):
                break
            self._refuse_private(url)
        self._robots.learn(origin, status, text)

    def _refuse_private(self, url: str) -> None:
        if not self._config.allow_private_addresses:
            try:
                check_literal(url)
            except PrivateAddressError as error:
                raise _private(error) from None

    async def _with_retries(
        self, url: str, conditions: dict[str, str], max_bytes: int | None = None
    ) -> Answer:
        cap = max_bytes or int(self._config.max_page_mib * 2**20)
        for attempt in range(self._config.max_retries + 1):
            is_last = attempt == self._config.max_retries
            try:
                answer = await self._once(url, conditions, cap)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                failure = _failure(error)
                if is_last or failure.reason == "private_address":
                    raise failure from None
                await asyncio.sleep(_backoff_s(attempt))
                continue
            if answer.status not in _RETRIED or is_last:
                return answer
            asked_s = retry_after_s(answer.headers.get("Retry-After"))
            if asked_s is None:
                await asyncio.sleep(_backoff_s(attempt))
            else:
                self._hosts[origin_of(url)].hold_off(asked_s)
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, url: str, conditions: dict[str, str], cap: int) -> Answer:
        origin = origin_of(url)
        interval_s = 1 / self._config.requests_per_s
        if self._robots.knows(origin):
            interval_s = max(interval_s, self._robots.crawl_delay_s(origin))
        host = self._hosts[origin]
        async with host.lock:
            await host.wait(interval_s)
            async with self._session.get(
                url, headers=conditions, allow_redirects=False
            ) as response:
                body = b""
                if response.status == 200:
                    body = await _read_capped(response, cap)
                headers = {key.title(): value for key, value in response.headers.items()}
                headers["ETag"] = headers.pop("Etag", "")
                return Answer(response.status, headers, body, url)


def _conditions(cached: CachedPage | None) -> dict[str, str]:
    """Return the headers that ask for a page only if it has changed (RFC 9110, 13)."""
    if cached is None:
        return {}
    found = {"If-None-Match": cached.etag, "If-Modified-Since": cached.last_modified}
    return {name: value for name, value in found.items() if value}


def _kind(answer: Answer, kinds: dict[str, str]) -> str:
    stated = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if stated in kinds:
        return kinds[stated]
    if answer.body.startswith(b"%PDF-") and kinds is KINDS:
        return "pdf"
    wanted = "a page, PDF or text" if kinds is KINDS else "a sitemap or feed"
    raise UnreadableError("content_type", f"{stated or 'none stated'}: not {wanted}")


async def _read_capped(response: aiohttp.ClientResponse, cap: int) -> bytes:
    """Read a body, decompressed, up to a cap: a bomb is stopped as it unpacks."""
    body = bytearray()
    async for block in response.content.iter_chunked(BLOCK_BYTES):
        body += block
        if len(body) > cap:
            raise UnreadableError("too_large", f"more than {cap} bytes (sources.web.max_page_mib)")
    return bytes(body)


def _failure(error: BaseException) -> UnreadableError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PrivateAddressError):
            return _private(cause)
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    if isinstance(error, TimeoutError):
        return UnreadableError("timeout", "no whole answer within sources.web.timeout_s")
    return UnreadableError("network", f"{type(error).__name__}: {error}"[:200])


def _private(error: PrivateAddressError) -> UnreadableError:
    hint = "set sources.web.allow_private_addresses=true for an intranet"
    return UnreadableError("private_address", f"{error}; {hint}")


def _backoff_s(attempt: int) -> float:
    """Return the seconds to wait: doubling, with jitter."""
    return random.uniform(0.1, 1.0) * FIRST_BACKOFF_S * 2.0**attempt  # noqa: S311  no secret


def retry_after_s(stated: str | None) -> float | None:
    """Return the seconds that Retry-After asks for (RFC 9110, 10.2.3), two minutes at most.

    Returns:
        Null when there is none, or it is neither a number of seconds nor a date.
    """
    stated = (stated or "").strip()
    if stated.isdigit():
        return min(float(stated), MAX_RETRY_AFTER_S)
    try:
        date = email.utils.parsedate_to_datetime(stated)
    except ValueError:
        return None
    now = datetime.datetime.now(datetime.UTC)
    aware = date if date.tzinfo else date.replace(tzinfo=datetime.UTC)
    return min(max((aware - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
