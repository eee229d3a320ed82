"""Passwords: hashed with argon2id, off the event loop, and never cheaper for accounts that do not exist."""

from __future__ import annotations

import asyncio
import threading

import pytest
from argon2 import PasswordHasher

from weft.domain.identity import passwords
from weft.domain.identity.errors import PasswordUnfit, SignInsBusy


async def test_the_right_password_verifies_and_no_other() -> None:
    stored = await passwords.hashed("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horsE")
    assert not await passwords.verify(stored, "")


async def test_composed_and_decomposed_letters_are_one_password() -> None:
    stored = await passwords.hashed("zürich 2026")
    assert await passwords.verify(stored, "zu\u0308rich 2026")


async def test_an_unknown_account_costs_a_verification_and_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    matches = passwords._matches

    def watched(stored: str, password: str) -> bool:
        asked.append(stored)
        return matches(stored, password)

    monkeypatch.setattr(passwords, "_matches", watched)
    assert not await passwords.verify(None, "whatever it is")
    assert asked == [passwords._NOBODY]


async def test_the_stand_in_hash_costs_what_a_real_one_costs() -> None:
    """Same parameters and lengths as a real hash, or the difference could be timed."""
    real = await passwords.hashed("correct horse")
    assert [len(part) for part in passwords._NOBODY.split("$")] == [len(part) for part in real.split("$")]
    assert passwords._NOBODY.split("$")[:4] == real.split("$")[:4]
    assert not passwords.needs_rehash(passwords._NOBODY)


async def test_a_broken_hash_is_a_refusal_not_an_accident() -> None:
    assert not await passwords.verify("not a hash", "whatever")


async def test_hashes_of_other_parameters_are_renewed() -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash("correct horse")
    assert await passwords.verify(old, "correct horse")
    assert passwords.needs_rehash(old)
    assert not passwords.needs_rehash(await passwords.hashed("correct horse"))


async def test_the_event_loop_goes_on_while_passwords_are_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash waits for the loop, which could not turn if it were made there."""
    turned, hasher = threading.Event(), passwords._hasher()

    class Patient:
        def hash(self, password: str) -> str:
            assert turned.wait(60), "the loop stood still"
            return hasher.hash(password)

    monkeypatch.setattr(passwords, "_hasher", Patient)
    work = asyncio.ensure_future(passwords.hashed("correct horse"))
    await asyncio.sleep(0)
    turned.set()
    assert (await work).startswith("$argon2id$")


async def test_more_than_can_be_served_soon_are_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 1)
    first = asyncio.ensure_future(passwords.hashed("correct horse"))
    await asyncio.sleep(0)
    with pytest.raises(SignInsBusy) as refused:
        await passwords.hashed("another one")
    assert refused.value.retry_after == 1.0
    await first
    assert await passwords.hashed("and again")


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("1234567", "at least 8"),
        ("x" * 257, "at most 256"),
        ("Ada.Lovelace@Example.com", "e-mail"),
        ("ADA.LOVELACE", "e-mail"),
    ],
)
def test_unfit_passwords_are_refused(password: str, says: str) -> None:
    with pytest.raises(PasswordUnfit, match=says):
        passwords.check(password, "ada.lovelace@example.com")


@pytest.mark.parametrize("password", ["12345678", "x" * 256, "ada.lovelace2", "пароль-достаточно"])
def test_fit_passwords_pass(password: str) -> None:
    passwords.check(password, "ada.lovelace@example.com")


def test_generated_passwords_are_fit_and_differ() -> None:
    made = {passwords.generated() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        passwords.check(password, "ada@example.com")
