"""Our own rules on the text of a script: what keeps tenants apart, and what a distributed PostgreSQL needs.

They read statements, not a grammar: good enough for what Alembic, `weft db generate` and people write, and backed by
the rules on the catalogue that the script makes (`weft.ops.schema.catalogue_rules`), which cannot be fooled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from weft.ops.schema.finding import Finding
from weft.ops.schema.script import Statement

SHARED = frozenset({"tenants", "users", "permissions", "alembic_version", "migration_history", "app_instances"})
"""Tables of the whole installation: they have no `tenant_id`."""

_ANY_CASE = re.IGNORECASE
_NAME = r"(?:if (?:not )?exists )?(?:only )?(?:\"?(?P<schema>\w+)\"?\.)?\"?(?P<table>\w+)\"?"
_CREATE_TABLE = re.compile(rf"create (?:unlogged )?table {_NAME}", _ANY_CASE)
_KEY = re.compile(r"(?P<kind>primary key|\bunique)(?: nulls (?:not )?distinct)? ?\((?P<columns>[^)]*)\)", _ANY_CASE)
_UNIQUE_INDEX = re.compile(
    rf"create unique index (?:concurrently )?(?:if not exists )?\S+ on {_NAME}[^(]*\((?P<columns>.*)\)", _ANY_CASE
)
_REFERENCE = re.compile(
    r"foreign key ?\((?P<columns>[^)]*)\) references (?:\"?\w+\"?\.)?\"?(?P<target>\w+)\"?", _ANY_CASE
)
_ROW_SECURITY = re.compile(
    rf"alter table {_NAME} (?P<word>enable|force|disable|no force) row level security", _ANY_CASE
)
_PUBLIC_GRANT = re.compile(r"^grant\b.*\bto\b.*\bpublic\b", _ANY_CASE)
_FUNCTION = re.compile(r"create (?:or replace )?(?:function|procedure) (?P<name>[\w.\"]+)", _ANY_CASE)

Rule = Callable[[Sequence[Statement]], Iterator[Finding]]


def findings(script: Sequence[Statement]) -> Iterator[Finding]:
    for rule in RULES:
        yield from rule(script)


def _warning(statement: Statement, rule: str, message: str, help_: str = "") -> Finding:
    return Finding(line=statement.line, rule=rule, level="warning", message=message, help=help_)


def _new_tables(script: Sequence[Statement]) -> Iterator[tuple[Statement, str]]:
    for statement in script:
        text = statement.plain()
        match = _CREATE_TABLE.match(text)
        if match and match["table"] != "alembic_version" and " partition of " not in text.lower():
            yield statement, match["table"]


def _tables_have_row_security(script: Sequence[Statement]) -> Iterator[Finding]:
    said: dict[str, set[str]] = {}
    for statement in script:
        if match := _ROW_SECURITY.match(statement.plain()):
            said.setdefault(match["table"], set()).add(match["word"].lower())
    for statement, table in _new_tables(script):
        missing = [word for word in ("enable", "force") if word not in said.get(table, set())]
        if missing:
            yield _warning(
                statement, "tenant-row-security",
                f"The new table {table} does not {' and '.join(missing)} row level security.",
                f"Add: alter table weft.{table} {missing[0]} row level security.",
            )  # fmt: skip


def _row_security_stays(script: Sequence[Statement]) -> Iterator[Finding]:
    for statement in script:
        if (match := _ROW_SECURITY.match(statement.plain())) and match["word"].lower() in ("disable", "no force"):
            yield _warning(
                statement, "row-security-removed",
                f"Row security of {match['table']} is taken away: tenants would see each other's rows.",
            )  # fmt: skip


def _first(columns: str) -> str:
    return columns.split(",")[0].strip().strip('"').lower()


def _keys_lead_with_the_tenant(script: Sequence[Statement]) -> Iterator[Finding]:
    advice = "A key without it tells one tenant that another's row exists; begin it with tenant_id."
    for statement in script:
        text = statement.plain()
        if match := _UNIQUE_INDEX.match(text):
            if match["table"] not in SHARED and _first(match["columns"]) != "tenant_id":
                yield _warning(statement, "tenant-key", f"A unique index of {match['table']} has no tenant_id.", advice)
            continue
        table = _CREATE_TABLE.match(text) or re.match(rf"alter table {_NAME}", text, _ANY_CASE)
        if table is None or table["table"] in SHARED:
            continue
        for key in _KEY.finditer(text):
            if _first(key["columns"]) != "tenant_id":
                kind = key["kind"].lower()
                yield _warning(
                    statement, "tenant-key", f"The {kind} of {table['table']} does not begin with tenant_id.", advice
                )


def _references_carry_the_tenant(script: Sequence[Statement]) -> Iterator[Finding]:
    for statement in script:
        for match in _REFERENCE.finditer(statement.plain()):
            if match["target"] not in SHARED and "tenant_id" not in match["columns"]:
                yield _warning(
                    statement, "tenant-reference",
                    f"The reference to {match['target']} does not carry tenant_id.",
                    "Row security does not guard references: use within_tenant in the model.",
                )  # fmt: skip


def _nothing_for_everybody(script: Sequence[Statement]) -> Iterator[Finding]:
    for statement in script:
        text = statement.plain()
        if _PUBLIC_GRANT.match(text):
            yield _warning(statement, "grant-to-public", "A right is granted to everybody (public).")
        if re.match(r"grant\b.*\bon all (tables|functions|sequences)\b", text, _ANY_CASE):
            yield _warning(
                statement, "grant-on-all", "A grant on all objects of a schema reaches partitions too.",
                "Grant on one table a statement; a partition reached directly has no policy.",
            )  # fmt: skip
        if re.match(r"alter default privileges\b", text, _ANY_CASE):
            yield _warning(statement, "default-privileges", "Default privileges reach partitions and later tables.")


def _definers_are_fenced(script: Sequence[Statement]) -> Iterator[Finding]:
    revoked = {
        match[1].strip('"').lower()
        for statement in script
        if (match := re.match(r"revoke all on function ([\w.\"]+)\(.*\) from public", statement.plain(), _ANY_CASE))
    }
    for statement in script:
        text = statement.plain()
        match = _FUNCTION.match(text)
        if match is None:
            continue
        head = re.split(r"\bas \$", text, maxsplit=1, flags=_ANY_CASE)[0].lower()
        name = match["name"].strip('"').lower()
        if "set search_path" not in head:
            yield _warning(
                statement, "function-search-path", f"The function {name} does not fix its search_path.",
                "Add: set search_path = pg_catalog.",
            )  # fmt: skip
        replaces = text.lower().startswith("create or replace")
        if "security definer" in head and name not in revoked and not replaces:
            yield _warning(
                statement, "definer-open-to-all", f"The definer function {name} can be called by everybody.",
                f"Add: revoke all on function {name}(...) from public.",
            )  # fmt: skip


def _policies_are_plain(script: Sequence[Statement]) -> Iterator[Finding]:
    for statement in script:
        text = statement.plain().lower()
        if not re.match(r"(create|alter) policy\b", text):
            continue
        if " as restrictive" in text:
            yield _warning(
                statement, "policy-restrictive", "A restrictive policy becomes permissive on a distributed PostgreSQL."
            )
        if re.search(r"\(\s*select\b", text):
            yield _warning(
                statement, "policy-sub-select", "A sub-select in a policy hides the tenant from the planner.",
                "Use the bare setting: tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid.",
            )  # fmt: skip


def _no_native_enumerations(script: Sequence[Statement]) -> Iterator[Finding]:
    for statement in script:
        text = statement.plain().lower()
        if re.match(r"create type \S+ as enum", text):
            yield _warning(
                statement, "native-enumeration", "A native enumeration has no index under row security.",
                "Use text with a check (one_of in the model).",
            )  # fmt: skip


RULES: tuple[Rule, ...] = (
    _tables_have_row_security,
    _row_security_stays,
    _keys_lead_with_the_tenant,
    _references_carry_the_tenant,
    _nothing_for_everybody,
    _definers_are_fenced,
    _policies_are_plain,
    _no_native_enumerations,
)
