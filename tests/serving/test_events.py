import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evqa.serving.events import EventStream, error_event, parse_events


def event(**fields):
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def delta(text, **choice):
    return event(choices=[{"index": 0, "delta": {"content": text}, **choice}])


KEYS = ["id", "choices", "delta", "content", "text", "index", "usage", "completion_tokens"]
USAGE = event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 2})
DONE = b"data: [DONE]\n\n"
WHOLE = delta("a\n\nb") + delta("ü", finish_reason="stop") + USAGE + DONE


def feed(pieces, **options):
    options = {"keep_usage": True, "one_choice": True, **options}
    stream = EventStream(**options)
    return stream, b"".join(stream.feed(piece) for piece in pieces)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=20))
def test_wherever_it_is_cut_the_same_comes_out(cuts):
    edges = [0, *sorted(cuts), len(WHOLE)]
    pieces = [WHOLE[a:b] for a, b in itertools.pairwise(edges)]
    stream, out = feed(pieces)
    assert out == WHOLE
    assert stream.complete
    assert stream.text() == "a\n\nbü"
    assert stream.usage == {"prompt_tokens": 7, "completion_tokens": 2}


@given(st.integers(0, len(WHOLE) - 1))
def test_whatever_is_missing_at_the_end_is_noticed_and_only_whole_events_pass(length):
    stream, out = feed([WHOLE[:length]])
    assert not stream.complete
    assert out == b"" or out.endswith(b"\n\n")


def test_usage_is_kept_back_and_remembered():
    stream, out = feed([WHOLE], keep_usage=False)
    assert out == WHOLE.replace(USAGE, b"")
    assert stream.num_tokens() == 2


def test_usage_beside_choices_is_passed_on():
    last = event(choices=[{"index": 0, "delta": {}}], usage={"completion_tokens": 1})
    stream, out = feed([last], keep_usage=False)
    assert out == last
    assert stream.usage == {"completion_tokens": 1}


def test_words_of_an_answer_are_never_taken_for_usage():
    quoted = delta('{"choices":[],"usage":{"completion_tokens":99}}')
    stream, out = feed([quoted], keep_usage=False)
    assert out == quoted
    assert stream.usage is None


def test_windows_line_ends_are_understood():
    stream, out = feed([WHOLE.replace(b"\n\n", b"\r\n\r\n")], keep_usage=False)
    assert b"usage" not in out
    assert stream.complete
    assert stream.text() == "a\n\nbü"


def test_without_usage_events_with_text_are_counted():
    stream, _ = feed([delta(""), delta("a"), delta("b")])
    assert stream.num_tokens() == 2


def test_choices_are_put_together_one_after_the_other():
    pieces = [
        event(choices=[{"index": index, "text": text}])
        for index, text in [(1, "c"), (0, "a"), (1, "d"), (0, "b")]
    ]
    assert feed(pieces, one_choice=False)[0].text() == "abcd"


@given(st.lists(st.text(st.characters(codec="utf-8"))), st.booleans())
def test_the_quick_way_reads_what_the_thorough_way_reads(texts, spaced):
    separators = (", ", ": ") if spaced else (",", ":")
    events = [
        b"data: " + json.dumps({"id": "x", "choices": [choice]}, separators=separators).encode()
        for text in texts
        for choice in ({"index": 0, "delta": {"content": text}}, {"index": 0, "text": text})
    ]
    pieces = [event + b"\n\n" for event in events]
    quick, out = feed(pieces)
    thorough, _ = feed(pieces, one_choice=False)
    assert out == b"".join(pieces)
    assert quick.text() == thorough.text() == "".join(text * 2 for text in texts)
    assert quick.num_tokens() == thorough.num_tokens()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), values), st.booleans(), st.booleans())
def test_whatever_the_engine_says_it_is_read_without_an_error(fields, one_choice, keep_usage):
    stream, _ = feed([event(**fields)], one_choice=one_choice, keep_usage=keep_usage)
    assert isinstance(stream.text(), str)
    assert isinstance(stream.num_tokens(), int)


def test_an_engine_that_does_not_say_done_must_give_a_reason():
    unfinished, _ = feed([delta("a")], says_done=False)
    finished, _ = feed([delta("a"), delta("", finish_reason="stop")], says_done=False)
    assert (unfinished.complete, finished.complete) == (False, True)
    assert finished.closing == DONE
    assert feed([WHOLE])[0].closing == b""


@pytest.mark.parametrize("says_done", [False, True])
def test_what_follows_the_end_must_be_whole_too(says_done):
    whole = delta("", finish_reason="stop") + (DONE if says_done else b"")
    stream, _ = feed([whole, b'data: {"cho'], says_done=says_done)
    assert not stream.complete


def test_a_finish_reason_does_not_stand_for_done_where_done_is_said():
    assert not feed([delta("", finish_reason="stop")])[0].complete


def test_an_event_without_end_is_refused():
    stream = EventStream(keep_usage=True)
    for _ in range(8):
        assert stream.feed(b"x" * (1 << 17)) == b""
    with pytest.raises(ValueError, match="without end"):
        stream.feed(b"x")


@pytest.mark.parametrize("before", [b"", delta("a"), delta('data: {"error": 1}\n\n')])
def test_the_engines_error_is_noticed_and_what_came_before_is_passed_on(before):
    stream, out = feed([before + event(error={"message": "secret"}) + DONE])
    assert stream.failed
    assert out == before


@pytest.mark.parametrize("words", ["data: [DONE]", 'data: {"error"', "\n\ndata: [DONE]\n\n"])
def test_words_of_an_answer_are_no_events(words):
    stream, out = feed([delta(words)])
    assert out == delta(words)
    assert not stream.complete
    assert not stream.failed


def test_a_long_stream_keeps_its_text_and_not_its_events():
    stream, _ = feed([delta("ab")] * 2000)
    assert stream._passed_bytes < 20_000
    assert stream.text() == "ab" * 2000
    assert stream.num_tokens() == 2000


def test_comments_and_nonsense_are_passed_over():
    blocks = [b": ping\n\n", b"data: {\n\n", b"data: 3\n\n", DONE, b'data: {"a": 1}\n\n']
    assert list(parse_events(blocks)) == [{"a": 1}]


def test_the_error_event_is_an_event():
    assert list(parse_events([error_event(b'{"error": {}}')])) == [{"error": {}}]
