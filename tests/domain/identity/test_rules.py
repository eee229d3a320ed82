"""What is granted to whom: decided by values alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.domain.identity import rules
from weft.domain.identity.addresses import email_key, normal_email
from weft.domain.identity.errors import EmailInvalid

words = st.sampled_from([rules.word(p) for p in rules.PERMISSIONS])
sets = st.frozensets(words)


@given(sets, sets, sets)
def test_a_denial_wins_over_role_and_grant(
    role: frozenset[str], allowed: frozenset[str], denied: frozenset[str]
) -> None:
    assert rules.effective(role, allowed, denied) == (role | allowed) - denied


@given(sets, sets, sets, sets)
def test_a_key_never_reaches_beyond_its_scopes_nor_its_member(
    role: frozenset[str], allowed: frozenset[str], denied: frozenset[str], scopes: frozenset[str]
) -> None:
    with_key = rules.effective(role, allowed, denied, scopes)
    assert with_key <= scopes
    assert with_key <= rules.effective(role, allowed, denied)


def test_a_key_without_scopes_may_nothing() -> None:
    assert rules.effective(["workflows:read"], [], [], []) == frozenset()


@given(sets, sets)
def test_beyond_names_exactly_what_is_missing(own: frozenset[str], wanted: frozenset[str]) -> None:
    missing = rules.beyond(own, wanted)
    assert missing | (own & wanted) == wanted
    assert not missing & own


def test_roles_grant_only_what_is_in_the_catalogue() -> None:
    for _, permissions in rules.ROLES.values():
        assert permissions <= frozenset(rules.PERMISSIONS)
    assert rules.ROLES[rules.OWNER][1] == frozenset(rules.PERMISSIONS)


def test_unknown_permissions_are_named() -> None:
    assert rules.unknown(["workflows:read", "workflows:fly", "nonsense"]) == {"workflows:fly", "nonsense"}
    assert rules.pair(rules.word(("keys", "read"))) == ("keys", "read")


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Acme", "acme"),
        ("Café Müller & Söhne", "cafe-muller-sohne"),
        ("  ACME -- Ltd. ", "acme-ltd"),
        ("日本", ""),
        ("x" * 80, "x" * 63),
        ("a" * 62 + " b", "a" * 62),
    ],
)
def test_a_name_suggests_a_slug(name: str, slug: str) -> None:
    assert rules.slug_of(name) == slug


@given(st.text(max_size=100))
def test_what_is_suggested_is_a_slug(name: str) -> None:
    suggestion = rules.slug_of(name)
    assert suggestion == "" or rules.is_slug(suggestion)


@pytest.mark.parametrize("text", ["", "-a", "a-", "a--b", "A", "a_b", "ä", "a\n", "x" * 64])
def test_what_is_no_slug_is_refused(text: str) -> None:
    assert not rules.is_slug(text)


@pytest.mark.parametrize(("name", "found"), [("owner", "OWNER"), (" Viewer ", "VIEWER"), ("auditor", None)])
def test_builtin_roles_are_known_in_any_case(name: str, found: str | None) -> None:
    assert rules.builtin(name) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.com", "ada@example.com"),
        (" ada@example.com ", "ada@example.com"),
        ("\uff41\uff44\uff41@example.com", "ada@example.com"),  # full-width letters
        ("STRASSE@example.com", "straße@example.com"),
    ],
)
def test_the_same_address_has_the_same_key(one: str, other: str) -> None:
    assert email_key(one) == email_key(other)


@given(st.text(max_size=60))
def test_the_key_of_a_key_is_itself(text: str) -> None:
    assert email_key(email_key(text)) == email_key(text)


@pytest.mark.parametrize("text", ["", "ada", "ada@", "@example.com", "ada@nowhere", "a b@example.com", "ada@a b.com"])
def test_what_is_no_address_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(EmailInvalid) as refused:
        normal_email(text)
    assert refused.value.issues[0].path == ("email",)


@pytest.mark.parametrize(
    "text", ["admin@example.com", "Ada.Lovelace+x@sub.example.org", "ada@corp.local", "jörg@müller.example"]
)
def test_addresses_are_accepted_without_asking_anybody(text: str) -> None:
    assert normal_email(text).lower() == text.lower()
