"""The installation's master key: given by the operator, or made once and kept in the home."""

from __future__ import annotations

import base64
import binascii
import re

from weft.core.errors import Invalid
from weft.ops.home import Home
from weft.settings import Settings

BYTES = 32


class MasterKeyInvalid(Invalid):
    code = "master_key_invalid"

    def __init__(self) -> None:
        super().__init__(
            f"The master key must be {BYTES} random bytes, as base64 or hex. Make one: openssl rand -base64 {BYTES}"
        )


class MasterKeyMissing(Invalid):
    code = "master_key_missing"

    def __init__(self, profile: str) -> None:
        super().__init__(
            f"In {profile} with a database of your own, all processes need the same master key, and backups are "
            f"useless without it: set WEFT_MASTER_KEY_FILE (make a key with: openssl rand -base64 {BYTES})."
        )


def master_key(settings: Settings) -> bytes:
    """The 32 bytes from which all other keys are derived.

    Raises `MasterKeyInvalid`, or `MasterKeyMissing` where a key made on one machine would not be enough.
    """
    text = settings.master_key
    if text is None:
        if settings.profile != "development" and settings.database.url is not None:
            raise MasterKeyMissing(settings.profile)
        home = Home(settings.home)
        home.ensure()
        text = home.ensure_master_key().read_text().strip()
    return decode(text)


def decode(text: str) -> bytes:
    """Read a key as hex or as base64 in either alphabet, with or without padding."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    try:
        padded = text.rstrip("=").replace("-", "+").replace("_", "/")
        raw = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise MasterKeyInvalid from None
    if len(raw) != BYTES:
        raise MasterKeyInvalid
    return raw


def present_master_key(settings: Settings) -> bytes | None:
    """The master key if it is here; none is made. For those who only compare."""
    text = settings.master_key
    if text is None:
        path = Home(settings.home).master_key_file
        if not path.exists():
            return None
        text = path.read_text().strip()
    return decode(text)
