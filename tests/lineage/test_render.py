import html.parser
import json

import pytest
from traced_world import ANSWER, QUOTE, REQUEST, request_record, write_requests

from evqa.lineage.render import as_html, as_json, as_text
from evqa.lineage.trace import trace


@pytest.fixture
def found(world):
    return trace(world.outputs, world.registry, world.root, REQUEST)


def test_the_text_tells_the_whole_chain(found):
    text = as_text(found)
    for fact in (
        "✓ request    req-1",
        "✓ version    evqa/1",
        "nearest training pairs (near in words; not the cause of the answer)",
        f"quote     {QUOTE}",
        "licence   CC-BY-4.0",
        "page      2",
        "author    A. Writer",
        "date      2025-03-01",
        "source    https://example.org/wallboxes",
        "git commit   abc123",
    ):
        assert fact in text


def test_a_broken_link_is_marked_with_its_problem(world):
    (world.run / "manifest.json").write_text("{}")
    text = as_text(trace(world.outputs, world.registry, world.root, REQUEST))
    assert "✗ run" in text
    assert "manifest.json: content has changed" in text


def test_json_is_plain(found):
    told = json.loads(json.dumps(as_json(found)))
    assert told["answer"] == ANSWER
    assert told["problems"] == []
    assert told["evidence"][0]["origin"]["licence"] == "CC-BY-4.0"
    assert told["links"][0]["name"] == "request"


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_page_stands_alone_and_shows_text_as_text(world):
    evil = '<script>alert("x")</script> draws 32 A'
    from evqa.files import sha256_bytes

    digest = sha256_bytes(evil.encode())
    write_requests(world, request_record(answer=evil, answer_sha256=digest))
    page = Page()
    page.feed(as_html(trace(world.outputs, world.registry, world.root, REQUEST)))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "link", "iframe"}
    assert not [a for _, attrs in page.tags for a in attrs if a in ("src", "href", "onclick")]
    assert evil in page.text
    assert QUOTE in page.text
    assert ("meta", {"name": "viewport", "content": "width=device-width,initial-scale=1"}) in (
        page.tags
    )


def test_an_imported_pair_has_no_document_and_says_so(world):
    from records_for_tests import pair

    from evqa.lineage.render import _origin
    from evqa.lineage.trace import Evidence

    imported = Evidence(similarity=0.5, pair=pair("q", "a"), chunk=None, document=None, page=None)
    assert _origin(imported) == {"origin": "imported pair, no document"}
