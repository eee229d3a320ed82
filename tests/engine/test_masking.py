"""Secrets are found in whatever writing they come back."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.engine.masking import HIDDEN, Mask
from weft.engine.outcomes import Done, Failed

SECRET = 'tok/en+"with& <odd> ünd\\more=?'
MASK = Mask([SECRET])

WRITINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda s: s,
    "in JSON": json.dumps,
    "in JSON, as text": lambda s: json.dumps(s, ensure_ascii=False),
    "in JSON, twice": lambda s: json.dumps(json.dumps(s)).replace("\\\\", "\\").replace('\\"', '"'),
    "in JSON with slashes escaped": lambda s: json.dumps(s).replace("/", "\\/"),
    "in a path": lambda s: urllib.parse.quote(s, safe=""),
    "in a query": urllib.parse.quote_plus,
    "in a URL that keeps slashes": urllib.parse.quote,
    "in HTML": html.escape,
    "in base64": lambda s: base64.b64encode(s.encode()).decode(),
    "in base64 for URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "in hexadecimal": lambda s: s.encode().hex(),
    "read as Latin-1": lambda s: s.encode().decode("latin-1"),
}


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS.keys())
def test_each_writing_is_hidden(write: Callable[[str], str]) -> None:
    hidden = MASK.text(f"before {write(SECRET)} after")
    assert HIDDEN in hidden
    assert hidden.startswith("before ")
    assert write(SECRET) not in hidden


@given(st.text(max_size=20), st.text(st.characters(codec="utf-8"), min_size=6, max_size=40), st.text(max_size=20))
def test_base64_of_any_text_around_it_does_not_decode_to_it(before: str, secret: str, after: str) -> None:
    encoded = base64.b64encode(f"{before}:{secret}{after}".encode("utf-8", "replace")).decode()
    hidden = Mask([secret]).text(encoded)
    assert HIDDEN in hidden


@given(st.text(min_size=4), st.text(), st.text())
def test_the_plain_value_never_stands_in_what_is_left(secret: str, before: str, after: str) -> None:
    if secret not in HIDDEN * 3:
        assert secret not in Mask([secret]).text(before + secret + after).split(HIDDEN)


def test_what_was_cut_off_is_hidden_too() -> None:
    secret = "0123456789abcdefghijklmnopqrstuvwxyz"
    mask = Mask([secret])
    for length in range(8, len(secret)):
        assert mask.text("the token is " + secret[:length]) == "the token is " + HIDDEN
    assert mask.text(f"the text '{secret[:20]}…' is wrong") == f"the text '{HIDDEN}…' is wrong"
    assert mask.text("nothing of it: 0123") == "nothing of it: 0123"


def test_values_of_all_sorts_are_looked_through() -> None:
    mask = Mask(["hunter22", "31415926"])
    value: Any = {"hunter22": ["x hunter22", {"deep": ("hunter22",)}], "n": 31415926, "m": 3, "b": True, "none": None}
    assert mask.value(value) == {
        HIDDEN: [f"x {HIDDEN}", {"deep": [HIDDEN]}],
        "n": HIDDEN,
        "m": 3,
        "b": True,
        "none": None,
    }


def test_the_longer_of_two_goes_first() -> None:
    assert Mask(["abcd", "abcdefgh"]).text("abcdefgh abcd") == f"{HIDDEN} {HIDDEN}"


def test_an_outcome_is_hidden_in_all_its_parts() -> None:
    mask = Mask(["hunter22"])
    done = mask.outcome(Done({"a": "hunter22"}, {"v": "hunter22"}, "said hunter22"))
    assert done == Done({"a": HIDDEN}, {"v": HIDDEN}, f"said {HIDDEN}")
    failed = mask.outcome(Failed("hunter22", "was hunter22", data=["hunter22"], retry_after=3.0))
    assert failed == Failed(HIDDEN, f"was {HIDDEN}", data=[HIDDEN], retry_after=3.0)


def test_a_value_too_short_to_tell_is_left_alone() -> None:
    assert Mask(["abc"]).text("abc") == "abc"
