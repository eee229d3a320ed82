"""The master key: given, or made once."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from weft.ops.home import is_private
from weft.ops.keys import MasterKeyInvalid, MasterKeyMissing, decode, master_key
from weft.settings import Settings, load_settings


def settings(home: Path, **environ: str) -> Settings:
    return load_settings({"WEFT_HOME": str(home), **environ}, directory=home)


def test_it_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    first = master_key(settings(tmp_path))
    assert len(first) == 32
    assert master_key(settings(tmp_path)) == first
    assert is_private(tmp_path / "master_key")
    assert master_key(settings(tmp_path / "other")) != first


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_both_base64_alphabets_are_read(encode: object) -> None:
    assert callable(encode)
    raw = bytes(range(224, 256))
    text = encode(raw).decode()
    assert decode(text) == raw
    assert decode(text.rstrip("=")) == raw


def test_hex_is_read() -> None:
    assert decode("AB" * 32) == b"\xab" * 32


@pytest.mark.parametrize("text", ["", "short", "x" * 43 + "!", base64.b64encode(bytes(31)).decode(), "ab" * 31])
def test_anything_else_is_refused_with_the_command_that_makes_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(MasterKeyInvalid, match="openssl rand"):
        decode(text)


def test_an_external_database_outside_development_needs_it_set(tmp_path: Path) -> None:
    external = {"WEFT_DATABASE_URL": "postgresql://h/d"}
    assert master_key(settings(tmp_path, **external))
    assert master_key(settings(tmp_path, WEFT_PROFILE="production"))
    with pytest.raises(MasterKeyMissing, match="WEFT_MASTER_KEY_FILE"):
        master_key(settings(tmp_path, WEFT_PROFILE="production", **external))
    assert master_key(settings(tmp_path, WEFT_PROFILE="production", WEFT_MASTER_KEY="00" * 32, **external)) == bytes(32)
