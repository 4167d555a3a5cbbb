"""Fetch web pages politely: robots.txt obeyed, one host one request at a time, everything bounded.

Hosts go side by side. A page that cannot be had becomes a drop with a reason.
"""

import asyncio
import datetime
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp

from evqa.config.data import WebConfig
from evqa.files import sha256_bytes
from evqa.records import Document, Dropped
from evqa.sources.addresses import PrivateAddressError, PublicResolver, check_literal
from evqa.sources.http_cache import CachedPage, HttpCache
from evqa.sources.raw import RawFile, UnreadableError
from evqa.sources.robots import Robots, origin_of

STAGE = "fetch"
MAX_REDIRECTS = 5
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


def fetch_all(
    urls: Sequence[str], config: WebConfig, cache_dir: Path
) -> tuple[list[RawFile], list[Dropped]]:
    """Return the pages in the order of their addresses, and drops for those that failed."""
    results = asyncio.run(_fetch_all(urls, config, HttpCache(cache_dir)))
    pages = [result for result in results if isinstance(result, RawFile)]
    return pages, [result for result in results if isinstance(result, Dropped)]


async def _fetch_all(
    urls: Sequence[str], config: WebConfig, cache: HttpCache
) -> list[RawFile | Dropped]:
    resolver = None if config.allow_private_addresses else PublicResolver()
    connector = aiohttp.TCPConnector(resolver=resolver, limit=32)
    timeout = aiohttp.ClientTimeout(total=config.timeout_s)
    headers = {"User-Agent": config.user_agent}
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers, trust_env=True
    ) as session:
        fetcher = Fetcher(session, config, cache)
        return list(await asyncio.gather(*(fetcher.page(url) for url in urls)))


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
        cached = self._cache.get(url)
        if cached is not None and not self._config.refresh:
            return self._cache.raw(cached)
        try:
            return self._cache.raw(await self._fetch(url, cached))
        except UnreadableError as error:
            return Dropped(
                stage=STAGE,
                id=Document.make_id(url, ""),
                source=url,
                reason=error.reason,
                detail=error.detail,
            )

    async def _fetch(self, url: str, cached: CachedPage | None) -> CachedPage:
        conditions = _conditions(cached)
        answer = await self._follow(url, conditions)
        if answer.status == 304 and cached is not None:
            return cached
        if answer.status != 200:
            raise UnreadableError(f"http_{answer.status}", f"the server answered {answer.status}")
        page = CachedPage(
            url=url,
            kind=_kind(answer),
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
        if not self._config.allow_private_addresses:
            try:
                check_literal(url)
            except PrivateAddressError as error:
                raise _private(error) from None
        origin = origin_of(url)
        async with self._hosts[f"robots {origin}"].lock:
            if not self._robots.knows(origin):
                await self._learn(origin)
        if not self._robots.allows(url):
            raise UnreadableError("robots", f"{origin}/robots.txt forbids it")

    async def _learn(self, origin: str) -> None:
        try:
            answer = await self._with_retries(f"{origin}/robots.txt", {}, MAX_ROBOTS_BYTES)
        except UnreadableError as error:
            if error.reason == "private_address":
                raise
            self._robots.learn(origin, 0, "")
            return
        status = 404 if answer.status in _REDIRECTS else answer.status
        self._robots.learn(origin, status, answer.body.decode("utf-8", errors="replace"))

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
                await asyncio.sleep(_backoff_s(attempt, None))
                continue
            if answer.status not in _RETRIED or is_last:
                return answer
            await asyncio.sleep(_backoff_s(attempt, answer.headers.get("Retry-After")))
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


def _kind(answer: Answer) -> str:
    stated = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if stated in KINDS:
        return KINDS[stated]
    if answer.body.startswith(b"%PDF-"):
        return "pdf"
    raise UnreadableError("content_type", f"{stated or 'none stated'}: not a page, PDF or text")


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


def _backoff_s(attempt: int, retry_after: str | None) -> float:
    """Return the seconds to wait: what the server asks, else doubling with full jitter."""
    if retry_after and retry_after.strip().isdigit():
        return min(float(retry_after), MAX_RETRY_AFTER_S)
    return random.uniform(0.1, 1.0) * FIRST_BACKOFF_S * 2.0**attempt  # noqa: S311  no secret
