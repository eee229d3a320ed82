"""Signed webhooks: what is accepted, what is refused and why; the reference implementation is the judge."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from weft.core.errors import Kind
from weft.domain.workflows.tokens import read_signing_secret, written
from weft.engine.triggers.signatures import (
    GITHUB,
    ID,
    SIGNATURE,
    TIMESTAMP,
    TOLERANCE,
    SecretMissing,
    SignatureMalformed,
    SignatureMissing,
    SignatureOutdated,
    SignatureRefused,
    SignatureWrong,
    sign_github,
    sign_standard,
    verify,
)

SECRET = bytes(range(32))
NOW = datetime(2030, 6, 1, 12, 0, tzinfo=UTC)
BODY = b'{"amount": 12.50, "name": "M\xc3\xbcller"}'


def signed(**changes: str | None) -> dict[str, str]:
    """A genuine message's headers, some of them changed or left out."""
    headers: dict[str, str | None] = {**sign_standard(SECRET, "msg_1", NOW, BODY)}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in headers.items() if value is not None}


def check(headers: dict[str, str], *, body: bytes = BODY, now: datetime = NOW, secret: bytes = SECRET) -> None:
    verify("standard", secret, headers, body, now)


# Standard Webhooks


def test_the_example_that_is_published_with_the_reference_implementations() -> None:
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    at = datetime.fromtimestamp(1614265330, UTC)
    body = b'{"test": 2432232314}'
    headers = sign_standard(read_signing_secret(key), "msg_p5jXN8AQM9LWM0D4loKWxJek", at, body)
    assert headers[SIGNATURE] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(secret=st.binary(min_size=1, max_size=64), body=st.text(), number=st.integers(1, 10**6))
def test_we_sign_as_the_reference_implementation_does(secret: bytes, body: str, number: int) -> None:
    reference = Webhook(written(secret))
    headers = sign_standard(secret, f"msg_{number}", NOW, body.encode())
    assert headers[SIGNATURE] == reference.sign(f"msg_{number}", NOW, body)
    verify("standard", secret, headers, body.encode(), NOW)


def test_the_reference_implementation_accepts_what_we_sign() -> None:
    now = datetime.now(UTC)
    Webhook(written(SECRET)).verify(BODY, sign_standard(SECRET, "msg_1", now, BODY))
    with pytest.raises(WebhookVerificationError):
        Webhook(written(SECRET)).verify(BODY + b" ", sign_standard(SECRET, "msg_1", now, BODY))


def test_a_genuine_message_passes_in_any_case_of_its_headers() -> None:
    check(signed())
    check({name.title(): value for name, value in signed().items()})


def test_one_of_several_signatures_is_enough() -> None:
    """While a sender changes its secret, it signs with the old and the new one."""
    good = signed()[SIGNATURE]
    other = sign_standard(b"another", "msg_1", NOW, BODY)[SIGNATURE]
    for line in (f"{other} {good}", f"{good} {other}", f"v1a,abcd {good}", f"junk v1, {good}", f"  {good}  {other} "):
        check(signed(webhook_signature=line))
    with pytest.raises(SignatureWrong):
        check(signed(webhook_signature=f"{other} {other}"))


def test_a_list_of_signatures_without_end_is_not_searched() -> None:
    good = signed()[SIGNATURE]
    with pytest.raises(SignatureWrong):
        check(signed(webhook_signature="v1,x " * 16 + good))


@pytest.mark.parametrize("seconds", [-TOLERANCE, -1, 0, 1, TOLERANCE])
def test_clocks_may_differ_a_little(seconds: int) -> None:
    check(sign_standard(SECRET, "msg_1", NOW + timedelta(seconds=seconds), BODY))


@pytest.mark.parametrize(("seconds", "way"), [(-TOLERANCE - 1, "past"), (TOLERANCE + 1, "future"), (-(10**8), "past")])
def test_an_old_message_cannot_be_sent_again(seconds: int, way: str) -> None:
    with pytest.raises(SignatureOutdated, match=way):
        check(sign_standard(SECRET, "msg_1", NOW + timedelta(seconds=seconds), BODY))


@pytest.mark.parametrize(
    "change",
    [
        {"body": BODY + b"\n"},
        {"body": b""},
        {"secret": SECRET[::-1]},
        {"headers": signed(webhook_id="msg_2")},
        {"headers": signed(webhook_timestamp=str(int(NOW.timestamp()) + 1))},
    ],
)
def test_every_part_of_the_message_is_signed(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureWrong):
        check(**{"headers": signed(), **change})


@pytest.mark.parametrize("name", [ID, TIMESTAMP, SIGNATURE])
@pytest.mark.parametrize("value", [None, "", "   "])
def test_a_header_that_is_missing_is_named(name: str, value: str | None) -> None:
    with pytest.raises(SignatureMissing, match=name):
        check(signed(**{name.replace("-", "_"): value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (ID, "msg.1"), (ID, "x" * 257), (ID, "m\xfc"), (ID, "a\x00b"), (ID, "x" * 5000),
        (TIMESTAMP, "now"), (TIMESTAMP, "1906545600.5"), (TIMESTAMP, "-1"), (TIMESTAMP, "1e9"), (TIMESTAMP, "9" * 13),
        (TIMESTAMP, "\N{SUPERSCRIPT TWO}"), (TIMESTAMP, "0x7"), (TIMESTAMP, "nan"),
        (SIGNATURE, "v1"), (SIGNATURE, "v1,"), (SIGNATURE, "v2,abc"), (SIGNATURE, ","), (SIGNATURE, "abc"),
        (SIGNATURE, "V1,abc"), (SIGNATURE, "v1,x " * 2000),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_read_is_named(name: str, value: str) -> None:
    with pytest.raises(SignatureMalformed, match=name):
        check(signed(**{name.replace("-", "_"): value}))


def test_a_signature_holds_for_one_reading_only() -> None:
    """`a.1.2.b` must not be both the id `a.1` and the id `a`: the specification warns of it."""
    stamp = str(int(NOW.timestamp()))
    body = f"{stamp}.pay".encode()
    headers = sign_standard(SECRET, "a", NOW, body)
    check(headers, body=body)
    with pytest.raises(SignatureMalformed):
        check({**headers, ID: f"a.{stamp}"}, body=b"pay")
    for name in ("", "a.b"):
        with pytest.raises(ValueError, match="full stop"):
            sign_standard(SECRET, name, NOW, body)


@given(
    st.dictionaries(st.sampled_from([ID, TIMESTAMP, SIGNATURE, GITHUB]), st.text()),
    st.sampled_from(["standard", "github"]),
)
@example({ID: "a", TIMESTAMP: "1906545600", SIGNATURE: "v1,\ud800"}, "standard")
@example({GITHUB: "sha256=" + "\xe9" * 64}, "github")
def test_nothing_in_a_header_is_more_than_a_refusal(headers: dict[str, str], scheme: Any) -> None:
    with pytest.raises(SignatureRefused) as caught:
        verify(scheme, SECRET, headers, BODY, NOW)
    assert caught.value.kind is Kind.unauthenticated


# GitHub


def test_github_signs_with_the_secret_as_people_see_it() -> None:
    """What is pasted into GitHub's form is the text `whsec_…`, and the text is the key."""
    digest = hmac.new(written(SECRET).encode(), BODY, hashlib.sha256).hexdigest()
    assert sign_github(SECRET, BODY) == {GITHUB: f"sha256={digest}"}
    verify("github", SECRET, {"X-Hub-Signature-256": f"sha256={digest}"}, BODY, NOW)
    verify("github", SECRET, {GITHUB: f"sha256={digest.upper()}"}, BODY, NOW)


def test_githubs_own_example() -> None:
    """From GitHub's documentation: the secret and the body with the signature they must give."""
    digest = hmac.digest(b"It's a Secret to Everybody", b"Hello, World!", "sha256").hex()
    assert digest == "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_another_body_or_secret_does_not_fit_githubs_signature() -> None:
    headers = sign_github(SECRET, BODY)
    for secret, body in ((SECRET, BODY + b" "), (b"other", BODY)):
        with pytest.raises(SignatureWrong):
            verify("github", secret, headers, body, NOW)


@pytest.mark.parametrize(
    "value", ["sha1=" + "0" * 40, "sha256=", "sha256=" + "0" * 63, "0" * 64, "SHA256=" + "0" * 64, "="]
)
def test_githubs_header_must_be_as_github_writes_it(value: str) -> None:
    with pytest.raises(SignatureMalformed, match=GITHUB):
        verify("github", SECRET, {GITHUB: value}, BODY, NOW)


def test_githubs_header_may_not_be_missing() -> None:
    with pytest.raises(SignatureMissing, match=GITHUB):
        verify("github", SECRET, {"x-hub-signature": "sha1=" + "0" * 40}, BODY, NOW)


@pytest.mark.parametrize("secret", [None, b""])
@pytest.mark.parametrize("scheme", ["standard", "github"])
def test_without_a_secret_nothing_is_genuine(scheme: Any, secret: bytes | None) -> None:
    headers = {**signed(), **sign_github(SECRET, BODY)}
    with pytest.raises(SecretMissing):
        verify(scheme, secret, headers, BODY, NOW)


def test_refusals_do_not_tell_what_would_have_fitted() -> None:
    with pytest.raises(SignatureWrong) as caught:
        check(signed(), body=b"other")
    assert signed()[SIGNATURE].removeprefix("v1,") not in str(caught.value)
