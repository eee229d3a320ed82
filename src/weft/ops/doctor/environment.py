"""What this installation is for, by its settings and by its database; and whether everybody knows its passwords."""

from __future__ import annotations

import asyncpg

from weft.domain.identity import passwords
from weft.domain.identity.addresses import email_key
from weft.ops import environments, profiles
from weft.ops.connections import ServerUnreachable, connect
from weft.ops.doctor.answers import Answer, fail, ok, refused, warning
from weft.ops.installation import Addresses
from weft.ops.profiles import Kept
from weft.ops.seeds.well_known import sign_ins

ENVIRONMENT, KNOWN = "environment", "known passwords"
_HASH = "/* weft:doctor.password */ select password_hash from weft.find_user($1)"


async def look(addresses: Addresses, configured: str) -> list[Answer]:
    """Both questions, asked as the application. In development everybody may know the passwords."""
    try:
        kept = await profiles.kept(addresses.app)
        answers = [_environment(configured, kept)]
        if environments.stricter(configured, kept.profile if kept else None) != "development":
            answers.append(await _known_passwords(addresses.app))
    except ServerUnreachable as error:
        return [refused(ENVIRONMENT, error)]
    except asyncpg.PostgresError as error:
        return [fail(ENVIRONMENT, f"The database did not answer this: {error}.", "`weft db check` says what differs.")]
    return answers


def _environment(configured: str, kept: Kept | None) -> Answer:
    if kept is None or environments.stricter(configured, kept.profile) != kept.profile:
        return ok(
            ENVIRONMENT, f"{configured.capitalize()}, by WEFT_PROFILE; nothing has served the database as that yet."
        )
    if kept.profile == configured:
        return ok(ENVIRONMENT, f"{configured.capitalize()}, by WEFT_PROFILE and by the database.")
    sentence = f"WEFT_PROFILE is {configured} here, but the database is kept as {kept.profile}, and that counts."
    advice = f"Set WEFT_PROFILE={kept.profile}; if it is {configured} now: weft db environments lower {configured}"
    return warning(ENVIRONMENT, sentence, advice)


async def _known_passwords(dsn: str) -> Answer:
    """Each is tried as a sign-in would: some dozen of them, each some 25 ms."""
    connection = await connect(dsn, application="weft doctor")
    try:
        hashes = {email: await connection.fetchval(_HASH, email_key(email)) for email, _ in sign_ins()}
    finally:
        await connection.close()
    opened = [
        email
        for email, password in sign_ins()
        if hashes[email] is not None and await passwords.verify(hashes[email], password)
    ]
    if not opened:
        return ok(KNOWN, "No account has a password that stands in the documentation.")
    sentence = f"Anybody can sign in as {', '.join(opened)}: the password stands in the documentation."
    return fail(KNOWN, sentence, "Change them (POST /v1/me/password), or take them out: weft member remove EMAIL")
