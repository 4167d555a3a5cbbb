"""What clients may ask for: OpenAI's surface, every field checked, and errors in its shape.

The body that goes upstream is built anew from fields that are known here. Nothing is accepted
that the engine would then ignore, and nothing reaches it that could steer it past the proxy
(``chat_template``, ``api_base``, media parts).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from evqa.serving.api_error import ApiError

MAX_DEPTH = 32
MAX_MESSAGES = 2048
MAX_STOPS = 4
MAX_STOP_LENGTH = 1000
MAX_TOP_LOGPROBS = 20
MIN_TOP_P = 1e-6
EXACT = 2**53  # integers of 64 bits and more arrive as floats, rounded from here on
SEEDS = (-(2**63), 2**63 - 1)
ROLES = ("system", "user", "assistant")
MESSAGE_FIELDS = frozenset({"role", "content"})
RESPONSE_FORMATS = ("text", "json_object", "json_schema")
JSON_SCHEMA_FIELDS = frozenset({"name", "schema", "description", "strict"})
# What OpenAI's API has and this server has not: clients send it as null when it is not used.
NULL_FIELDS = (
    "audio", "function_call", "functions", "logit_bias", "metadata", "modalities",
    "parallel_tool_calls", "prediction", "reasoning_effort", "service_tier", "store", "suffix",
    "tool_choice", "tools",
)  # fmt: skip
NULL_MESSAGE_FIELDS = ("audio", "function_call", "name", "refusal", "tool_call_id", "tool_calls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What this server grants.

    Attributes:
        max_tokens: Longest answer that may be asked for, tokens.
        max_choices: Largest ``n``.
        unsupported: Fields that the engine behind it would ignore.
        count_tokens: Counts a prompt's tokens where the engine does not bound it.
    """

    model_name: str
    max_tokens: int
    max_choices: int
    unsupported: frozenset[str] = frozenset()
    count_tokens: Callable[[Any], int] | None = None

    def check_context(self, request: "Request") -> None:
        """Refuse a prompt over the context, for an engine that would not.

        Raises:
            ApiError: 400.
        """
        if self.count_tokens is None:
            return
        num_tokens = self.count_tokens(request.prompt)
        if num_tokens >= self.max_tokens:
            raise ApiError(
                400,
                f"the prompt has {num_tokens} tokens or more; the context length is "
                f"{self.max_tokens}",
                code="context_length_exceeded",
            )


@dataclass(frozen=True, slots=True)
class Request:
    """A checked request.

    Attributes:
        body: What goes upstream.
        stream: Server-sent events are wanted.
        include_usage: The client wants the usage event at the end of the stream.
    """

    body: dict[str, Any]
    stream: bool = False
    include_usage: bool = False

    @property
    def prompt(self) -> Any:
        """The messages, or the text to complete."""
        return self.body.get("messages", self.body.get("prompt"))

    @property
    def model(self) -> str:
        """The model that is asked for."""
        return str(self.body["model"])

    @property
    def max_tokens(self) -> int:
        """The longest answer that is asked for, tokens; 0 where none is said."""
        body = self.body
        longest = body.get("max_completion_tokens") or body.get("max_tokens") or 0
        return int(longest) * self.num_choices

    @property
    def num_choices(self) -> int:
        """How many answers are asked for."""
        return int(self.body.get("n", 1))

    def payload(self) -> bytes:
        """Return the JSON that goes upstream; streams always report their usage."""
        body = self.body
        if self.stream:
            body = {**body, "stream_options": {"include_usage": True}}
        return orjson.dumps(body)


Checker = Callable[[str, Any, Limits], Any]


def _fail(param: str, message: str) -> NoReturn:
    raise ApiError(400, f"{param}: {message}", param=param)


def _number(low: float, high: float) -> Checker:
    def check(param: str, value: Any, _limits: Limits) -> Any:
        """Return the number when it is within its bounds."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            _fail(param, "must be a number")
        if not low <= value <= high:
            _fail(param, f"must be between {low:g} and {high:g}, but got {value}")
        return value

    return check


def _integer(param: str, value: Any, low: int, high: int) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        value = int(value)  # 1.0 is an integer in JSON Schema's eyes
    if isinstance(value, bool) or not isinstance(value, int):
        _fail(param, "must be an integer")
    if not low <= value <= high:
        _fail(param, f"must be between {low} and {high}, but got {value}")
    return value


def _boolean(param: str, value: Any, _limits: Limits) -> Any:
    if not isinstance(value, bool):
        _fail(param, "must be true or false")
    return value


def _stop(param: str, value: Any, _limits: Limits) -> Any:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops):
        _fail(param, "must be a text or a list of texts, none empty")
    if len(stops) > MAX_STOPS:
        _fail(param, f"at most {MAX_STOPS} texts, but got {len(stops)}")
    if any(len(text) > MAX_STOP_LENGTH for text in stops):
        _fail(param, f"at most {MAX_STOP_LENGTH} characters each")
    return value


def _model(param: str, value: Any, limits: Limits) -> Any:
    if value != limits.model_name:
        message = f"no model {value!r} here; this server has {limits.model_name!r}"
        raise ApiError(404, message, code="model_not_found", param=param)
    return value


def _messages(param: str, value: Any, _limits: Limits) -> Any:
    if not isinstance(value, list) or not value:
        _fail(param, "must be a list of at least one message")
    if len(value) > MAX_MESSAGES:
        _fail(param, f"at most {MAX_MESSAGES} messages, but got {len(value)}")
    return [_message(f"{param}[{index}]", message) for index, message in enumerate(value)]


def _message(param: str, message: Any) -> dict[str, str]:
    if not isinstance(message, dict):
        _fail(param, "must be an object with role and content")
    nulls = {name for name in NULL_MESSAGE_FIELDS if message.get(name, 0) is None}
    if unknown := sorted(message.keys() - MESSAGE_FIELDS - nulls):
        _fail(f"{param}.{unknown[0]}", "is not supported")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        _fail(f"{param}.role", f"must be one of {', '.join(ROLES)}")
    return {"role": message["role"], "content": _content(f"{param}.content", message)}


def _content(param: str, message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content or _fail(param, "must not be empty")
    if not isinstance(content, list) or not content:
        _fail(param, "must be a text or a list of text parts")
    return "\n".join(_part(f"{param}[{index}]", part) for index, part in enumerate(content))


def _part(param: str, part: Any) -> str:
    if not isinstance(part, dict) or part.keys() != {"type", "text"} or part["type"] != "text":
        _fail(param, "only text parts, {type: text, text: …}, are supported")
    if not isinstance(part["text"], str) or not part["text"]:
        _fail(f"{param}.text", "must be a text, not empty")
    return str(part["text"])


def _text(param: str, value: Any, _limits: Limits) -> Any:
    if not isinstance(value, str) or not value:
        _fail(param, "must be a text, not empty")
    return value


def _response_format(param: str, value: Any, _limits: Limits) -> Any:
    if not isinstance(value, dict) or value.get("type") not in RESPONSE_FORMATS:
        _fail(param, f"must be an object whose type is one of {', '.join(RESPONSE_FORMATS)}")
    fields = {"type", "json_schema"} if value["type"] == "json_schema" else {"type"}
    if value.keys() != fields:
        _fail(param, f"must hold exactly {', '.join(sorted(fields))}")
    if "json_schema" in value:
        _json_schema(f"{param}.json_schema", value["json_schema"])
    return value


def _json_schema(param: str, value: Any) -> None:
    if not isinstance(value, dict) or value.keys() - JSON_SCHEMA_FIELDS:
        _fail(param, f"must be an object of {', '.join(sorted(JSON_SCHEMA_FIELDS))}")
    if not isinstance(value.get("name"), str) or not value["name"]:
        _fail(f"{param}.name", "must be a text, not empty")
    if not isinstance(value.get("schema"), dict):
        _fail(f"{param}.schema", "must be an object")
    if not isinstance(value.get("description"), str | None):
        _fail(f"{param}.description", "must be a text")
    if not isinstance(value.get("strict"), bool | None):
        _fail(f"{param}.strict", "must be true or false")


def _stream_options(param: str, value: Any, _limits: Limits) -> Any:
    if not isinstance(value, dict) or value.keys() != {"include_usage"}:
        _fail(param, "must be an object with include_usage")
    return {"include_usage": _boolean(f"{param}.include_usage", value["include_usage"], _limits)}


COMMON_FIELDS: dict[str, Checker] = {
    "model": _model,
    "max_tokens": lambda p, v, limits: _integer(p, v, 1, limits.max_tokens),
    "temperature": _number(0, 2),
    "top_p": _number(MIN_TOP_P, 1),
    "n": lambda p, v, limits: _integer(p, v, 1, limits.max_choices),
    "stream": _boolean,
    "stream_options": _stream_options,
    "stop": _stop,
    "seed": lambda p, v, _: _integer(p, v, *SEEDS),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "response_format": _response_format,
    "user": _text,
}
CHAT_FIELDS: dict[str, Checker] = {
    **COMMON_FIELDS,
    "messages": _messages,
    "max_completion_tokens": lambda p, v, limits: _integer(p, v, 1, limits.max_tokens),
    "logprobs": _boolean,
    "top_logprobs": lambda p, v, _: _integer(p, v, 0, MAX_TOP_LOGPROBS),
}
COMPLETION_FIELDS: dict[str, Checker] = {
    **COMMON_FIELDS,
    "prompt": _text,
    "logprobs": lambda p, v, _: _integer(p, v, 0, MAX_TOP_LOGPROBS),
    "echo": _boolean,
}


def parse_chat(data: bytes, limits: Limits) -> Request:
    """Check the body of ``POST /v1/chat/completions``.

    Raises:
        ApiError: 400, or 404 for another model, naming the field.
    """
    return _parse(data, limits, CHAT_FIELDS, ("model", "messages"))


def parse_completion(data: bytes, limits: Limits) -> Request:
    """Check the body of ``POST /v1/completions``.

    Raises:
        ApiError: 400, or 404 for another model, naming the field.
    """
    return _parse(data, limits, COMPLETION_FIELDS, ("model", "prompt"))


def parse_predict(data: bytes, limits: Limits) -> Request:
    """Check the body of ``POST /predict``: ``{"input_text": "…"}``, and make it a chat.

    The answer is greedy, as in evaluation: the same question has the same answer.

    Raises:
        ApiError: 400, naming the field.
    """
    body = decode_json(data)
    if unknown := sorted(body.keys() - {"input_text"}):
        _fail(unknown[0], "is not supported; send input_text")
    text = _text("input_text", body.get("input_text"), limits)
    messages = [{"role": "user", "content": text}]
    return Request({"model": limits.model_name, "messages": messages, "temperature": 0})


def present_prediction(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to ``POST /predict`` from a chat completion."""
    choice = answer["choices"][0]
    message = choice.get("message") or {}
    return {
        "output_text": message.get("content") or "",
        "finish_reason": choice.get("finish_reason"),
        "model": str(answer.get("model", "")),
    }


def _parse(
    data: bytes, limits: Limits, fields: dict[str, Checker], required: tuple[str, ...]
) -> Request:
    body = decode_json(data)
    known = fields.keys() | NULL_FIELDS
    given = {n: value for n, value in body.items() if value is not None or n not in known}
    for name in required:
        if name not in given:
            _fail(name, "must be set")
    checked = {}
    for name, value in given.items():
        if name not in fields:
            _fail(name, "is not supported")
        if name in limits.unsupported:
            _fail(name, "is not supported by the engine behind this server")
        checked[name] = fields[name](name, value, limits)
    return _request(checked)


def _request(body: dict[str, Any]) -> Request:
    stream = body.get("stream", False)
    options = body.pop("stream_options", None)
    if options and not stream:
        _fail("stream_options", "needs stream=true")
    if "top_logprobs" in body and not body.get("logprobs"):
        _fail("top_logprobs", "needs logprobs=true")
    if "max_completion_tokens" in body and "max_tokens" in body:
        _fail("max_tokens", "cannot be set together with max_completion_tokens")
    body.pop("user", None)  # names the client's own user; changes no answer
    return Request(body, stream, bool(options and options["include_usage"]))


def decode_json(data: bytes) -> dict[str, Any]:
    """Return a JSON object from a request's body.

    Raises:
        ApiError: not UTF-8, not JSON, NaN or infinite, half a surrogate pair, too deep, or not an
            object.
    """
    try:
        value = orjson.loads(data)
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ApiError(400, "the body must be a JSON object")
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ApiError(400, f"the body is nested deeper than {MAX_DEPTH} levels")
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
