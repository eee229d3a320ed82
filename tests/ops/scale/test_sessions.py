"""Nothing that serves keeps anything in a session of the server; and the doctor does the sum of all pools."""

from __future__ import annotations

import re
from pathlib import Path

import asyncpg
import pytest
from tests.conftest import TestDatabase

import weft
from weft.db import emit
from weft.migrations.models import METADATA
from weft.ops.doctor import pooler
from weft.ops.doctor.answers import Verdict
from weft.ops.installation import reach
from weft.settings import load_settings

SERVING = ("api", "db", "domain", "engine", "http", "worker")
"""Floors whose statements may go through a pooler. `weft.db.migrate` does not: it has the owner's address."""

OF_SESSIONS = {
    "a setting of the session": r"\bset (?:session )?app\.\w+ (?:=|to) ",
    "set_config, which is easily said for the session": r"\bset_config\(",
    "a lock of the session": r"\bpg_(?:try_)?advisory_lock(?:_shared)?\(",
    "a temporary table": r"\bcreate temp(?:orary)? table\b",
    "a cursor that outlives its transaction": r"\bwith hold\b",
}


@pytest.mark.parametrize("what", OF_SESSIONS)
def test_no_statement_of_what_serves_needs_a_session(what: str) -> None:
    source = Path(weft.__file__).parent
    files = [file for floor in SERVING for file in (source / floor).rglob("*.py") if file.name != "migrate.py"]
    texts = {str(file.relative_to(source)): file.read_text(encoding="utf-8") for file in files}
    texts |= {"functions": "\n".join([*emit.functions(), *emit.retention(emit.tables_of(METADATA))])}
    assert len(texts) > 100
    found = [name for name, text in texts.items() if re.search(OF_SESSIONS[what], _without_prose(text), re.IGNORECASE)]
    assert found == []


def _without_prose(text: str) -> str:
    """Docstrings and comments may speak of anything."""
    text = re.sub(r'^\s*(?:r?"""(?!/\*).*?""")', "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(?m)(?:#|--).*$", "", text)


@pytest.mark.parametrize(("size", "verdict"), [("4", Verdict.ok), ("500", Verdict.warning)])
async def test_the_doctor_adds_up_the_pools(
    size: str, verdict: Verdict, test_database: TestDatabase, tmp_path: Path
) -> None:
    environ = {"HOME": str(tmp_path), "WEFT_DATABASE_POOL_SIZE": size, "WEFT_DATABASE_URL": test_database.app}
    settings = load_settings(environ, directory=tmp_path)
    worker = await asyncpg.connect(test_database.app, server_settings={"application_name": "weft worker listen"})
    try:
        (answer,) = await pooler.look(settings.database, test_database.app)
    finally:
        await worker.close()
    assert (answer.topic, answer.verdict) == ("pools", verdict)
    assert "1 API process and 1 worker may open" in answer.sentence


def test_commands_take_the_direct_address(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path), "WEFT_DATABASE_URL": "postgresql://weft_app@pooler/weft",
        "WEFT_DATABASE_LISTEN_URL": "postgresql://weft_app@server/weft",
    }  # fmt: skip
    for chosen, host in (("transaction", "server"), ("none", "pooler")):
        settings = load_settings(environ | {"WEFT_DATABASE_POOLER": chosen}, directory=tmp_path)
        with reach(settings) as addresses:
            assert addresses.app == f"postgresql://weft_app@{host}/weft"
