"""The address of a webhook: `weft_wh_<locator>_<secret><checksum>`, made like the credentials of identity.

    locator   base62 of the tenant's id and the trigger's id (16 + 16 bytes), 43 characters; not secret
    secret    base62 of 32 random bytes, 43 characters; only its SHA-256 is stored
    checksum  base62 of the CRC-32 of everything before it, 6 characters

The locator says in which tenant to look, so that no lookup crosses tenants. It is a kind of its own, and no
credential: whoever has it may start one workflow and see nothing. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from weft.domain.identity.tokens import ALPHABET
from weft.domain.workflows.errors import WebhookUnknown

PREFIX: Final = "weft_wh_"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  the prefix of Standard Webhooks, not a secret
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}
_WIDTH: Final = 43  # characters that 32 bytes need
_CHECK: Final = 6  # characters that 32 bits need
_LENGTH: Final = len(PREFIX) + _WIDTH + 1 + _WIDTH + _CHECK


@dataclass(frozen=True, slots=True)
class WebhookToken:
    """An address that somebody called: well formed, but not yet known to be genuine."""

    tenant_id: UUID
    trigger_id: UUID
    secret: bytes = field(repr=False)

    def matches(self, token_hash: bytes) -> bool:
        """Whether this is the secret whose hash is stored; takes the same time for yes and no."""
        return hmac.compare_digest(_hash(self.secret), token_hash)


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A new address. `text` is shown once; `token_hash` is stored."""

    text: str = field(repr=False)
    token_hash: bytes = field(repr=False)


def mint(tenant_id: UUID, trigger_id: UUID) -> MintedToken:
    """A fresh address for this trigger; the one before stops working when the hash is replaced."""
    secret = secrets.token_bytes(32)
    body = f"{PREFIX}{_encode(tenant_id.bytes + trigger_id.bytes)}_{_encode(secret)}"
    return MintedToken(body + _checksum(body), _hash(secret))


def parse(text: str) -> WebhookToken:
    """Read an address; raises `WebhookUnknown` for anything that `mint` cannot have made."""
    if len(text) != _LENGTH or not text.startswith(PREFIX) or not text.isascii():
        raise WebhookUnknown
    body, check = text[:-_CHECK], text[-_CHECK:]
    place, separator, secret = body.removeprefix(PREFIX).partition("_")
    if check != _checksum(body) or not separator:
        raise WebhookUnknown
    both = _decode(place)
    return WebhookToken(UUID(bytes=both[:16]), UUID(bytes=both[16:]), _decode(secret))


def new_signing_secret() -> bytes:
    """32 random bytes: Standard Webhooks recommends 24 to 64."""
    return secrets.token_bytes(32)


def written(signing_secret: bytes) -> str:
    """A signing secret as Standard Webhooks writes it: `whsec_` and base64."""
    return SECRET_PREFIX + b64encode(signing_secret).decode()


def read_signing_secret(text: str) -> bytes:
    """The bytes behind `whsec_…`."""
    return b64decode(text.removeprefix(SECRET_PREFIX), validate=True)


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _encode(data: bytes, width: int = _WIDTH) -> str:
    number = int.from_bytes(data, "big")
    characters = []
    for _ in range(width):
        number, digit = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[digit])
    return "".join(reversed(characters))


def _decode(text: str) -> bytes:
    if len(text) != _WIDTH or any(character not in _VALUES for character in text):
        raise WebhookUnknown
    number = 0
    for character in text:
        number = number * len(ALPHABET) + _VALUES[character]
    if number >> 256:
        raise WebhookUnknown
    return number.to_bytes(32, "big")


def _checksum(body: str) -> str:
    return _encode(zlib.crc32(body.encode()).to_bytes(4, "big"), _CHECK)
