"""What a request has wrong is said in sentences, and where it stands in what was sent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter, ValidationError

from weft.core.forms import NOT_BLANK, form, in_words
from weft.domain.events.rules import TYPE_PATTERN
from weft.http.bodies import Input
from weft.http.validation import issues_of


class Part(Input):
    type: Annotated[str, StringConstraints(min_length=1, max_length=9, pattern=TYPE_PATTERN)] = "x"
    level: Annotated[int, Field(ge=-5, le=5)] | Literal["low", "high"] = 0
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    owner: UUID | None = None
    at: AwareDatetime | None = None
    day: datetime | None = None
    on: bool = False
    words: Annotated[list[str], Field(min_length=2, max_length=3)] | None = None
    more: dict[str, Any] | None = None
    inner: Part | None = None


class Needs(Input):
    name: str


Sent = Part | list[Part]


def said(kind: Any, sent: object) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(kind).validate_python(sent)
    errors = [{**error, "loc": ("body", *error["loc"])} for error in refused.value.errors()]
    return [(issue.path, issue.message) for issue in issues_of(errors, sent)]


@pytest.mark.parametrize(
    ("sent", "path", "sentence"),
    [
        ({"type": "a b"}, ("type",), "`type`: must be words with dots between them, as in order.paid: letters, digits"),
        ({"type": ""}, ("type",), "`type`: must not be empty."),
        ({"type": "abcdefghij"}, ("type",), "`type`: may have at most 9 characters."),
        ({"type": 1}, ("type",), "`type`: must be text."),
        ({"level": 6}, ("level",), "`level`: must be at most 5, or 'low' or 'high'."),
        ({"level": "loud"}, ("level",), "`level`: must be a whole number, or 'low' or 'high'."),
        ({"level": -6}, ("level",), "`level`: must be at least -5, or 'low' or 'high'."),
        ({"share": 1}, ("share",), "`share`: must be less than 1"),
        ({"share": 0}, ("share",), "`share`: must be more than 0"),
        ({"owner": "nope"}, ("owner",), "`owner`: must be an id (a UUID, such as 0198c1c4-"),
        ({"at": "yesterday"}, ("at",), "`at`: must be a time with its zone, as in 2026-03-01T12:00:00Z."),
        ({"at": "2026-03-01T12:00:00"}, ("at",), "`at`: must have a time zone"),
        ({"day": 7}, ("day",), "`day`: must be a time as text"),
        ({"on": "maybe"}, ("on",), "`on`: must be true or false."),
        ({"words": ["a"]}, ("words",), "`words`: must have at least 2 entries."),
        ({"words": ["a", "b", 3]}, ("words", 2), "`words.2`: must be text."),
        ({"words": {}}, ("words",), "`words`: must be a list."),
        ({"more": []}, ("more",), "`more`: must be an object."),
        ({"inner": {"on": 3}}, ("inner", "on"), "`inner.on`: must be true or false."),
        ({"odd": 1}, ("odd",), "`odd`: is not known here; leave it out or correct its name."),
        ([{"on": False}, {"type": "a b"}], (1, "type"), "`1.type`: must be words with dots"),
    ],
)
def test_each_fault_is_a_sentence_with_its_place_and_nothing_of_the_validator(
    sent: object, path: tuple[str | int, ...], sentence: str
) -> None:
    """Also where one of several shapes may be sent: only that one is spoken of which was."""
    ((where, message),) = said(Sent, sent)
    assert (where, message[: len(sentence)]) == (path, sentence)
    assert "Input should" not in message


def test_what_is_missing_is_named_where_it_would_stand() -> None:
    assert said(Needs, {}) == [(("name",), "`name`: is required.")]
    assert said(list[Needs], [{}]) == [((0, "name"), "`0.name`: is required.")]


def test_what_has_none_of_the_shapes_is_told_both() -> None:
    assert said(Sent, 3) == [((), "The body: must be an object, or a list.")]


def test_faults_outside_the_body_keep_their_names() -> None:
    error = {"loc": ("query", "status", 0), "type": "enum", "msg": "", "ctx": {"expected": "'A' or 'B'"}}
    (issue,) = issues_of([error])
    assert (issue.path, issue.message) == (("status", 0), "`status.0`: must be 'A' or 'B'.")
    assert issue.extra == {"location": "query"}


def test_forms_in_words() -> None:
    assert in_words(NOT_BLANK) == "text that is not blank"
    assert in_words(form(r"^z+$", "some z")) == "some z"
    assert in_words("^y$") == "text of the form ^y$"
