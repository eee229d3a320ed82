"""The two credentials that weft makes itself: API keys (`weft_sk_…`) and sessions (`weft_ss_…`).

    weft_<kind>_<locator>_<secret><checksum>

    locator   base62 of the tenant's id and the row's id (16 + 16 bytes), 43 characters; not secret
    secret    base62 of 32 random bytes, 43 characters; only its SHA-256 is stored
    checksum  base62 of the CRC-32 of everything before it, 6 characters

The locator says in which tenant to look, so that no lookup ever crosses tenants. The checksum refuses a mistyped or
cut token before the database is asked, and lets secret scanners recognise a real one. The secret has 256 bits of
entropy: a plain hash is enough, argon2 is for what people choose. Pure; nothing here is ever logged.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from weft.domain.identity.errors import CredentialInvalid

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}
_WIDTH: Final = 43  # characters that 32 bytes need
_CHECK: Final = 6  # characters that 32 bits need
_LENGTH: Final = len("weft_sk_") + _WIDTH + 1 + _WIDTH + _CHECK


class TokenKind(StrEnum):
    key = "sk"
    session = "ss"


_KINDS: Final = {kind.value: kind for kind in TokenKind}


@dataclass(frozen=True, slots=True)
class Token:
    """A credential that was presented: well formed, but not yet known to be genuine."""

    kind: TokenKind
    tenant_id: UUID
    id: UUID
    secret: bytes = field(repr=False)

    def matches(self, secret_hash: bytes) -> bool:
        """Whether this is the secret whose hash is stored; takes the same time for yes and no."""
        return hmac.compare_digest(hash_of(self.secret), secret_hash)


@dataclass(frozen=True, slots=True)
class Minted:
    """A new credential. `text` is shown once to whoever asked for it; `prefix` and `secret_hash` are stored."""

    text: str = field(repr=False)
    prefix: str
    secret_hash: bytes = field(repr=False)


def mint(kind: TokenKind, tenant_id: UUID, row_id: UUID) -> Minted:
    """A fresh credential for the row with that id."""
    secret = secrets.token_bytes(32)
    prefix = f"weft_{kind.value}_{_encode(tenant_id.bytes + row_id.bytes)}"
    body = f"{prefix}_{_encode(secret)}"
    return Minted(text=body + _checksum(body), prefix=prefix, secret_hash=hash_of(secret))


def parse(text: str) -> Token:
    """Read a credential; raises `CredentialInvalid` for anything that `mint` cannot have made."""
    if len(text) != _LENGTH or not text.isascii():
        raise CredentialInvalid
    body, check = text[:-_CHECK], text[-_CHECK:]
    # Tokens are never compared for secrecy here: the checksum is public arithmetic on what was sent.
    if check != _checksum(body):
        raise CredentialInvalid
    parts = body.split("_")
    if len(parts) != 4 or parts[0] != "weft" or parts[1] not in _KINDS:
        raise CredentialInvalid
    place, secret = _decode(parts[2]), _decode(parts[3])
    return Token(_KINDS[parts[1]], UUID(bytes=place[:16]), UUID(bytes=place[16:]), secret)


def hash_of(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _encode(data: bytes, width: int = _WIDTH) -> str:
    number = int.from_bytes(data, "big")
    characters = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        characters.append(ALPHABET[digit])
    return "".join(reversed(characters))


def _decode(text: str) -> bytes:
    if len(text) != _WIDTH:
        raise CredentialInvalid
    number = 0
    for character in text:
        value = _VALUES.get(character)
        if value is None:
            raise CredentialInvalid
        number = number * 62 + value
    if number >> 256:
        raise CredentialInvalid
    return number.to_bytes(32, "big")


def _checksum(body: str) -> str:
    return _encode(zlib.crc32(body.encode()).to_bytes(4, "big"), _CHECK)
