"""Whether a webhook was sent by somebody who knows its secret: Standard Webhooks and GitHub's way. Pure.

Standard Webhooks (specification 1.0.0) signs `id.timestamp.body`, so that an old message cannot be sent again later:
`webhook-id`, `webhook-timestamp` in Unix seconds, and `webhook-signature` with one or more of `v1,<base64>`, several
while a sender changes its secret. GitHub signs the body alone: `X-Hub-Signature-256: sha256=<hex>`.

The secret is bytes. People see it as `whsec_<base64>`; GitHub is given that text and signs with the text itself.
Whatever a caller puts into its headers ends in a signature that holds or in a `SignatureRefused`; digests are
compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from weft.core.errors import Unauthenticated
from weft.domain.workflows.tokens import written

Scheme = Literal["standard", "github"]

TOLERANCE: Final = 300.0
"""Seconds that a sender's clock may differ from ours, either way, unless the webhook says otherwise; also how long a
message could be sent again."""

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
GITHUB: Final = "x-hub-signature-256"

_LONGEST_ID: Final = 256
_LONGEST_HEADER: Final = 4096
_MOST_SIGNATURES: Final = 16


class SignatureRefused(Unauthenticated):
    """The message does not prove that its sender knows the secret. Each subclass says what is amiss."""

    code = "signature_refused"


class SignatureMissing(SignatureRefused):
    code = "signature_missing"

    def __init__(self, header: str) -> None:
        super().__init__(f"The header {header} is missing. Sign the message, or set the webhook's `verify` to `none`.")


class SignatureMalformed(SignatureRefused):
    code = "signature_malformed"

    def __init__(self, header: str, wanted: str) -> None:
        super().__init__(f"The header {header} cannot be read. It must be {wanted}.")


class SignatureOutdated(SignatureRefused):
    code = "signature_outdated"

    def __init__(self, seconds: int, tolerance: float = TOLERANCE) -> None:
        way = "in the past" if seconds < 0 else "in the future"
        super().__init__(
            f"The message's time is more than {tolerance:g} seconds {way}. Sign each attempt anew, and check the clock."
        )


class SignatureWrong(SignatureRefused):
    code = "signature_wrong"

    def __init__(self) -> None:
        super().__init__(
            "The signature does not fit the message. Check the secret, and sign exactly the bytes that are sent."
        )


class SecretMissing(SignatureRefused):
    code = "signing_secret_missing"

    def __init__(self) -> None:
        super().__init__("The webhook has no signing secret, so nothing can be verified. Rotate its secret.")


def verify(
    scheme: Scheme,
    secret: bytes | None,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    *,
    tolerance: float = TOLERANCE,
) -> None:
    """Return if the message is genuine, else raise `SignatureRefused`. Header names may be in any case."""
    if not secret:
        raise SecretMissing
    if scheme == "standard":
        verify_standard(secret, headers, body, now, tolerance=tolerance)
    else:
        verify_github(secret, headers, body)


def verify_standard(
    secret: bytes, headers: Mapping[str, str], body: bytes, now: datetime, *, tolerance: float = TOLERANCE
) -> None:
    message_id, stamp, signatures = (_header(headers, name) for name in (ID, TIMESTAMP, SIGNATURE))
    # A dot in the id would let one signature stand for two readings of the same bytes.
    if len(message_id) > _LONGEST_ID or "." in message_id or not (message_id.isascii() and message_id.isprintable()):
        raise SignatureMalformed(ID, f"at most {_LONGEST_ID} characters of ASCII without a full stop")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise SignatureMalformed(TIMESTAMP, "a whole number of seconds since 1970")
    given = _versioned(signatures)
    ahead = int(stamp) - int(now.timestamp())
    if abs(ahead) > tolerance:
        raise SignatureOutdated(ahead, tolerance)
    expected = _standard(secret, message_id, stamp, body).encode()
    fits = [hmac.compare_digest(expected, one) for one in given]  # all of them: the time must not tell which one fits
    if not any(fits):
        raise SignatureWrong


def verify_github(secret: bytes, headers: Mapping[str, str], body: bytes) -> None:
    name, _, digest = _header(headers, GITHUB).partition("=")
    if name != "sha256" or len(digest) != 64 or not digest.isascii():
        raise SignatureMalformed(GITHUB, "`sha256=` and 64 hexadecimal digits")
    if not hmac.compare_digest(_github(secret, body).encode(), digest.lower().encode()):
        raise SignatureWrong


def sign_standard(secret: bytes, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers that prove a message of ours. `message_id` stays the same when the message is sent again."""
    if not message_id or "." in message_id:
        raise ValueError("a message's id is not empty and has no full stop")
    stamp = str(int(at.timestamp()))
    return {ID: message_id, TIMESTAMP: stamp, SIGNATURE: f"v1,{_standard(secret, message_id, stamp, body)}"}


def sign_github(secret: bytes, body: bytes) -> dict[str, str]:
    """The header as GitHub would send it when it was given the secret in its written form."""
    return {GITHUB: f"sha256={_github(secret, body)}"}


def _standard(secret: bytes, message_id: str, stamp: str, body: bytes) -> str:
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    return b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def _github(secret: bytes, body: bytes) -> str:
    return hmac.digest(written(secret).encode(), body, hashlib.sha256).hex()


def _versioned(signatures: str) -> list[bytes]:
    """The `v1` signatures of the header; other versions are for other sorts of secrets."""
    found = [one.partition(",") for one in signatures.split(maxsplit=_MOST_SIGNATURES)[:_MOST_SIGNATURES]]
    given = [text.encode("utf-8", "replace") for version, comma, text in found if version == "v1" and comma and text]
    if not given:
        raise SignatureMalformed(SIGNATURE, "one or more of `v1,` and the signature in base64, separated by blanks")
    return given


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if value is None:
        value = next((value for key, value in headers.items() if key.lower() == name), None)
    value = value.strip() if value is not None else ""
    if not value:
        raise SignatureMissing(name)
    if len(value) > _LONGEST_HEADER:
        raise SignatureMalformed(name, f"at most {_LONGEST_HEADER} characters long")
    return value
