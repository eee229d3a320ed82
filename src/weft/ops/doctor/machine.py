"""This machine: Python, the home, its secrets, the disk, step kinds, the guard. Nothing here needs a database."""

from __future__ import annotations

import asyncio
import os
import platform
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import weft
from weft.core.errors import WeftError
from weft.ops import keys
from weft.ops.doctor.answers import Answer, fail, ok, refused, skipped, warning
from weft.ops.home import Home, is_private
from weft.ops.installation import shown
from weft.ops.postgres_files import NEEDED_BYTES, Programs, free_bytes
from weft.settings import Settings

COMFORTABLE_BYTES = 5 * NEEDED_BYTES
"""Free space below which somebody should know: one busy day can write this much."""

_OTHERS_MAY_READ_OR_WRITE = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


def programs() -> list[Answer]:
    """Which weft this is, and what runs it."""
    return [ok("weft", f"weft {weft.__version__} on Python {platform.python_version()}, {platform.platform()}.")]


def home(place: Home, *, needed: bool = True) -> list[Answer]:
    """The directory that keeps the embedded database and the keys: is it ours, and closed to others?

    Not `needed` where the operator gives both a database and a master key; then only `weft up` wants it.
    """
    path = place.path
    if not path.exists():
        nearest = next(p for p in path.parents if p.exists())
        if os.access(nearest, os.W_OK | os.X_OK):
            return [ok("home", f"{shown(path)} does not exist yet; `weft up` makes it."), disk(path)]
        return [_closed(needed, f"{shown(path)} cannot be made: {nearest} is not ours.")]
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        owner = path.stat().st_uid
        return [_closed(needed, f"{shown(path)} belongs to the user {owner}, and we may not write there.")]
    return [_directory(path), *_secret_files(place), disk(path)]


def _closed(needed: bool, sentence: str) -> Answer:
    return (fail if needed else warning)("home", sentence, _OTHER_HOME)


_OTHER_HOME = "Run this as the user who runs weft, or choose another directory with WEFT_HOME."


def _directory(path: Path) -> Answer:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS_MAY_READ_OR_WRITE:
        return warning("home", f"Other users of this machine may look into {shown(path)}.", f"chmod go-rw '{path}'")
    return ok("home", f"{shown(path)} is writable, and closed to others.")


def _secret_files(place: Home) -> Iterator[Answer]:
    files = [file for file in (place.credentials_file, place.master_key_file) if file.exists()]
    open_files = [file for file in files if not is_private(file)]
    if open_files:
        names = ", ".join(file.name for file in open_files)
        paths = " ".join(f"'{file}'" for file in open_files)
        yield fail("secrets", f"Other users of this machine can read {names}.", f"chmod 600 {paths}")
    elif files:
        yield ok("secrets", f"Only we can read {', '.join(file.name for file in files)}.")


def disk(path: Path) -> Answer:
    """Space where the embedded database writes."""
    free = free_bytes(path)
    sentence = f"{_size(free)} are free where {shown(path)} lies."
    advice = "Free some space, or move WEFT_HOME to a larger disk."
    if free < NEEDED_BYTES:
        return fail("disk", f"Only {sentence} The embedded server does not start with so little.", advice)
    if free < COMFORTABLE_BYTES:
        return warning("disk", f"Only {sentence}", advice)
    return ok("disk", sentence)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count // 2**20} MB"


def embedded_programs(settings: Settings) -> list[Answer]:
    """Whether `weft up` could bring its own server; not asked where the operator has one."""
    if settings.database.url is not None:
        return []
    try:
        major = Programs.embedded().major()
    except WeftError as error:
        return [refused("embedded server", error)]
    return [ok("embedded server", f"The programs of PostgreSQL {major} are installed.")]


def master_key(settings: Settings, place: Home) -> tuple[Answer | None, bytes | None]:
    """The key itself, looked at and never made here. No answer yet where stored keys can still be tried with it."""
    topic = "master key"
    text = settings.master_key
    if text is None and settings.profile != "development" and settings.database.url is not None:
        return refused(topic, keys.MasterKeyMissing(settings.profile)), None
    if text is None and place.master_key_file.exists():
        text = place.master_key_file.read_text().strip()
    if text is None:
        if place.data.exists():
            lost = f"There is a database in {shown(place.path)}, but no master key: stored secrets cannot be opened."
            return fail(topic, lost, f"Restore {shown(place.master_key_file)} from your backup."), None
        return skipped(topic, "There is none yet.", "The first start makes one; keep a copy of it."), None
    try:
        return None, keys.decode(text)
    except WeftError as error:
        return refused(topic, error), None


def step_kinds() -> list[Answer]:
    """Whether every step kind that is installed can be used."""
    from weft.engine import registry  # imports plug-ins, whatever they bring

    topic = "step kinds"
    try:
        kinds, faults = registry.kinds(), registry.faults()
    except WeftError as error:
        return [refused(topic, error)]
    broken = [
        fail(
            topic,
            f"'{fault.name}' of '{fault.distribution}' cannot be used: {fault.reason}.",
            f"Mend, upgrade or remove '{fault.distribution}', then restart API and worker.",
        )
        for fault in faults
    ]
    return broken or [ok(topic, f"All {len(kinds)} kinds are usable.")]


def guard() -> list[Answer]:
    """Whether expressions that are not simple can be evaluated: the guard's processes start, and answer."""
    try:
        began = time.monotonic()
        right = asyncio.run(_ask_guard())
        milliseconds = (time.monotonic() - began) * 1000
    except WeftError as error:
        advice = "See whether this machine has memory and process ids left (ulimit -u, ulimit -v)."
        return [fail("expressions", error.message, advice)]
    if not right:
        return [fail("expressions", "The guard's answer is wrong.", "Install weft anew: a library does not fit.")]
    return [ok("expressions", f"The guard's processes start and answer ({milliseconds:.0f} ms).")]


async def _ask_guard() -> bool:
    from weft.expressions.compile import compile_expression
    from weft.expressions.guard import Guard

    question = compile_expression("input.numbers | map('int') | sum")
    async with Guard() as guard:
        return bool(await guard.value(question, {"input": {"numbers": ["40", "2"]}}) == 42)
