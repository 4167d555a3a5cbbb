import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evqa.serving.context import token_counter
from evqa.serving.protocol import (
    ApiError,
    Limits,
    decode_json,
    parse_chat,
    parse_completion,
    parse_predict,
    present_prediction,
)

LIMITS = Limits(model_name="evqa", max_tokens=100, max_choices=4)
USER = {"role": "user", "content": "hi"}


def chat(**fields):
    body = {"model": "evqa", "messages": [USER], **fields}
    return parse_chat(json.dumps(body).encode(), LIMITS)


def completion(**fields):
    body = {"model": "evqa", "prompt": "hi", **fields}
    return parse_completion(json.dumps(body).encode(), LIMITS)


def test_the_least_request_passes_as_it_is():
    request = chat()
    assert request.body == {"model": "evqa", "messages": [USER]}
    assert (request.stream, request.include_usage) == (False, False)
    assert json.loads(request.payload()) == request.body


GOOD = {
    "max_tokens": [1, 100],
    "max_completion_tokens": [1, 100],
    "temperature": [0, 0.7, 2],
    "top_p": [0.1, 1],
    "n": [1, 4],
    "stop": ["a", ["a", "b", "c", "d"]],
    "seed": [-1, 0, 2**63 - 1],
    "presence_penalty": [-2, 2.0],
    "frequency_penalty": [0],
    "logprobs": [True, False],
    "response_format": [
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    ],
}
BAD = {
    "max_tokens": [0, 101, 1.5, "5", True, -1, [1]],
    "max_completion_tokens": [0, 101],
    "temperature": [-0.1, 2.1, "hot", True, [0]],
    "top_p": [0, 1.1, "x"],
    "n": [0, 5, 1.5, True],
    "stop": ["", ["a", ""], [1], ["a"] * 5, {"a": 1}, 3],
    "seed": [2**63, -(2**63) - 1, 2**70, 0.5, "1"],
    "presence_penalty": [2.5, "0"],
    "frequency_penalty": [-3],
    "logprobs": [1, "true"],
    "response_format": ["json", {"type": "grammar"}, {}],
    "stream": ["true", 1],
    "messages": ["hi", {}, [], ["hi"], [[]], [USER] * 2049],
    "user": [1, ""],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in GOOD.items() for v in vs])
def test_good_values_pass_unchanged(name, value):
    assert chat(**{name: value}).body[name] == value


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BAD.items() for v in vs])
def test_bad_values_are_refused_by_name(name, value):
    with pytest.raises(ApiError) as caught:
        chat(**{name: value})
    assert caught.value.status == 400
    assert caught.value.param.startswith(name)


FORBIDDEN = [
    "chat_template", "chat_template_kwargs", "api_base", "tools", "functions", "best_of", "audio",
    "logit_bias", "guided_grammar", "extra_body", "echo", "prompt", "add_generation_prompt",
    "mm_processor_kwargs", "kv_transfer_params", "priority", "documents",
]  # fmt: skip


@pytest.mark.parametrize("name", FORBIDDEN)
def test_fields_that_are_not_known_are_refused(name):
    with pytest.raises(ApiError, match=f"{name}: is not supported"):
        chat(**{name: "x"})


def test_null_counts_as_absent():
    assert chat(temperature=None, tools=None, stream=None).body == chat().body


@pytest.mark.parametrize("name", ["model", "messages"])
def test_what_is_needed_must_be_there(name):
    with pytest.raises(ApiError, match=f"{name}: must be set"):
        chat(**{name: None})


@pytest.mark.parametrize("model", ["gpt-4", "", 3, ["evqa"], "/etc/passwd"])
def test_another_model_is_a_404(model):
    with pytest.raises(ApiError) as caught:
        chat(model=model)
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "tool", "content": "x"}, "messages[0].role"),
        ({"content": "x"}, "messages[0].role"),
        ({"role": "user"}, "messages[0].content"),
        ({"role": "user", "content": 3}, "messages[0].content"),
        ({"role": "user", "content": []}, "messages[0].content"),
        ({"role": "user", "content": ""}, "messages[0].content"),
        ({"role": ["user"], "content": "x"}, "messages[0].role"),
        ({"role": "user", "content": "x", "foo": None}, "messages[0].foo"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}, "[0]"),
        ({"role": "user", "content": [{"type": "text"}]}, "[0]"),
        ({"role": "user", "content": [{"type": "text", "text": 1}]}, ".text"),
        ({"role": "user", "content": "x", "tool_calls": []}, "messages[0].tool_calls"),
    ],
)
def test_bad_messages_are_refused_by_place(message, param):
    with pytest.raises(ApiError) as caught:
        chat(messages=[message])
    assert param in caught.value.param


def test_text_parts_are_joined_and_nulls_of_clients_dropped():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request = chat(messages=[{"role": "user", "content": parts, "tool_calls": None}])
    assert request.body["messages"] == [{"role": "user", "content": "a\nb"}]


def test_a_stream_always_asks_the_engine_for_usage():
    silent, asked = chat(stream=True), chat(stream=True, stream_options={"include_usage": True})
    for request in (silent, asked):
        assert json.loads(request.payload())["stream_options"] == {"include_usage": True}
    assert (silent.include_usage, asked.include_usage) == (False, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": {}},
        {"stream": True, "stream_options": {"continuous_usage_stats": True}},
        {"top_logprobs": 2},
        {"max_tokens": 5, "max_completion_tokens": 5},
    ],
)
def test_contradictions_are_refused(fields):
    with pytest.raises(ApiError):
        chat(**fields)


def test_fields_the_engine_would_ignore_are_refused():
    limits = Limits(model_name="evqa", max_tokens=9, max_choices=1, unsupported=frozenset({"n"}))
    with pytest.raises(ApiError, match="n: is not supported by the engine"):
        parse_chat(json.dumps({**chat().body, "n": 1}).encode(), limits)


def test_a_prompt_over_the_context_is_refused_where_the_engine_would_not():
    limits = Limits(
        model_name="evqa",
        max_tokens=5,
        max_choices=1,
        count_tokens=lambda prompt: len(str(prompt)),
    )
    with pytest.raises(ApiError) as caught:
        limits.check_context(chat())
    assert caught.value.code == "context_length_exceeded"
    LIMITS.check_context(chat())


def test_tokens_of_messages_and_texts_are_counted(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    assert token_counter(tmp_path) is None
    model = tokenizers.models.WordLevel({"a": 0, "?": 1}, unk_token="?")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    count = token_counter(tmp_path)
    assert count("a a b") == 3
    assert count([{"role": "user", "content": "a a"}, {"role": "user", "content": "b"}]) == 3


def test_the_clients_user_is_not_passed_on():
    assert chat(user="someone").body == chat().body


def test_completions_have_their_own_fields():
    assert completion(echo=True, logprobs=2).body["logprobs"] == 2
    for fields in ({"prompt": [1, 2]}, {"prompt": ""}, {"logprobs": True}, {"messages": [USER]}):
        with pytest.raises(ApiError):
            completion(**fields)


def test_predict_becomes_a_chat():
    body = parse_predict(b'{"input_text": "hi"}', LIMITS).body
    assert body == {"model": "evqa", "messages": [USER], "temperature": 0}
    for data in (
        b"{}",
        b'{"input_text": ""}',
        b'{"input_text": 1}',
        b'{"input_text": "a", "x": 1}',
    ):
        with pytest.raises(ApiError):
            parse_predict(data, LIMITS)


def test_a_prediction_is_presented_plainly():
    choice = {"message": {"content": "a"}, "finish_reason": "length"}
    answer = {"model": "evqa", "choices": [choice], "usage": {}}
    expected = {"output_text": "a", "finish_reason": "length", "model": "evqa"}
    assert present_prediction(answer) == expected
    nothing = {"output_text": "", "finish_reason": None, "model": ""}
    assert present_prediction({"choices": [{"message": {"content": None}}]}) == nothing


AWFUL = {
    "empty": b"",
    "not UTF-8": b'{"model": "\xff"}',
    "a list": b"[]",
    "a number": b"3",
    "cut": b'{"model": "evqa"',
    "NaN": b'{"temperature": NaN}',
    "infinite": b'{"temperature": -Infinity}',
    "deep": b'{"a":' * 100 + b"1" + b"}" * 100,
    "very deep": b"[" * 200_000,
    "wide and deep": b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
    "a huge integer": b'{"seed": ' + b"9" * 5000 + b"}",
    "a byte order mark": b"\xef\xbb\xbf{}",
}


@pytest.mark.parametrize("data", AWFUL.values(), ids=AWFUL.keys())
def test_awful_bodies_are_a_400(data):
    with pytest.raises(ApiError) as caught:
        decode_json(data)
    assert caught.value.status == 400


@pytest.mark.parametrize("text", [b"\\ud800", b"a\\udfff"])
def test_half_a_surrogate_pair_never_goes_upstream(text):
    data = b'{"model": "evqa", "messages": [{"role": "user", "content": "%b"}]}' % text
    with pytest.raises(ApiError, match="not JSON"):
        parse_chat(data, LIMITS)


def test_numbers_too_large_for_a_float_never_go_upstream():
    schema = b'{"type": "json_schema", "json_schema": {"name": "x", "schema": {"maximum": 1e999}}}'
    data = b'{"model": "evqa", "messages": [{"role":"user","content":"x"}], "response_format": %b}'
    with pytest.raises(ApiError, match="not JSON"):
        parse_chat(data % schema, LIMITS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
known_fields = st.sampled_from([*GOOD, *BAD, *FORBIDDEN])


def attempt(work):
    try:
        return work()
    except ApiError as error:
        return error


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(known_fields, json_values), st.sampled_from([parse_chat, parse_completion]))
def test_any_json_is_parsed_or_refused_and_what_passes_can_be_sent(fields, parse):
    body = {"model": "evqa", "messages": [USER], "prompt": "x", **fields}
    outcome = attempt(lambda: parse(json.dumps(body).encode(), LIMITS).payload())
    if isinstance(outcome, ApiError):
        assert outcome.status in (400, 404)
    else:
        sent = json.loads(outcome)
        assert all(not isinstance(v, float) or math.isfinite(v) for v in sent.values())


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data):
    outcome = attempt(lambda: decode_json(data))
    assert isinstance(outcome, dict) or outcome.status == 400


def test_errors_have_openais_shape():
    error = ApiError(429, "slow down", "rate_limit_error", code="x", param="y", retry_after_s=3)
    assert json.loads(error.body("req_1"))["error"] == {
        "message": "slow down",
        "type": "rate_limit_error",
        "param": "y",
        "code": "x",
        "request_id": "req_1",
    }
    assert error.headers() == [(b"retry-after", b"3"), (b"retry-after-ms", b"3000")]
    assert ApiError(401, "").headers() == [(b"www-authenticate", b"Bearer")]
    assert ApiError(405, "").headers() == [(b"allow", b"POST")]
