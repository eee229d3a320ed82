"""Passwords: argon2id off the event loop, at most two at a time per core, and the same effort for unknown accounts.

Parameters are OWASP's minimum for argon2id (19 MiB, two passes, one lane; Password Storage Cheat Sheet): about 25 ms.
A hash made with other parameters still verifies, and is renewed at the next sign-in (`needs_rehash`).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from weft.domain.identity.addresses import email_key
from weft.domain.identity.errors import PasswordUnfit, SignInsBusy

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SHORTEST: Final = 8
LONGEST: Final = 256
MOST_WAITING: Final = 64  # some two seconds of work on two cores; more callers are told to come back
_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # nothing that looks like another
_NOBODY: Final = "$argon2id$v=19$m=19456,t=2,p=1$d2VmdC1ub2JvZHktc2FsdA$Zm9yLWFjY291bnRzLXRoYXQtYXJlLW5vdC1oZXJlLTA"

Result = TypeVar("Result")

# The pool is the limit: a thread for each password in work, the rest wait in its queue.
_pool = ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1), thread_name_prefix="weft-password")
_waiting = 0


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher, Type

    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)


async def hashed(password: str) -> str:
    """What to store for this password."""
    return await _apart(lambda: _hasher().hash(_normal(password)))


async def verify(stored: str | None, password: str) -> bool:
    """Whether this is the password. `None` (no such account, or one without a password) costs the same and is False."""
    matches = await _apart(lambda: _matches(stored or _NOBODY, password))
    return matches and stored is not None


def needs_rehash(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(stored)


def check(password: str, email: str, path: tuple[str | int, ...] = ("password",)) -> None:
    """Raise `PasswordUnfit` for a password that nobody should choose (NIST SP 800-63B: length, not composition)."""
    if len(password) < SHORTEST:
        raise PasswordUnfit(f"A password needs at least {SHORTEST} characters.", path)
    if len(password) > LONGEST:
        raise PasswordUnfit(f"A password has at most {LONGEST} characters.", path)
    if email_key(password) in (email_key(email), email_key(email).partition("@")[0]):
        raise PasswordUnfit("The password may not be the e-mail address. Choose something else.", path)


def generated(length: int = 16) -> str:
    """A random password that can be read aloud (some 93 bits)."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _normal(password: str) -> str:
    """The same password whatever keyboard composed it."""
    return unicodedata.normalize("NFKC", password)


def _matches(stored: str, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        # No stored password is longer, so a longer one is wrong; hashing it whole would be free work for a stranger.
        return _hasher().verify(stored, _normal(password[: LONGEST + 1]))
    except (VerificationError, InvalidHashError):
        return False


async def _apart(work: Callable[[], Result]) -> Result:
    global _waiting
    if _waiting >= MOST_WAITING:
        raise SignInsBusy
    _waiting += 1
    try:
        return await asyncio.get_running_loop().run_in_executor(_pool, work)
    finally:
        _waiting -= 1
