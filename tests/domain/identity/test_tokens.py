"""Tokens: what was minted reads back, what was altered is refused before any database is asked."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.domain.identity import tokens
from weft.domain.identity.errors import CredentialInvalid
from weft.domain.identity.tokens import ALPHABET, TokenKind, mint, parse

kinds = st.sampled_from(list(TokenKind))
TENANT = UUID("0198c0de-0000-7000-8000-000000000001")
ROW = UUID("0198c0de-0000-7000-8000-000000000002")


@given(kinds, st.uuids(), st.uuids())
def test_what_was_minted_reads_back(kind: TokenKind, tenant_id: UUID, row_id: UUID) -> None:
    minted = mint(kind, tenant_id, row_id)
    token = parse(minted.text)
    assert (token.kind, token.tenant_id, token.id) == (kind, tenant_id, row_id)
    assert token.matches(minted.secret_hash)
    assert minted.text.startswith(minted.prefix + "_")
    assert minted.prefix.startswith(f"weft_{kind.value}_")


@given(kinds, st.data())
def test_one_changed_character_is_refused(kind: TokenKind, data: st.DataObject) -> None:
    text = mint(kind, TENANT, ROW).text
    place = data.draw(st.integers(0, len(text) - 1))
    # The secret differs each time: what is drawn must not depend on it, or hypothesis would see another test.
    others = [character for character in ALPHABET + "_-" if character != text[place]]
    other = others[data.draw(st.integers(0, len(ALPHABET)))]
    with pytest.raises(CredentialInvalid):
        parse(text[:place] + other + text[place + 1 :])


@given(kinds, st.integers(0, 200))
def test_a_cut_or_lengthened_token_is_refused(kind: TokenKind, length: int) -> None:
    text = mint(kind, TENANT, ROW).text
    wrong = (text * 2)[:length]
    if wrong == text:
        assert parse(wrong).id == ROW
    else:
        with pytest.raises(CredentialInvalid):
            parse(wrong)


@given(st.text(max_size=120))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(CredentialInvalid):
        parse(text)


def test_a_well_formed_token_of_an_unknown_kind_is_refused() -> None:
    text = mint(TokenKind.key, TENANT, ROW).text[: -tokens._CHECK].replace("weft_sk_", "weft_xx_")
    with pytest.raises(CredentialInvalid):
        parse(text + tokens._checksum(text))


def test_a_number_that_32_bytes_cannot_hold_is_refused() -> None:
    body = f"weft_sk_{'z' * 43}_{'0' * 43}"
    with pytest.raises(CredentialInvalid):
        parse(body + tokens._checksum(body))


def test_another_secret_does_not_match() -> None:
    one, other = mint(TokenKind.key, TENANT, ROW), mint(TokenKind.key, TENANT, ROW)
    assert not parse(one.text).matches(other.secret_hash)


def test_neither_token_nor_hash_shows_in_a_traceback() -> None:
    minted = mint(TokenKind.session, TENANT, ROW)
    token = parse(minted.text)
    secret = minted.text.removeprefix(minted.prefix + "_")
    assert secret not in repr(minted)
    assert repr(token.secret) not in repr(token)
    assert repr(minted.secret_hash) not in repr(minted)
