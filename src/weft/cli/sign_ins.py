"""Whom commands act as: an API key from the environment, else what `weft login` remembered for that address.

    ~/.config/weft/credentials.json     {"http://127.0.0.1:8080": {"token": "weft_ss_…", "email": …, "tenant": …}}

The file is for its owner alone; one that others can read is not used. A token is only ever sent to the address it
was made at.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from weft.core.errors import Forbidden, Invalid


class SignInsExposed(Forbidden):
    code = "sign_ins_exposed"

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} holds your sign-ins, but others can read it, so it is not used. Close it with "
            f"`chmod 600 {path}`, and sign in anew if somebody may have read it."
        )


class SignInsUnreadable(Invalid):
    code = "sign_ins_unreadable"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not what `weft login` writes. Remove it and sign in again.")


@dataclass(frozen=True, slots=True)
class SignIn:
    """One remembered session."""

    token: str = field(repr=False)
    email: str = ""
    tenant: str = ""
    expires_at: str = ""


def file_of(environ: Mapping[str, str] = os.environ) -> Path:
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "weft" / "credentials.json"


def remembered(url: str) -> SignIn | None:
    """The session of that address, if there is one."""
    entry = _read(file_of()).get(url)
    if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
        return None
    return SignIn(**{name: str(entry.get(name, "")) for name in ("token", "email", "tenant", "expires_at")})


def remember(url: str, sign_in: SignIn) -> Path:
    """Keep a session for that address, in place of an older one."""
    path = file_of()
    _write(path, {**_read(path), url: asdict(sign_in)})
    return path


def forget(url: str) -> bool:
    """Whether there was anything to forget."""
    path = file_of()
    entries = _read(path)
    if url not in entries:
        return False
    del entries[url]
    _write(path, entries)
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise SignInsExposed(path)
            entries = json.loads(file.read())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SignInsUnreadable(path) from error
    if not isinstance(entries, dict):
        raise SignInsUnreadable(path)
    return entries


def _write(path: Path, entries: dict[str, Any]) -> None:
    """In one step and for the owner alone: no moment at which others could read it, no half file after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".credentials-")  # 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(entries, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
