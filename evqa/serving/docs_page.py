"""The page at ``/docs``: made from the OpenAPI document, without scripts from elsewhere."""

from html import escape
from typing import Any

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:.1em .3em;border-radius:3px}"
    "td,th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0}"
)


def render_docs(document: dict[str, Any]) -> str:
    """Return the page."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style>",
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>",
        '<p>For programs: <a href="openapi.json">openapi.json</a></p>',
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation['summary'])}</p>")
            parts.append(_request(document, operation))
            parts.append(_answers(operation))
    return "".join(parts)


def _request(document: dict[str, Any], operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    if schema is None:
        return ""
    name = schema["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][name]
    rows = [
        f"<tr><td><code>{escape(field)}</code>{' *' if field in schema['required'] else ''}"
        f"<td>{escape(_told(about))}"
        for field, about in schema["properties"].items()
    ]
    return f"<table><tr><th>field (* needed)<th>value{''.join(rows)}</table>"


def _told(about: dict[str, Any]) -> str:
    kinds = [about, *about.get("anyOf", ())]
    kind = " or ".join(k["type"] for k in kinds if "type" in k and k["type"] != "null")
    bounds = [
        f"{word} {about[key]:g}"
        for word, key in (("from", "minimum"), ("to", "maximum"))
        if key in about
    ]
    return " ".join([kind, *bounds, about.get("description", "")]).strip()


def _answers(operation: dict[str, Any]) -> str:
    rows = [
        f"<tr><td>{status}<td>{escape(answer['description'])}"
        for status, answer in operation["responses"].items()
    ]
    return f"<table><tr><th>status<th>answer{''.join(rows)}</table>"
