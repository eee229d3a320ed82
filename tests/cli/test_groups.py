"""The groups of identity, clients and audit against a real server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Served, Weft

INVALID, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, CONFLICT = 2, 3, 4, 5, 6


@pytest.fixture
def signed_in(served: Served, weft: Weft) -> Weft:
    result = weft("login", "--email", served.owner.email, "--password-stdin", stdin=served.owner.password + "\n")
    assert result.code == 0, result.err
    return weft


def test_members_are_added_changed_and_removed(served: Served, signed_in: Weft) -> None:
    weft = signed_in
    made = weft("member", "add", "mia@acme.example", "--name", "Mia", "--role", "viewer")
    assert (made.code, "Password, shown this once" in made.out) == (0, True)
    table = weft("member", "list").out.splitlines()
    assert table[0].split()[:4] == ["name", "email", "role", "status"]
    assert [line.split()[0] for line in table[1:]] == ["Mia", "Owner"]
    assert len(weft("member", "list", "--limit", "1", "--json").json()) == 1
    assert weft("member", "list", "--role", "OWNER", "--json").json()[0]["email"] == served.owner.email
    changed = weft("member", "update", "MIA@acme.example", "--role", "MANAGER", "--json").json()
    assert changed["role"] == "MANAGER"
    assert weft("member", "allow", "mia@acme.example", "keys:read").code == 0
    assert weft("member", "deny", changed["id"], "clients:read").code == 0
    shown = weft("member", "show", "mia@acme.example", "--json").json()
    assert shown["direct_permissions"] == {"clients:read": "DENY", "keys:read": "ALLOW"}
    assert weft("member", "reset", "mia@acme.example", "clients:read").code == 0
    unsure = weft("member", "remove", "mia@acme.example")
    assert (unsure.code, "--yes" in unsure.err) == (INVALID, True)
    assert weft("member", "remove", "mia@acme.example", "--yes").code == 0
    gone = weft("member", "show", "mia@acme.example")
    assert (gone.code, "weft member list" in gone.err) == (NOT_FOUND, True)
    last = weft("member", "remove", served.owner.email, "--yes")
    assert (last.code, "last active OWNER" in last.err) == (CONFLICT, True)


def test_a_given_password_comes_through_a_pipe(signed_in: Weft) -> None:
    made = signed_in("member", "add", "mia@acme.example", "--password-stdin", stdin="a good password\n")
    assert (made.code, "Password" in made.out) == (0, False)
    assert signed_in("login", "--email", "mia@acme.example", "--password-stdin", stdin="a good password\n").code == 0


def test_refusals_name_the_field_and_have_their_exit_codes(signed_in: Weft) -> None:
    unfit = signed_in("member", "add", "nonsense")
    assert (unfit.code, "e-mail address" in unfit.err) == (INVALID, True)
    problem = json.loads(signed_in("member", "add", "nonsense", "--json").err)
    assert (problem["type"], problem["kind"]) == ("email_invalid", "invalid")
    assert problem["issues"][0]["path"] == ["email"]
    nothing = signed_in("member", "update", "nonsense")
    assert (nothing.code, "what to change" in nothing.err) == (INVALID, True)


def test_roles_are_made_changed_and_deleted(signed_in: Weft) -> None:
    weft = signed_in
    assert {row["name"] for row in weft("role", "list", "--json").json()} >= {"OWNER", "VIEWER"}
    assert "workflows:publish" in weft("role", "permissions").out
    made = weft("role", "create", "auditor", "-a", "audit:read", "-a", "members:read", "--json").json()
    assert made["permissions"] == ["audit:read", "members:read"]
    changed = weft("role", "update", "auditor", "-a", "keys:read", "-w", "members:read", "--json").json()
    assert changed["permissions"] == ["audit:read", "keys:read"]
    assert "audit:read" in weft("role", "show", "auditor").out
    assert weft("role", "show", "owner", "--json").json()["name"] == "OWNER"
    assert weft("role", "delete", "auditor", "--yes").code == 0
    assert weft("role", "show", "auditor").code == NOT_FOUND
    assert weft("role", "delete", "VIEWER", "--yes").code == CONFLICT


def test_keys_are_made_used_and_revoked(signed_in: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    weft = signed_in
    assert weft("key", "create", "ci").code == INVALID
    assert weft("key", "create", "ci", "-s", "tenants:read", "--expires", "soon").code == INVALID
    made = weft("key", "create", "ci", "-s", "tenants:read", "--expires", "90d", "--json").json()
    assert made["expires_at"] is not None
    assert made["token"] not in weft("key", "list").out
    with monkeypatch.context() as program:
        program.setenv("WEFT_API_KEY", made["token"])
        assert weft("tenant", "show").code == 0
    assert weft("key", "revoke", made["token"]).code == INVALID  # asks first
    assert weft("key", "revoke", made["token"], "--yes").code == 0  # whoever finds it can have it revoked
    with monkeypatch.context() as program:
        program.setenv("WEFT_API_KEY", made["token"])
        assert weft("tenant", "show").code == UNAUTHENTICATED
    assert weft("key", "list", "--json").json() == []
    assert [row["name"] for row in weft("key", "list", "--revoked", "--json").json()] == ["ci"]


def test_clients_are_made_found_changed_deleted_and_restored(signed_in: Weft) -> None:
    weft = signed_in
    made = weft("client", "create", "Müller & Söhne", "--phone", "1", "--company", "Müller GmbH", "--json").json()
    weft("client", "create", "Müllerei")
    assert weft("client", "show", "müller & söhne", "--json").json() == made
    changed = weft("client", "update", made["id"], "--phone", "", "--inactive", "--json").json()
    assert (changed["phone"], changed["is_active"], changed["company"]) == (None, False, "Müller GmbH")
    assert len(weft("client", "list", "--name", "MÜLLER", "--json").json()) == 2
    assert len(weft("client", "list", "--active", "--json").json()) == 1
    assert weft("client", "delete", "Müller & Söhne", "--yes").code == 0
    assert weft("client", "show", made["id"]).code == NOT_FOUND
    assert weft("client", "list", "--deleted", "--json").json()[0]["id"] == made["id"]
    assert weft("client", "restore", made["id"]).code == 0
    weft("client", "create", "Müllerei")
    twice = weft("client", "show", "Müllerei")
    assert (twice.code, "More than one" in twice.err) == (CONFLICT, True)


def test_the_log_is_searched_and_shown(served: Served, signed_in: Weft) -> None:
    weft = signed_in
    made = weft("client", "create", "Ada", "--json").json()
    weft("client", "update", made["id"], "--phone", "2")
    rows: list[dict[str, Any]] = weft("audit", "list", "--resource", "clients", "--id", made["id"], "--json").json()
    assert [row["action"] for row in rows] == ["update", "insert"]
    assert rows[0]["user_agent"].startswith("weft/")
    assert rows[0]["ip"] == "127.0.0.1"
    shown = weft("audit", "show", rows[0]["id"])
    assert 'phone: null -> "2"' in shown.out
    assert weft("audit", "show", "1-x").code == NOT_FOUND
    assert "session.created" in weft("audit", "list", "--action", "session.created").out
    assert weft("audit", "list", "--from", "yesterday").code == INVALID
    assert len(weft("audit", "list", "--all", "--json").json()) > 50  # more than the default, from several rows


def test_the_tenant_is_shown_and_changed(signed_in: Weft) -> None:
    changed = signed_in("tenant", "update", "--name", "Acme Ltd", "--settings", '{"a": 1}', "--json").json()
    assert (changed["name"], changed["settings"]) == ("Acme Ltd", {"a": 1})
    assert "Acme Ltd" in signed_in("tenant", "show").out
    assert signed_in("tenant", "update", "--settings", "[1]").code == INVALID


def test_an_operator_makes_and_lists_tenants(served: Served, weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_DATABASE_URL", served.database.app)
    made = weft(
        "tenant", "create", "globex", "--name", "Globex", "--owner-email", "hank@globex.example", "--json"
    ).json()
    assert (made["slug"], made["owner_is_new"]) == ("globex", True)
    taken = weft("tenant", "create", "globex", "--owner-email", "hank@globex.example")
    assert taken.code == CONFLICT
    wrong = weft("tenant", "create", "Globex Corp", "--owner-email", "hank@globex.example")
    assert (wrong.code, "'globex-corp' would do" in wrong.err) == (INVALID, True)
    refused = weft("tenant", "list")
    assert (refused.code, "WEFT_DATABASE_OWNER_URL" in refused.err) == (INVALID, True)
    monkeypatch.setenv("WEFT_DATABASE_OWNER_URL", served.database.owner)
    assert [row["slug"] for row in weft("tenant", "list", "--json").json()] == ["acme", "globex"]
    sign_in = ("login", "--email", "hank@globex.example", "--password-stdin")
    assert weft(*sign_in, stdin=made["password"] + "\n").code == 0
    piped = weft(
        "tenant", "create", "initech", "--owner-email", "p@initech.example", "--password-stdin", stdin="short\n"
    )
    assert (piped.code, "at least 8" in piped.err) == (INVALID, True)


def test_seeding_from_the_command_line(served: Served, weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_DATABASE_URL", served.database.app)
    monkeypatch.setenv("WEFT_MASTER_KEY", "A" * 43)
    chosen = ("db", "seed", "--system", "ai-workflow-platform")
    planned = weft(*chosen, "--dry-run", "--json").json()
    first = weft(*chosen, "--json").json()
    assert "tenant default" in first["made"]
    assert (planned["dry_run"], planned["made"]) == (True, first["made"])
    second = weft(*chosen, "--json").json()
    assert (second["made"], second["kept"]) == ([], first["made"])
    assert weft("login", "--email", "demo@example.com", "--password-stdin", stdin="demo123\n").code == 0
    refused = weft(*chosen, "--profile", "production")
    assert (refused.code, "weft tenant create" in refused.err) == (FORBIDDEN, True)
    for profile in ("staging", "production"):
        monkeypatch.setenv("WEFT_PROFILE", profile)
        assert weft("db", "seed", "--profile", "development").code == FORBIDDEN
        monkeypatch.delenv("WEFT_PROFILE")
    assert weft("db", "seed", "--system", "nonsense").code == INVALID


def test_staging_shows_passwords_this_once(served: Served, weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_DATABASE_URL", served.database.app)
    monkeypatch.setenv("WEFT_MASTER_KEY", "A" * 43)
    monkeypatch.setenv("WEFT_PROFILE", "staging")
    first = weft("db", "seed", "--system", "ai-workflow-platform")
    shown = re.search(r"shown this once  password of demo@example.com: (\S{16})\n", first.err)
    assert shown is not None
    assert "Note what was shown" in first.out
    assert weft("login", "--email", "demo@example.com", "--password-stdin", stdin="demo123\n").code == UNAUTHENTICATED
    assert weft("login", "--email", "demo@example.com", "--password-stdin", stdin=f"{shown[1]}\n").code == 0
    again = weft("db", "seed", "--system", "stratibreak", "--json")
    assert {one["what"] for one in again.json()["shown_once"]} == {
        f"password of {name}@stratibreak.com" for name in ("admin", "manager", "user")
    }
    assert "shown this once" not in again.err, "a program has them in its answer, and nowhere else"


def test_a_seed_file_from_the_command_line(
    served: Served, weft: Weft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEFT_DATABASE_URL", served.database.app)
    monkeypatch.setenv("WEFT_MASTER_KEY", "A" * 43)
    file = tmp_path / "ours.yaml"
    file.write_text("seed: 1\ntenants:\n  - slug: ours\n    name: Ours\n    member: []\n")
    refused = weft("db", "seed", "--file", str(file))
    assert refused.code == INVALID
    assert f"{file}:5: error: `tenants[0].member`: The field `member` is not known here. Did you mean `members`?" in (
        refused.err
    )
    assert "Something is wrong" in refused.err
    document = json.loads(weft("db", "seed", "--file", str(file), "--json").err.splitlines()[-1])
    assert (document["type"], document["issues"][0]["line"]) == ("seed_invalid", 5)
    file.write_text("seed: 1\ntenants:\n  - slug: ours\n    name: Ours\n    members:\n"
                    "      - {email: o@ours.example, name: O, role: OWNER}\n")  # fmt: skip
    assert weft("db", "seed", "--file", str(file), "--json").json()["made"] == [
        "tenant ours",
        "member o@ours.example (OWNER)",
    ]


def test_systems_and_the_schema_are_shown_without_a_database(weft: Weft) -> None:
    listed = weft("db", "seed", "--list")
    assert all(name in listed.out for name in ("ai-native-orchestration", "stratibreak", "agents (3"))
    assert weft("db", "seed", "--schema", "--json").json()["title"] == "weft seed file"


def test_secrets_are_set_listed_and_deleted_and_never_shown(signed_in: Weft, tmp_path: Path) -> None:
    weft = signed_in
    made = weft("secret", "set", "ledger", "--description", "Token of the ledger", stdin="tok_live_123456\n")
    assert (made.code, "secret://ledger" in made.out) == (0, True)
    file = tmp_path / "key.pem"
    file.write_text("line one\nline two\n")
    assert weft("secret", "set", "key", "--file", str(file), "--json").json()["version"] == 1
    assert "value number 2" in weft("secret", "set", "ledger", stdin="tok_live_654321").out
    shown = [weft("secret", "list", "--json"), weft("secret", "list"), weft("secret", "show", "ledger")]
    assert [row["name"] for row in shown[0].json()] == ["key", "ledger"]
    assert all("tok_live" not in one.out + one.err for one in shown)
    assert "Token of the ledger" in shown[2].out
    assert weft("secret", "delete", "ledger").code == INVALID
    assert weft("secret", "delete", "ledger", "--yes").code == 0
    assert weft("secret", "show", "ledger").code == NOT_FOUND


def test_a_secret_comes_from_a_pipe_or_a_file_and_from_nowhere_else(signed_in: Weft, tmp_path: Path) -> None:
    weft = signed_in
    as_argument = weft("secret", "set", "ledger", "tok_live_123456")
    assert (as_argument.code, "secret set --help" in as_argument.err) == (INVALID, True)
    assert "standard input" in weft("secret", "set", "ledger").err
    assert "cannot be read" in weft("secret", "set", "ledger", "--file", str(tmp_path / "missing")).err
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfd")
    assert "base64" in weft("secret", "set", "ledger", "--file", str(tmp_path / "binary")).err
    short = weft("secret", "set", "ledger", stdin="abc")
    assert (short.code, "abc" in short.err) == (INVALID, False)
    assert "a word" in weft("secret", "set", "no-word", stdin="tok_live_123456").err
