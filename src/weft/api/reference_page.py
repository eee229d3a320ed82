"""The OpenAPI document as one readable page. Written on the server: the page needs no script, and works offline."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_DEEPEST: Final = 6
_CODE: Final = re.compile(r"`([^`]+)`")

Node = Mapping[str, Any]


def render(document: Node) -> str:
    """The body of the page."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                tag = (operation.get("tags") or ["other"])[0]
                groups[tag].append(_operation(document, path, method, operation))
    links = "".join(f'<li><a href="#{escape(tag)}">{escape(tag)}</a></li>' for tag in groups)
    sections = "".join(
        f'<h2 id="{escape(tag)}">{escape(tag.capitalize())}</h2>' + "".join(rows) for tag, rows in groups.items()
    )
    information = document["info"]
    return (
        f"<h1>{escape(information['title'])} {escape(information['version'])}</h1>"
        f"{_paragraphs(information.get('description', ''))}"
        f'<p><a href="/openapi.json">OpenAPI document</a></p><nav><ul>{links}</ul></nav>{sections}'
    )


def _operation(document: Node, path: str, method: str, operation: Node) -> str:
    permission = operation.get("x-permission")
    access = f"permission {permission}" if permission else ("signed in" if operation["security"] else "public")
    parts = [
        f'<details id="{escape(operation["operationId"])}"><summary>',
        f'<code><span class="method">{method.upper()}</span> {escape(path)}</code> ',
        f'{prose(operation.get("summary", ""))} <span class="note">{escape(access)}</span></summary>',
        _paragraphs(operation.get("description", "")),
        _parameters(document, operation.get("parameters", ())),
    ]
    if body := operation.get("requestBody"):
        parts.append("<h4>Body</h4>" + "".join(_contents(document, body)))
    parts.append("<h4>Answers</h4><table>")
    for status, response in sorted(operation["responses"].items()):
        answer = _resolve(document, response)
        shown = "".join(_contents(document, answer)) if status.startswith("2") else ""
        parts.append(f"<tr><td><code>{status}</code></td><td>{prose(answer.get('description', ''))}{shown}</td></tr>")
    parts.append("</table></details>")
    return "".join(parts)


def _parameters(document: Node, parameters: Any) -> str:
    rows = [
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}{', required' if p.get('required') else ''}"
        f"</td><td>{escape(_type(document, p.get('schema', {})))}</td><td>{prose(p.get('description', ''))}</td></tr>"
        for p in parameters
    ]
    return f"<h4>Parameters</h4><table>{''.join(rows)}</table>" if rows else ""


def _contents(document: Node, part: Node) -> Iterator[str]:
    for media_type, content in part.get("content", {}).items():
        schema = content.get("schema", content.get("itemSchema", {}))
        shown = json.dumps(_outline(document, schema), indent=2, ensure_ascii=False)
        yield f'<p class="note">{escape(media_type)}</p><pre>{escape(shown)}</pre>'


def _outline(document: Node, schema: Node, depth: int = 0) -> Any:
    """The shape of a value: objects as objects, everything else as the words for its type."""
    schema = _resolve(document, schema)
    if depth < _DEEPEST:
        if "properties" in schema:
            required = schema.get("required", ())
            return {
                name + ("" if name in required else "?"): _outline(document, part, depth + 1)
                for name, part in schema["properties"].items()
            }
        if isinstance(schema.get("items"), Mapping):
            return [_outline(document, schema["items"], depth + 1)]
        choices = [part for part in schema.get("anyOf", schema.get("oneOf", ())) if part.get("type") != "null"]
        if len(choices) == 1 and ("$ref" in choices[0] or "items" in choices[0]):
            return _outline(document, choices[0], depth)
    return _type(document, schema)


def _type(document: Node, schema: Node) -> str:
    schema = _resolve(document, schema)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    for many in ("anyOf", "oneOf"):
        if many in schema:
            return " | ".join(dict.fromkeys(_type(document, part) for part in schema[many]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(document, schema.get('items', {}))}"
    words = [schema.get("format") or (" | ".join(kind) if isinstance(kind, list) else kind)]
    for name, word in _LIMITS.items():
        if name in schema:
            words.append(f"{word} {schema[name]}")
    if "default" in schema and schema["default"] is not None:
        words.append(f"default {json.dumps(schema['default'], ensure_ascii=False)}")
    return ", ".join(words)


_LIMITS: Final = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
    "minLength": "characters at least",
    "maxLength": "characters at most",
    "pattern": "like",
}


def _resolve(document: Node, node: Node) -> Node:
    """Follow a `$ref` inside the document."""
    while "$ref" in node:
        found: Any = document
        for name in str(node["$ref"]).removeprefix("#/").split("/"):
            found = found[name]
        node = found
    return node


def prose(text: str) -> str:
    """A sentence as HTML: what stands between backticks is code."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{prose(part.strip())}</p>" for part in text.split("\n\n") if part.strip())
