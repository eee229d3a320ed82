"""`weft login`, `logout`, `whoami`, `switch` against a real server, with the exit codes that scripts rely on."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from tests.cli.conftest import Served, Weft
from tests.factories import identity

from weft.db.database import Database

INVALID, UNAUTHENTICATED, FORBIDDEN, UNAVAILABLE = 2, 3, 4, 8


def sign_in(weft: Weft, served: Served) -> None:
    result = weft("login", "--email", served.owner.email, "--password-stdin", stdin=served.owner.password + "\n")
    assert result.code == 0, result.err


def test_without_a_sign_in_commands_say_what_to_do(served: Served, weft: Weft) -> None:
    result = weft("whoami")
    assert result.code == UNAUTHENTICATED
    assert "weft login" in result.err
    assert result.out == ""
    problem = json.loads(weft("whoami", "--json").err)
    assert (problem["type"], problem["kind"]) == ("not_signed_in", "unauthenticated")


def test_signing_in_is_remembered_for_the_owner_of_the_file_alone(served: Served, weft: Weft, nobody: Path) -> None:
    result = weft("login", "--email", served.owner.email, "--password-stdin", stdin=served.owner.password + "\n")
    assert (result.code, result.err) == (0, "")
    assert served.owner.email in result.out
    assert "weft_ss_" not in result.out
    assert stat.S_IMODE(nobody.stat().st_mode) == 0o600
    entry = json.loads(nobody.read_text())[served.url]
    assert entry["token"].startswith("weft_ss_")
    me = weft("whoami", "--json").json()
    assert (me["user"]["email"], me["tenant"]["slug"], me["url"]) == (served.owner.email, "acme", served.url)
    shown = weft("whoami")
    assert "acme" in shown.out
    assert "OWNER" in shown.out


def test_a_wrong_password_is_refused_and_nothing_remembered(served: Served, weft: Weft, nobody: Path) -> None:
    result = weft("login", "--email", served.owner.email, "--password-stdin", stdin="wrong password\n")
    assert result.code == UNAUTHENTICATED
    assert "not right" in result.err
    assert not nobody.exists()


def test_a_script_that_forgets_the_password_is_told(served: Served, weft: Weft) -> None:
    assert weft("login", "--email", served.owner.email).code == INVALID
    empty = weft("login", "--email", served.owner.email, "--password-stdin", stdin="")
    assert (empty.code, "standard input" in empty.err) == (INVALID, True)


def test_signing_out_ends_the_session_there_and_forgets_it_here(served: Served, weft: Weft, nobody: Path) -> None:
    sign_in(weft, served)
    token = json.loads(nobody.read_text())[served.url]["token"]
    assert weft("logout").code == 0
    assert json.loads(nobody.read_text()) == {}
    assert weft("whoami").code == UNAUTHENTICATED
    os.environ["WEFT_TOKEN"] = token  # whoever kept a copy has nothing of it
    try:
        assert weft("whoami").code == UNAUTHENTICATED
    finally:
        del os.environ["WEFT_TOKEN"]
    assert weft("logout").code == UNAUTHENTICATED


def test_an_api_key_in_the_environment_comes_first(served: Served, weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(weft, served)
    made = weft("key", "create", "ci", "--scope", "tenants:read", "--json").json()
    monkeypatch.setenv("WEFT_API_KEY", made["token"])
    me = weft("whoami", "--json").json()
    assert (me["credential"], me["permissions"]) == ("api_key", ["tenants:read"])
    refused = weft("member", "list")
    assert (refused.code, "members:read" in refused.err) == (FORBIDDEN, True)


def test_a_file_that_others_can_read_is_not_used(served: Served, weft: Weft, nobody: Path) -> None:
    sign_in(weft, served)
    nobody.chmod(0o644)
    result = weft("whoami")
    assert (result.code, "chmod 600" in result.err) == (FORBIDDEN, True)


def test_a_token_is_sent_to_its_own_address_only(served: Served, weft: Weft) -> None:
    sign_in(weft, served)
    other = served.url.replace("127.0.0.1", "localhost")
    result = weft("whoami", "--url", other)
    assert (result.code, other in result.err) == (UNAUTHENTICATED, True)


@pytest.fixture
async def two_tenants(served: Served, database: Database) -> Served:
    globex = await identity.tenant(database, "globex")
    await identity.member(database, globex, email=served.owner.email, role="VIEWER")
    return served


def test_switching_is_remembered_and_one_command_may_look_elsewhere(two_tenants: Served, weft: Weft) -> None:
    sign_in(weft, two_tenants)
    assert weft("tenant", "show", "--tenant", "globex", "--json").json()["slug"] == "globex"
    assert weft("tenant", "show", "--json").json()["slug"] == "acme"
    assert weft("switch", "globex").code == 0
    assert weft("tenant", "show", "--json").json()["slug"] == "globex"
    refused = weft("switch", "nowhere")
    assert (refused.code, "whoami" in refused.err) == (FORBIDDEN, True)
    assert "also in" in weft("whoami").out


def test_where_nothing_listens_the_sentence_says_how_to_start_it(weft: Weft) -> None:
    result = weft("login", "--email", "a@b.example", "--password-stdin", "--url", "http://127.0.0.1:1", stdin="x\n")
    assert result.code == UNAVAILABLE
    assert "./weft up" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://", "http://u:p@h", "http://h/?x=1", "http://h:x"])
def test_what_is_no_address_is_refused(weft: Weft, url: str) -> None:
    result = weft("whoami", "--url", url)
    assert (result.code, "--url" in result.err or "address" in result.err) == (INVALID, True)
