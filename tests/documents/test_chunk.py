"""Chunks: exact stretches of the text that respect its structure."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from records_for_tests import document

from evqa.config.data import DocumentsConfig
from evqa.documents.chunk import chunk_document
from evqa.segmentation import num_words

SENTENCE = "A wallbox of this kind needs a circuit of its own. "


def chunks_of(text, **settings_):
    return chunk_document(document(text), DocumentsConfig(**settings_))


def test_a_section_is_a_chunk_with_its_headings():
    text = (
        "# Guide\n\nIntro words.\n\n## AC\n\nAlternating.\n\n### Type 2\n\nSeven pins.\n\n"
        "## DC\n\nDirect."
    )
    found = chunks_of(text)
    assert [(c.text.split("\n")[-1], c.headings) for c in found] == [
        ("Intro words.", ["Guide"]),
        ("Alternating.", ["Guide", "AC"]),
        ("Seven pins.", ["Guide", "AC", "Type 2"]),
        ("Direct.", ["Guide", "DC"]),
    ]


def test_headings_without_text_go_with_what_follows():
    found = chunks_of("# Guide\n\n## AC\n\nText of it.")
    assert len(found) == 1
    assert found[0].headings == ["Guide", "AC"]


def test_long_prose_is_cut_between_sentences():
    found = chunks_of(SENTENCE * 40, chunk_words=50)
    assert len(found) > 5
    assert all(c.text.startswith("A wallbox") and c.text.endswith("own.") for c in found)
    assert all(c.num_words <= 50 for c in found)


def test_a_table_is_kept_whole_or_cut_between_rows():
    row = "| Type 2 | seven pins | 43 kW |\n"
    assert len(chunks_of("| a | b | c |\n" + row * 5, chunk_words=40)) == 1
    found = chunks_of("| a | b | c |\n" + row * 60, chunk_words=40)
    assert len(found) > 3
    assert all(c.text.startswith("|") and c.text.endswith("|") for c in found)


def test_overlap_repeats_whole_sentences():
    found = chunks_of(SENTENCE * 20, chunk_words=40, chunk_overlap_words=12)
    for left, right in itertools.pairwise(found):
        assert right.start < left.end
        assert num_words(left.text[right.start - left.start :]) <= 12


def test_a_pdf_chunk_knows_its_page():
    text = "First page text.\n\n## Second\n\nSecond page text."
    pages = [[0, 16], [18, len(text)]]
    found = chunk_document(document(text, kind="pdf", pages=pages), DocumentsConfig())
    assert [c.page for c in found] == [1, 2]


def test_an_empty_document_has_no_chunk():
    assert chunks_of("") == []
    assert chunks_of("\n\n") == []


BLOCKS = st.sampled_from(
    [
        "# H",
        "## Sub",
        "Prose one. Prose two is longer! Three?",
        "- item",
        "| a | b |",
        "",
        "    code",
    ]
)


@settings(max_examples=200)
@given(st.lists(BLOCKS, max_size=25), st.integers(20, 60), st.integers(0, 19))
def test_chunks_are_exact_and_lose_no_word(blocks, size, overlap):
    text = "\n".join(blocks)
    found = chunks_of(text, chunk_words=size, chunk_overlap_words=overlap)
    assert all(text[c.start : c.end] == c.text for c in found)
    assert all(c.num_words == num_words(c.text) > 0 for c in found)
    covered = {i for c in found for i in range(c.start, c.end)}
    assert all(i in covered for i, sign in enumerate(text) if not sign.isspace())
    starts = [c.start for c in found]
    assert starts == sorted(starts)
    assert len({c.id for c in found}) == len(found)
