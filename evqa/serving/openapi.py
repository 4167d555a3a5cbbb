"""The OpenAPI document, written by hand: the relays are raw ASGI, which no framework can read.

Its bounds are the constants that the checks use; a test sends what it allows and what it forbids.
"""

from typing import Any

from evqa import __version__
from evqa.serving import protocol
from evqa.serving.protocol import Limits

Schema = dict[str, Any]
DESCRIPTION = (
    "OpenAI's API for one fine-tuned model, behind keys. Every answer carries x-request-id and "
    "x-model-version. Errors have OpenAI's shape; a stream that breaks ends with an error event "
    "and without [DONE]."
)
ERRORS = {
    400: "The request is wrong; `param` names the field.",
    401: "No good key.",
    403: "The key's scope ends before this.",
    404: "No such model, or no such path.",
    405: "Another method is needed.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    429: "A limit of the key is reached; see Retry-After.",
    431: "The headers are too many or too large.",
    500: "An error in the server.",
    502: "The engine's answer was broken.",
    503: "The engine is down, the server full or stopping; see Retry-After.",
    504: "The engine took too long.",
}


def openapi_document(limits: Limits, max_body_bytes: int) -> Schema:
    """Return the document of a server that grants these limits."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "evqa", "version": __version__, "description": DESCRIPTION},
        "paths": {
            "/v1/chat/completions": _post(
                "Chat with the model.", "ChatRequest", "ChatAnswer", max_body_bytes, stream=True
            ),
            "/v1/completions": _post(
                "Complete a text.",
                "CompletionRequest",
                "CompletionAnswer",
                max_body_bytes,
                stream=True,
            ),
            "/predict": _post(
                "Ask one question; the answer is greedy.",
                "PredictRequest",
                "PredictAnswer",
                max_body_bytes,
            ),
            "/v1/models": _get("List the model that is served.", "Models", keyed=True),
            "/health": _get("Is the proxy alive?", "Health"),
            "/ready": _get("Would a request be answered now?", "Ready", not_ready=True),
            "/metrics": _metrics(),
            "/openapi.json": _get("This document.", "Anything"),
            "/docs": _page("This document for people.", "text/html"),
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(limits),
        },
    }


def _errors(*statuses: int) -> Schema:
    schema = {"application/json": {"schema": _ref("Error")}}
    return {str(s): {"description": ERRORS[s], "content": schema} for s in statuses}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _post(
    summary: str, request: str, answer: str, max_body_bytes: int, *, stream: bool = False
) -> Schema:
    content: Schema = {"application/json": {"schema": _ref(answer)}}
    if stream:
        event = {"type": "object", "properties": {"data": {"type": "string"}}}
        content["text/event-stream"] = {"schema": event}
    return {
        "post": {
            "summary": summary,
            "security": [{"key": []}],
            "requestBody": {
                "required": True,
                "description": f"At most {max_body_bytes} bytes.",
                "content": {"application/json": {"schema": _ref(request)}},
            },
            "responses": {
                "200": {"description": "The answer.", "content": content},
                **_errors(*ERRORS),
            },
        }
    }


def _get(
    summary: str, answer: str, *, keyed: bool = False, not_ready: bool = False
) -> dict[str, Schema]:
    content = {"application/json": {"schema": _ref(answer)}}
    responses: Schema = {"200": {"description": "The answer.", "content": content}}
    if not_ready:
        responses["503"] = {"description": "Not now; see Retry-After.", "content": content}
    operation: Schema = {"summary": summary, "responses": responses}
    if keyed:
        operation["security"] = [{"key": []}]
        responses |= _errors(401, 403)
    responses |= _errors(405, 431)
    return {"get": operation}


def _page(summary: str, media_type: str) -> dict[str, Schema]:
    content = {media_type: {"schema": {"type": "string"}}}
    responses = {"200": {"description": "The answer.", "content": content}, **_errors(405, 431)}
    return {"get": {"summary": summary, "responses": responses}}


def _metrics() -> dict[str, Schema]:
    page = _page(
        "Prometheus metrics: without a key from the server's own machine, else with one whose "
        "scope names /metrics.",
        "text/plain",
    )
    page["get"]["responses"] |= _errors(401, 403)
    return page


def _object(properties: Schema, *required: str) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _optional(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _number(kind: str, low: float, high: float) -> Schema:
    return _optional({"type": kind, "minimum": low, "maximum": high})


def _schemas(limits: Limits) -> Schema:
    return {
        "ChatRequest": _chat_request(limits),
        "CompletionRequest": _completion_request(limits),
        "PredictRequest": _object(
            {"input_text": {"type": "string", "minLength": 1}}, "input_text"
        ),
        "Message": _message(),
        "ResponseFormat": _response_format(),
        **_answers(),
    }


def _common(limits: Limits) -> Schema:
    text = {"type": "string", "minLength": 1, "maxLength": protocol.MAX_STOP_LENGTH}
    stops = {"type": "array", "items": text, "maxItems": protocol.MAX_STOPS}
    low, high = protocol.SEEDS
    options = _object({"include_usage": {"type": "boolean"}}, "include_usage")
    fields: Schema = {
        "model": {"type": "string", "enum": [limits.model_name]},
        "max_tokens": _number("integer", 1, limits.max_tokens),
        "temperature": _number("number", 0, 2),
        "top_p": _number("number", protocol.MIN_TOP_P, 1),
        "n": _number("integer", 1, limits.max_choices),
        "stream": _optional({"type": "boolean"}),
        "stream_options": _optional(options),
        "stop": {"anyOf": [text, stops, {"type": "null"}]},
        "seed": _number("integer", low, high),
        "presence_penalty": _number("number", -2, 2),
        "frequency_penalty": _number("number", -2, 2),
        "response_format": _optional(_ref("ResponseFormat")),
        "user": _optional({"type": "string", "minLength": 1}),
    }
    for name in protocol.NULL_FIELDS:
        fields[name] = {"type": "null", "description": "not supported; null is passed over"}
    return fields


def _chat_request(limits: Limits) -> Schema:
    fields = _common(limits) | {
        "messages": {
            "type": "array",
            "items": _ref("Message"),
            "minItems": 1,
            "maxItems": protocol.MAX_MESSAGES,
        },
        "max_completion_tokens": _number("integer", 1, limits.max_tokens),
        "logprobs": _optional({"type": "boolean"}),
        "top_logprobs": _number("integer", 0, protocol.MAX_TOP_LOGPROBS),
    }
    schema = _object(_supported(fields, limits), "model", "messages")
    rules = [_needs("stream_options", "stream"), _needs("top_logprobs", "logprobs")]
    given = {"required": ["max_tokens"], "properties": {"max_tokens": {"type": "integer"}}}
    rules.append(
        {"if": given, "then": {"properties": {"max_completion_tokens": {"type": "null"}}}}
    )
    return schema | {"allOf": rules}


def _completion_request(limits: Limits) -> Schema:
    fields = _common(limits) | {
        "prompt": {"type": "string", "minLength": 1},
        "logprobs": _number("integer", 0, protocol.MAX_TOP_LOGPROBS),
        "echo": _optional({"type": "boolean"}),
    }
    schema = _object(_supported(fields, limits), "model", "prompt")
    return schema | {"allOf": [_needs("stream_options", "stream")]}


def _supported(fields: Schema, limits: Limits) -> Schema:
    return {name: schema for name, schema in fields.items() if name not in limits.unsupported}


def _needs(field: str, flag: str) -> Schema:
    """Return the rule that a field may be set only beside a flag that is true."""
    unset = {"properties": {field: {"type": "null"}}}
    set_flag = {"required": [flag], "properties": {flag: {"const": True}}}
    return {"anyOf": [set_flag, unset]}


def _message() -> Schema:
    text = {"type": "string", "minLength": 1}
    part = _object({"type": {"const": "text"}, "text": text}, "type", "text")
    parts = {"type": "array", "items": part, "minItems": 1}
    fields: Schema = {
        "role": {"type": "string", "enum": list(protocol.ROLES)},
        "content": {"anyOf": [text, parts]},
    }
    for name in protocol.NULL_MESSAGE_FIELDS:
        fields[name] = {"type": "null", "description": "not supported; null is passed over"}
    return _object(fields, "role", "content")


def _response_format() -> Schema:
    about = _object(
        {
            "name": {"type": "string", "minLength": 1},
            "schema": {"type": "object"},
            "description": _optional({"type": "string"}),
            "strict": _optional({"type": "boolean"}),
        },
        "name",
        "schema",
    )
    plain = _object({"type": {"enum": ["text", "json_object"]}}, "type")
    schema = _object(
        {"type": {"const": "json_schema"}, "json_schema": about}, "type", "json_schema"
    )
    return {"anyOf": [plain, schema]}


def _answers() -> Schema:
    usage = {"type": ["object", "null"]}
    choices = {"type": "array", "items": {"type": "object"}, "minItems": 1}
    answer = {
        "type": "object",
        "required": ["choices"],
        "properties": {"id": {"type": "string"}, "choices": choices, "usage": usage},
    }
    reason = {"type": ["string", "null"]}
    prediction = {"output_text": {"type": "string"}, "model": {"type": "string"}}
    error = _object(
        {
            "message": {"type": "string"},
            "type": {"type": "string"},
            "param": {"type": ["string", "null"]},
            "code": {"type": ["string", "null"]},
            "request_id": {"type": ["string", "null"]},
        },
        "message",
        "type",
    )
    status = {"status": {"type": "string"}, "version": {"type": "string"}}
    models = {"object": {"const": "list"}, "data": {"type": "array", "items": {"type": "object"}}}
    return {
        "ChatAnswer": answer,
        "CompletionAnswer": answer,
        "PredictAnswer": _object({**prediction, "finish_reason": reason}, *prediction),
        "Error": _object({"error": error}, "error"),
        "Health": _object({"status": {"const": "ok"}}, "status"),
        "Ready": _object(status, *status),
        "Models": _object(models, *models),
        "Anything": {"type": "object"},
    }
