"""Text and Markdown, folders in a fixed order, and drops instead of exceptions."""

import pytest

from evqa.config.data import SourcesConfig
from evqa.errors import UserError
from evqa.records import Document, Dropped
from evqa.sources import read
from evqa.sources.folder import list_folder
from evqa.sources.raw import UnreadableError
from evqa.sources.text import markdown_text, read_text


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("# Title #", "# Title"),
        ("Title\n=====\n\nSub\n---", "# Title\n\n## Sub"),
        ("one\ntwo\n\nthree", "one two\n\nthree"),
        ("* a\n+ b\n1. c", "- a\n- b\n- c"),
        ("- a\n  goes on", "- a goes on"),
        ("text\n- a", "text\n\n- a"),
        ("- a\ntext", "- a\n\ntext"),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", "| a | b |\n| 1 | 2 |"),
        ("see [the **guide**](http://x.example/a_(b)) ![img](y.png)", "see the guide"),
        ("**bold** and *thin* and `code` and 2 * 3 * 4", "bold and thin and code and 2 * 3 * 4"),
        ("```yaml\n# no heading\na: 1\n```\nafter", "    # no heading\n    a: 1\nafter"),
        ("<!-- hidden -->shown<br/>", "shown"),
        ("import X from 'y';\n\ntext", "\n\ntext"),
        ("> quoted", "quoted"),
    ],
)
def test_markdown_becomes_our_text(markdown, text):
    assert markdown_text(markdown).rstrip() == text.rstrip()


def test_front_matter_is_metadata():
    data = b"""---
title: "A guide"
authors: Jane Doe; Max
published: 2024-03-12
canonical: https://x.example/a
license: CC BY 4.0
language: en-GB
---
# Heading

Text."""
    found = read_text(data, "a.md")
    assert (found.title, found.authors, found.published) == (
        "A guide",
        ["Jane Doe", "Max"],
        "2024-03-12",
    )
    assert (found.url, found.license, found.language) == ("https://x.example/a", "CC-BY-4.0", "en")
    assert found.pages[0].startswith("# Heading")


def test_plain_text_keeps_its_lines():
    found = read_text(b"First line\r\n  second\r\n\fnext page", "a.txt")
    assert found.pages == ["First line\nsecond\n\n\nnext page"]
    assert found.title == "First line"


@pytest.mark.parametrize(
    ("data", "reason"), [(b" ", "empty_file"), (b"\x00\x01\x02abc", "binary")]
)
def test_what_is_no_text_has_a_reason(data, reason):
    with pytest.raises(UnreadableError) as error:
        read_text(data, "a.txt")
    assert error.value.reason == reason


def test_a_folder_is_read_in_order_and_hidden_files_are_not(tmp_path):
    for name in ("b.md", "a/z.TXT", "a/y.md", ".hidden/x.md", ".x.md", "c.html", "d.pdf"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    found = [raw.source for raw in list_folder(str(tmp_path), "text", "k")]
    assert found == ["a/y.md", "a/z.TXT", "b.md"]
    assert [raw.source for raw in list_folder(str(tmp_path), "pdf", "k")] == ["d.pdf"]


def test_a_missing_folder_is_named_with_its_key(tmp_path):
    with pytest.raises(UserError, match=r"sources\.pdf\.folder=.*gone: does not exist"):
        list_folder(str(tmp_path / "gone"), "pdf", "sources.pdf.folder")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is not a folder"):
        list_folder(str(tmp_path / "file"), "pdf", "sources.pdf.folder")


def same(document):
    """Can be pickled, so that a worker can be told to do it."""
    return document


def raw_files(tmp_path, **contents):
    for name, content in contents.items():
        (tmp_path / f"{name}.md").write_text(content)
    return list_folder(str(tmp_path), "text", "k")


def test_every_file_gives_a_document_or_a_drop(tmp_path):
    files = raw_files(tmp_path, a="# A\n\ntext", b="", c="words")
    found = list(read.read_all(files, SourcesConfig(), same))
    assert [type(result) for result in found] == [Document, Dropped, Document]
    assert (found[1].source, found[1].reason, found[1].stage) == ("b.md", "empty_file", "read")
    assert found[0].id == Document.make_id("a.md", found[0].sha256)


def test_a_parser_that_raises_anything_costs_only_its_document(tmp_path, monkeypatch):
    def explode(_data, _name):
        raise KeyError("odd\nbytes")

    monkeypatch.setattr(read, "read_text", explode)
    (found,) = read.read_all(raw_files(tmp_path, a="x"), SourcesConfig(), same)
    assert (found.reason, found.detail) == ("damaged", "KeyError: 'odd\\nbytes'")


def test_a_parser_that_kills_its_process_costs_only_its_document(tmp_path, monkeypatch):
    from concurrent.futures.process import BrokenProcessPool

    def pooled(files, config, _then, _num_workers):
        for file in files:
            if file.source == "b.md":
                raise BrokenProcessPool
            yield read.read_one(file, config)

    monkeypatch.setattr(read, "_pooled", pooled)
    files = raw_files(tmp_path, a="x one", b="y two", c="z three")
    found = list(read.read_all(files, SourcesConfig(num_workers=2), same))
    assert [getattr(result, "reason", "read") for result in found] == [
        "read",
        "reader_crashed",
        "read",
    ]


def test_a_parser_that_takes_for_ever_costs_only_its_document(tmp_path, monkeypatch):
    def dawdle(_data, _name):
        while True:
            pass

    monkeypatch.setattr(read, "read_text", dawdle)
    files = raw_files(tmp_path, a="x")
    (found,) = read.read_all(files, SourcesConfig(max_parse_s=0.05), same)
    assert found.reason == "too_slow"
    assert "max_parse_s=0.05" in found.detail


def test_documents_are_read_as_they_are_taken(tmp_path):
    """However many files there are, only a few a worker are in flight."""
    files = raw_files(tmp_path, **{f"f{n}": f"text {n}" for n in range(40)})
    read_files = read.read_all(files, SourcesConfig(num_workers=1), same)
    first = next(read_files)
    for number in range(1, 40):
        (tmp_path / f"f{number}.md").unlink(missing_ok=True)
    second = next(read_files)
    assert isinstance(first, Document)
    assert isinstance(second, Dropped)  # it was not read ahead


def test_the_pool_keeps_the_order_and_bounds_what_is_in_flight(tmp_path, monkeypatch):
    from concurrent.futures import Future

    from evqa.sources.read import IN_FLIGHT_PER_WORKER

    class Pool:
        submitted = 0

        def __init__(self, *_args, **_options):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_args):
            pass

        def submit(self, function, *arguments):
            Pool.submitted += 1
            future = Future()
            future.set_result(function(*arguments))
            return future

    monkeypatch.setattr(read, "ProcessPoolExecutor", Pool)
    files = raw_files(tmp_path, **{f"f{n:02}": f"text {n}" for n in range(40)})
    results = read.read_all(files, SourcesConfig(num_workers=2), same)
    taken = []
    for done, result in enumerate(results, start=1):
        taken.append(result.source)
        assert Pool.submitted - done < IN_FLIGHT_PER_WORKER * 2
    assert taken == [file.source for file in files]


def test_workers_are_chosen_by_size_unless_told(tmp_path):
    files = raw_files(tmp_path, a="x")
    assert read.choose_num_workers(files, SourcesConfig()) == 1
    assert read.choose_num_workers(files, SourcesConfig(num_workers=3)) == 3


def test_pdf_pages_are_offsets_into_the_text(tmp_path):
    from evqa.sources.raw import Content, RawFile

    raw = RawFile(source="a.pdf", kind="pdf", path=tmp_path, sha256="0" * 64, num_bytes=1)
    found = read.to_document(raw, Content(pages=["one", "", "three"]))
    assert [found.text[start:end] for start, end in found.pages] == ["one", "", "three"]
