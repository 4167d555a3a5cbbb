"""Fetching from a local server that misbehaves in every way we know."""

import gzip
import itertools
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from evqa.config.data import SourcesConfig, WebConfig
from evqa.errors import UserError
from evqa.sources import fetch
from evqa.sources.addresses import is_public
from evqa.sources.collect import collect, list_urls
from evqa.sources.fetch import fetch_all
from evqa.sources.http_cache import HttpCache
from evqa.sources.robots import Robots

REDIRECTS = {
    "/loop": "/loop",
    "/moved": "/good",
    "/to-secret": "/secret",
    "/to-file": "file:///etc/passwd",
}
BODIES = {
    "/image": (b"\x89PNG", "image/png"),
    "/pdf": (b"%PDF-1.4", "application/octet-stream"),
}
PAGE = b"<html><body><p>A page about plugs.</p></body></html>"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.seen.append((self.path, dict(self.headers), time.monotonic()))
        if self.path == "/robots.txt" and server.robots_location:
            return self.answer(server.robots_status, b"", Location=server.robots_location)
        if self.path in server.listings:
            return self.answer(200, server.listings[self.path], "application/xml")
        if self.path == "/robots.txt":
            return self.answer(server.robots_status, server.robots, "text/plain")
        return self.passing()

    def passing(self):
        server = self.server
        if self.path == "/good":
            if self.headers.get("If-None-Match") == '"v1"':
                return self.answer(304, b"")
            return self.answer(200, PAGE, ETag='"v1"')
        if self.path == "/flaky":
            server.tries += 1
            return self.answer(503 if server.tries < 3 else 200, PAGE)
        if self.path == "/limited":
            server.tries += 1
            return self.answer(
                429 if server.tries < 2 else 200, PAGE, **{"Retry-After": server.pause}
            )
        return self.odd()

    def odd(self):
        if self.path in REDIRECTS:
            return self.answer(302, b"", Location=REDIRECTS[self.path])
        if self.path in BODIES:
            body, kind = BODIES[self.path]
            return self.answer(200, body, kind)
        if self.path == "/bomb":
            body = gzip.compress(b"0" * 5_000_000)
            return self.answer(200, body, **{"Content-Encoding": "gzip"})
        if self.path == "/slow":
            time.sleep(1.5)
            return self.answer(200, PAGE)
        return self.endless() if self.path == "/endless" else self.answer(404, b"no")

    def endless(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            return

    def answer(self, status, body, kind="text/html; charset=utf-8", **headers):
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            return

    def log_message(self, *_args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetch, "FIRST_BACKOFF_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.seen, found.tries = [], 0
    found.listings, found.pause, found.robots_location = {}, "0", None
    found.robots, found.robots_status = b"User-agent: *\nDisallow: /secret", 200
    found.url = f"http://127.0.0.1:{found.server_port}"
    thread = threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def get(server, tmp_path, *paths, **fields):
    values = {
        "allow_private_addresses": True,
        "requests_per_s": 100.0,
        "timeout_s": 0.7,
        "max_page_mib": 1.0,
        "max_retries": 2,
    }
    config = WebConfig(**{**values, **fields})
    return fetch_all([server.url + path for path in paths], config, tmp_path / "http")


def test_a_page_is_fetched_once_with_our_name(server, tmp_path):
    (page,), failed = get(server, tmp_path, "/good", user_agent="evqa-test (+mail@x.example)")
    assert failed == []
    assert page.path.read_bytes() == PAGE
    assert (page.source, page.kind) == (f"{server.url}/good", "html")
    assert page.fetched.endswith("+00:00")
    assert server.seen[-1][1]["User-Agent"] == "evqa-test (+mail@x.example)"
    again, _ = get(server, tmp_path, "/good")
    assert again == [page]
    assert [path for path, _, _ in server.seen] == ["/robots.txt", "/good"]


def test_refreshing_asks_on_condition_and_keeps_what_has_not_changed(server, tmp_path):
    (first,), _ = get(server, tmp_path, "/good")
    (second,), _ = get(server, tmp_path, "/good", refresh=True)
    assert second == first
    assert server.seen[-1][1]["If-None-Match"] == '"v1"'


def test_a_damaged_cache_entry_is_fetched_again(server, tmp_path):
    (page,), _ = get(server, tmp_path, "/good")
    page.path.write_bytes(b"damaged")
    (again,), _ = get(server, tmp_path, "/good")
    assert again.path.read_bytes() == PAGE


@pytest.mark.parametrize("path", ["/flaky", "/limited", "/moved"])
def test_passing_trouble_is_overcome(server, tmp_path, path):
    (page,), failed = get(server, tmp_path, path)
    assert (page.path.read_bytes(), failed) == (PAGE, [])


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/secret", "robots"),
        ("/to-secret", "robots"),
        ("/to-file", "redirect"),
        ("/loop", "redirect_loop"),
        ("/image", "content_type"),
        ("/bomb", "too_large"),
        ("/endless", "too_large"),
        ("/slow", "timeout"),
        ("/gone", "http_404"),
    ],
)
def test_every_failure_has_its_reason(server, tmp_path, path, reason):
    pages, (drop,) = get(server, tmp_path, path, max_retries=0)
    assert pages == []
    assert (drop.stage, drop.source, drop.reason) == ("fetch", server.url + path, reason)


def test_a_pdf_is_known_by_its_first_bytes(server, tmp_path):
    (page,), _ = get(server, tmp_path, "/pdf")
    assert page.kind == "pdf"


def test_a_port_that_nobody_serves_is_a_network_failure(server, tmp_path):
    config = WebConfig(allow_private_addresses=True, max_retries=0, requests_per_s=100.0)
    pages, (drop,) = fetch_all(["http://127.0.0.1:9/x"], config, tmp_path)
    assert pages == []
    assert drop.reason in ("network", "robots")


def test_private_addresses_are_refused_before_a_byte_is_sent(server, tmp_path):
    urls = [f"{server.url}/good", f"http://localhost:{server.server_port}/good"]
    config = WebConfig(requests_per_s=100.0, max_retries=0)
    pages, failed = fetch_all(urls, config, tmp_path)
    assert pages == []
    assert [drop.reason for drop in failed] == ["private_address"] * 2
    assert "allow_private_addresses" in failed[0].detail
    assert server.seen == []


def test_one_host_is_asked_at_its_pace(server, tmp_path):
    get(server, tmp_path, "/good", "/gone", "/pdf", requests_per_s=10.0, max_retries=0)
    times = [at for _, _, at in server.seen]
    gaps = [right - left for left, right in itertools.pairwise(times)]
    assert min(gaps) > 0.08


def test_a_site_whose_robots_file_fails_is_left_alone(server, tmp_path):
    server.robots_status = 500
    _, (drop,) = get(server, tmp_path, "/good", max_retries=0)
    assert drop.reason == "robots"


def test_a_site_without_a_robots_file_allows_everything(server, tmp_path):
    server.robots_status = 404
    pages, _ = get(server, tmp_path, "/good")
    assert len(pages) == 1


def test_results_keep_the_order_of_the_addresses(server, tmp_path):
    pages, failed = get(server, tmp_path, "/pdf", "/gone", "/good", max_retries=0)
    assert [page.source.rpartition("/")[2] for page in pages] == ["pdf", "good"]
    assert [drop.source.rpartition("/")[2] for drop in failed] == ["gone"]


def test_urls_come_from_the_list_and_the_file_each_once(tmp_path):
    path = tmp_path / "urls.txt"
    path.write_text("# a comment\nhttps://a.example/1\n\nhttps://a.example/2#part # note\n")
    config = SourcesConfig(web=WebConfig(urls=["https://a.example/1"], urls_file=str(path)))
    assert list_urls(config) == ["https://a.example/1", "https://a.example/2#part"]


def test_collecting_joins_folders_and_pages(server, tmp_path):
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "a.html").write_bytes(PAGE)
    web = WebConfig(
        folder=str(tmp_path / "html"), urls=[f"{server.url}/good", f"{server.url}/gone"],
        allow_private_addresses=True, requests_per_s=100.0,
    )  # fmt: skip
    files, failed = collect(SourcesConfig(web=web), tmp_path / "http")
    assert [file.source for file in files] == ["a.html", f"{server.url}/good"]
    assert [drop.reason for drop in failed] == ["http_404"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("224.0.0.1", False),
    ],
)
def test_only_the_public_internet_is_public(address, public):
    assert is_public(address) is public


def test_robots_rules():
    robots = Robots("evqa/0.1")
    robots.learn("http://a", 200, "User-agent: *\nDisallow: /x\nCrawl-delay: 900")
    assert robots.allows("http://a/y")
    assert not robots.allows("http://a/x/1")
    assert robots.crawl_delay_s("http://a") == 60.0
    robots.learn("http://b", 0, "")
    assert not robots.allows("http://b/")
    robots.learn("http://c", 403, "")
    assert robots.allows("http://c/")
    assert robots.crawl_delay_s("http://c") == 0.0


def test_a_cache_that_holds_nothing_gives_nothing(tmp_path):
    assert HttpCache(tmp_path / "none").get("http://a/") is None


SITEMAP = """<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<url><loc>{base}/good</loc></url><url><loc> /gone </loc></url><url><loc>{base}/good</loc></url>
</urlset>"""
INDEX = """<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<sitemap><loc>{base}/map.xml</loc></sitemap><sitemap><loc>{base}/index.xml</loc></sitemap>
</sitemapindex>"""
RSS = "<rss><channel><link>{base}/</link><item><link>{base}/good</link></item></channel></rss>"
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><link href="{base}/"/><entry>
<link rel="self" href="{base}/self"/><link href="/good"/></entry></feed>"""


@pytest.mark.parametrize("text", [SITEMAP, INDEX, RSS, ATOM, "{base}/good\n"])
def test_listings_lead_to_pages(server, tmp_path, text):
    server.listings = {
        "/start.xml": text.format(base=server.url).encode(),
        "/map.xml": SITEMAP.format(base=server.url).encode(),
        "/index.xml": INDEX.format(base=server.url).encode(),
    }
    config = WebConfig(allow_private_addresses=True, requests_per_s=100.0, max_retries=0)
    pages, failed = fetch_all([], config, tmp_path, [f"{server.url}/start.xml"])
    assert [page.source for page in pages] == [f"{server.url}/good"]
    assert {drop.reason for drop in failed} <= {"http_404"}


def test_gzipped_sitemaps_are_unpacked_and_choices_are_obeyed(server, tmp_path):
    server.listings = {"/map.xml": gzip.compress(SITEMAP.format(base=server.url).encode())}
    values = {"allow_private_addresses": True, "requests_per_s": 100.0, "max_retries": 0}
    listing = [f"{server.url}/map.xml"]
    pages, failed = fetch_all([], WebConfig(url_pattern="go+d", **values), tmp_path, listing)
    assert (len(pages), failed) == (1, [])
    _, failed = fetch_all([], WebConfig(url_pattern="gone", **values), tmp_path, listing)
    assert [drop.reason for drop in failed] == ["http_404"]
    pages, failed = fetch_all([], WebConfig(max_urls=1, **values), tmp_path, listing)
    assert (len(pages), failed) == (1, [])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html><body>no</body></html>", "not_a_listing"),
        (b"nothing here", "not_a_listing"),
        (b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><rss>&a;</rss>", None),
        (gzip.compress(b"x", mtime=0)[:12], "not_a_listing"),
        (b"\x1f\x8b broken", "damaged"),
        (gzip.compress(b"0" * 60_000_000), "too_large"),
    ],
)
def test_what_is_no_listing_has_its_reason(server, tmp_path, body, reason):
    server.listings = {"/map.xml": body}
    config = WebConfig(allow_private_addresses=True, requests_per_s=100.0, max_retries=0)
    pages, failed = fetch_all([], config, tmp_path, [f"{server.url}/map.xml"])
    assert pages == []
    assert [drop.reason for drop in failed] == ([reason] if reason else [])


def test_a_redirected_robots_file_is_obeyed(server, tmp_path):
    server.robots_status, server.robots_location = 301, "/robots-moved.txt"
    server.listings = {"/robots-moved.txt": b"User-agent: *\nDisallow: /good"}
    _, (drop,) = get(server, tmp_path, "/good", max_retries=0)
    assert drop.reason == "robots"


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [(None, None), ("", None), ("soon", None), ("7", 7.0), ("999999", 120.0),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2093 07:28:00 GMT", 120.0)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(stated, seconds):
    assert fetch.retry_after_s(stated) == seconds


def test_a_host_that_asks_for_a_pause_gets_it_for_every_page(server, tmp_path):
    server.pause = "1"
    started = time.monotonic()
    pages, failed = get(server, tmp_path, "/limited", "/good", max_retries=1, timeout_s=5.0)
    assert (len(pages), failed) == (2, [])
    assert time.monotonic() - started > 0.9


def test_an_interrupted_run_fetches_only_what_is_missing(server, tmp_path):
    get(server, tmp_path, "/good")
    before = len(server.seen)
    pages, _ = get(server, tmp_path, "/good", "/pdf")
    assert len(pages) == 2
    assert [path for path, _, _ in server.seen[before:]] == ["/robots.txt", "/pdf"]


def test_addresses_of_listings_are_checked(tmp_path):
    with pytest.raises(UserError, match="not a web address"):
        collect(SourcesConfig(web=WebConfig(sitemaps=["/etc/passwd"])), tmp_path)
    with pytest.raises(UserError, match="not a web address"):
        list_urls(SourcesConfig(web=WebConfig(urls=["https://"])))


def test_a_pattern_that_is_none_is_named():
    (problem,) = WebConfig(url_pattern="(").conflicts()
    assert problem[0] == "url_pattern"
