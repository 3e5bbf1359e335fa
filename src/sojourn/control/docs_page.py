"""The page at `/docs`: the OpenAPI document as plain HTML, complete without a script."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any, Final

Document = dict[str, Any]

_CODE: Final = re.compile(r"`([^`]+)`")
_REF: Final = "#/components/schemas/"
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{style}"></head>
<body>
<header><h1>{title}</h1>
<p>Version {version} · <a href="/openapi.json">openapi.json</a> · <a href="/">functions</a></p>
{about}
<nav aria-label="Chapters">{links}</nav></header>
<main>
{chapters}
<section id="schemas"><h2>Schemas</h2>
{schemas}
</section>
</main>
</body>
</html>
"""


def docs_page(document: Document, style: str) -> str:
    """The page.

    Args:
        document: As `openapi_document` makes it.
        style: URL of its stylesheet.
    """
    info = document["info"]
    tags = [tag["name"] for tag in document["tags"]]
    links = " ".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in [*tags, "schemas"])
    return _PAGE.format(
        title=escape(info["title"]),
        version=escape(info["version"]),
        style=escape(style),
        about=_text(info["description"]),
        links=links,
        chapters="\n".join(_chapter(document, tag) for tag in document["tags"]),
        schemas="\n".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
    )


def _chapter(document: Document, tag: Document) -> str:
    name = tag["name"]
    operations = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if name in operation["tags"]
    ]
    title = f"<h2>{escape(name.capitalize())}</h2>"
    return f'<section id="{escape(name)}">{title}{_text(tag["description"])}\n' + "\n".join(operations) + "\n</section>"


def _operation(method: str, path: str, operation: Document) -> str:
    scopes = [scope for one in operation["security"] for scope in one["key"]]
    scope = f'<span class="scope">{escape(", ".join(scopes) or "open")}</span>'
    line = f'<span class="method {escape(method)}">{escape(method.upper())}</span> <code>{_breakable(path)}</code>'
    parts = [_text(operation.get("description", "")), _parameters(operation.get("parameters", []))]
    if "requestBody" in operation:
        parts.append("<h4>Body</h4>" + _content(operation["requestBody"]["content"]))
    parts.append("<h4>Answers</h4><dl>" + "".join(_answer(*one) for one in operation["responses"].items()) + "</dl>")
    summary = f"<summary>{line} {scope}<span class='about'>{_inline(operation['summary'])}</span></summary>"
    return f'<details id="{escape(operation["operationId"])}">{summary}{"".join(parts)}</details>'


def _parameters(parameters: list[Document]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<dt><code>{escape(one['name'])}</code> <small>{escape(one['in'])}, {_kind(one['schema'])}</small></dt>"
        f"<dd>{_inline(one['description'])}</dd>"
        for one in parameters
    )
    return f"<h4>Parameters</h4><dl>{rows}</dl>"


def _answer(status: str, response: Document) -> str:
    return (
        f"<dt><b>{escape(status)}</b></dt><dd>{_inline(response['description'])} {_content(response['content'])}</dd>"
    )


def _content(content: Document) -> str:
    told = []
    for content_type, media in content.items():
        schema = media.get("schema", {})
        kind = f": {_kind(schema)}" if "$ref" in schema else ""
        told.append(f"<small>{escape(content_type)}{kind}</small>")
        if "example" in media:
            told.append(f"<pre>{escape(json.dumps(media['example'], indent=2))}</pre>")
    return " ".join(told)


def _schema(name: str, schema: Document) -> str:
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<dt><code>{escape(field)}</code> <small>{_kind(one)}{'' if field in required else ', optional'}</small></dt>"
        f"<dd>{_inline(one.get('description', ''))}</dd>"
        for field, one in schema.get("properties", {}).items()
    )
    body = f"<dl>{rows}</dl>" if rows else f"<p>{_kind(schema)}</p>"
    about = _text(schema.get("description", ""))
    return f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>{about}{body}</details>'


def _kind(schema: Document) -> str:
    """What a value may be, in a few words, as HTML."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return f'<a href="#schema-{escape(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(escape(json.dumps(one)) for one in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        entries = schema.get("prefixItems") or [schema.get("items") or {}]
        return f"list of {', '.join(_kind(one) for one in entries)}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_kind(schema['additionalProperties'])}"
    return escape(f"{kind}{_range(schema)}")


def _range(schema: Document) -> str:
    """Between which bounds a number lies, as in ", 1 to 1000"; empty without any."""
    if "minimum" in schema and "maximum" in schema:
        return f", {schema['minimum']} to {schema['maximum']}"
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
    told = [f"{sign} {schema[word]}" for word, sign in signs if word in schema]
    return f", {', '.join(told)}" if told else ""


def _text(text: str) -> str:
    return "".join(f"<p>{_inline(part)}</p>" for part in text.split("\n\n") if part.strip())


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _breakable(path: str) -> str:
    """A path that a narrow window may break before each slash."""
    return escape(path).replace("/", "<wbr>/")
