"""What the bytes of a webhook's body are, by their content type: JSON, a form, text, or something binary.

Senders are careless with the header: whatever looks like a JSON document and is one is taken as JSON, unless the
header says that it is XML or binary. The bytes themselves are never changed: signatures were checked over them.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final, Literal
from urllib.parse import parse_qs

import msgspec

from weft.http.bodies import unstorable
from weft.http.problems import BodyMalformed

Encoding = Literal["text", "base64"]
Sort = Literal["json", "form", "text", "xml", "binary"]

MOST_FIELDS: Final = 1_000
"""Fields of a form."""

_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252", "utf-16"})
_TEXTS: Final = frozenset({"application/x-ndjson", "application/yaml", "application/javascript", "application/csv"})


def document(content_type: str, body: bytes, *, github: bool = False) -> Any:
    """The body as expressions see it: a JSON document, a form's fields, a text, or base64 with its content type.

    `github` may send its JSON as the form field `payload`. Raises `BodyMalformed`.
    """
    sort = _sort(content_type)
    if not body.strip():
        return None
    if sort == "binary":
        return {"content_type": content_type, "base64": b64encode(body).decode()}
    if sort == "json" or (sort != "xml" and body.lstrip()[:1] in (b"{", b"[")):
        try:
            return _json(body)
        except BodyMalformed:
            if sort == "json":
                raise
    if sort == "form":
        fields = _form(_text(content_type, body))
        return _json(fields["payload"].encode()) if github and isinstance(fields.get("payload"), str) else fields
    return _text(content_type, body)


def verbatim(content_type: str, body: bytes) -> dict[str, Any]:
    """The body of a whole request: the text that it is, and of a binary one base64."""
    if _sort(content_type) == "binary":
        text, encoding = raw(body)
        return {"body": text, "body_encoding": encoding}
    return {"body": _text(content_type, body), "body_encoding": "text"}


def raw(body: bytes) -> tuple[str, Encoding]:
    """The very bytes: as text when they are UTF-8 that can be stored, else as base64."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return b64encode(body).decode(), "base64"
    return (text, "text") if unstorable(text) is None else (b64encode(body).decode(), "base64")


def _sort(content_type: str) -> Sort:
    media = content_type.partition(";")[0].strip().lower()
    if media in ("", "application/json", "text/json") or media.endswith("+json"):
        return "json"
    if media == "application/x-www-form-urlencoded":
        return "form"
    if media in ("application/xml", "text/xml") or media.endswith("+xml"):
        return "xml"
    return "text" if media.startswith("text/") or media in _TEXTS else "binary"


def _json(body: bytes) -> Any:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise BodyMalformed(
            "The body is not valid JSON in UTF-8. Send a JSON object or list, or say with Content-Type what it is."
        ) from error
    if not isinstance(found, dict | list):
        raise BodyMalformed("The body must be a JSON object or list.")
    return found


def _form(text: str) -> dict[str, Any]:
    """Fields by name; one that comes several times is a list."""
    try:
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise BodyMalformed(f"The form cannot be read; it may have {MOST_FIELDS} fields in UTF-8.") from error
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def _text(content_type: str, body: bytes) -> str:
    charset = _charset(content_type)
    try:
        return body.decode(charset)
    except UnicodeDecodeError as error:
        raise BodyMalformed(
            f"The body is not {charset.upper()} text. Send it as UTF-8, or with the Content-Type of what it is."
        ) from error


def _charset(content_type: str) -> str:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
            if charset not in _CHARSETS:
                raise BodyMalformed(f"The character set '{charset[:40]}' is not known here. Send the body as UTF-8.")
            return charset
    return "utf-8"
