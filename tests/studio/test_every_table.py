"""Every table, generated from the models: its pages open, show one tenant's rows, hide secrets, and sort and filter."""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID

from starlette_admin.filters.base import BaseFilter, FilterApplyContext, FilterGroup, FilterRule
from starlette_admin.views import BaseModelView
from tests.studio.conftest import TABLES, Open, Planter

from weft.core.actor import system_actor
from weft.core.clock import utc_now
from weft.db.database import Database
from weft.migrations.models import METADATA
from weft.studio import cells, rows, rules, statements
from weft.studio.catalogue import SORTABLE, ColumnFacts, Kind, TableFacts
from weft.studio.filters import condition, filters_for
from weft.studio.keyset import row_name
from weft.studio.statements import Arguments, Order, Question

SAMPLES: dict[Kind, str] = {
    Kind.text: "x", Kind.word: "x", Kind.uuid: "0199c0aa-0000-7000-8000-000000000000", Kind.whole: "1",
    Kind.number: "1.5", Kind.time: "2026-11-25T12:00:00", Kind.json: '"{}"', Kind.list: "1",
}  # fmt: skip
MOMENT = utc_now().replace(day=15, hour=10, minute=0, second=0, microsecond=0).isoformat()
"""In this month: partitions for earlier ones were never made."""


async def planted(planter: Planter, table: TableFacts, tenant: UUID) -> str:
    """A row of the tenant; its name in addresses."""
    times = {c.name: f"'{MOMENT}'" for c in table.columns.values() if c.kind is Kind.time and c.is_key}
    row = await planter.plant(table.name, tenant, **times)
    return row_name(table, [row[key].strip("'") for key in table.key])


async def test_a_tenants_rows_are_shown_and_no_others(planter: Planter, studio: Open) -> None:
    mine, theirs = await planter.tenant("ada"), await planter.tenant("bob")
    browser = await studio(tenant="ada")
    # The audit log comes first: exports of the others are written down in it.
    for table in sorted(TABLES.values(), key=lambda t: t.name != "audit_logs"):
        if table.scope != "tenant":
            continue
        name, other = await planted(planter, table, mine), await planted(planter, table, theirs)
        listed = await browser.get(f"/{table.name}/list")
        assert listed.status_code == 200, table.name
        assert 'id="studio-total">1 row' in listed.text, table.name
        assert f"pk={quote(name, safe='')}" in listed.text
        shown = await browser.get(f"/{table.name}/detail", pk=name)
        assert shown.status_code == 200, table.name
        for column in table.columns.values():
            assert f'data-column="{column.name}"' in shown.text, table.name
        if table.key:
            assert other not in listed.text, table.name
            assert (await browser.get(f"/{table.name}/detail", pk=other)).status_code == 404, table.name
        exported = await browser.get(f"/{table.name}/export", format="json")
        assert [row["tenant_id"] for row in exported.json()] == [str(mine)], table.name


async def test_every_column_sorts_and_every_filter_runs(planter: Planter, studio: Open, database: Database) -> None:
    """The statements of each, which a page would run, without drawing the page."""
    tenant = await planter.tenant("ada")
    browser = await studio(tenant="ada")
    actor = system_actor(tenant)
    for table in TABLES.values():
        if table.scope == "tenant":
            await planted(planter, table, tenant)
        questions = [Question()]
        for column in table.columns.values():
            if column.kind in SORTABLE:
                questions += [Question(order=Order(column.name, down)) for down in (True, False)]
            questions += [asked(column, operator) for operator in filters_for(column)]
        async with rows.looking(database, actor, 60) as connection:
            for question in questions:
                await rows.page(connection, table, tenant, question, list(table.columns))
                await rows.total(connection, table, tenant, question)
        assert (await browser.get(f"/{table.name}/list", cols=",".join(table.columns))).status_code == 200, table.name


def asked(column: ColumnFacts, operator: type[BaseFilter]) -> Question:
    sample = column.words[0] if column.words else SAMPLES.get(column.kind)
    value = None if operator.data_type == "none" else operator().parse_value(sample)  # type: ignore[arg-type]  # an operator of its kind
    rule = FilterRule(column.name, operator.name, value, value)
    return Question(condition=condition(FilterGroup(rules=[rule]), {column.name: column}))


async def test_searching_finds_by_text_and_by_id(planter: Planter, studio: Open) -> None:
    tenant = await planter.tenant("ada")
    row = await planter.plant("clients", tenant, name="'Müller & Söhne 100%'", name_key="'m'")
    await planter.plant("clients", tenant, name="'Somebody else'", name_key="'s'")
    browser = await studio(tenant="ada")
    for search, count in (("müller", 1), ("100%", 1), ("%", 1), ("_", 0), (row["id"].strip("'"), 1), ("nobody", 0)):
        listed = await browser.get("/clients/list", q=search)
        assert f">{count} row" in listed.text, search


async def test_filters_take_what_people_type(planter: Planter, studio: Open) -> None:
    tenant = await planter.tenant("ada")
    await planter.plant("clients", tenant, name="'Meyer, (Paul) \"P.\" AND Co..'", name_key="'m'")
    await planter.plant("workflows", tenant, draft='\'{"a": {"x": "1, 2"}, "b": 2}\'', tags="'{red,blue}'")
    browser = await studio(tenant="ada")
    for table, asked, count in (
        ("clients", {"field": "name", "filter": "eq", "value": 'Meyer, (Paul) "P." AND Co..'}, 1),
        ("clients", {"field": "name", "filter": "contains", "value": '(paul) "p.'}, 1),
        ("clients", {"field": "name", "filter": "startswith", "value": "%"}, 0),
        ("workflows", {"field": "draft", "filter": "includes", "value": '{"a": {"x": "1, 2"}}'}, 1),
        ("workflows", {"field": "tags", "filter": "has", "value": "blue"}, 1),
        ("workflows", {"field": "status", "filter": "in", "value": ["DRAFT", "ACTIVE"]}, 1),
    ):
        said = BaseModelView._serialize_filter_string({"logic": "and", "rules": [asked]})
        listed = await browser.get(f"/{table}/list", filter=said)
        assert f">{count} row" in listed.text, said
    deep = "(" * 30 + "name__eq=x" + ")" * 30
    for wrong in (deep, " AND ".join(["name__eq=x"] * 51), "name__eq", "draft__includes={", "name__gte=1"):
        path = "/workflows/list" if wrong.startswith("draft") else "/clients/list"
        assert (await browser.get(path, filter=wrong)).status_code == 400, wrong[:30]


SECRETS = [(t.name, c.name) for t in TABLES.values() for c in t.columns.values() if c.is_secret]
LOOKS_SECRET = {"password", "secret", "hash", "token", "wrapped", "private", "cipher"}
HARMLESS = {
    ("workflow_versions", "content_hash"),
    ("archives", "sha256"),
    ("workflow_triggers", "token_grace_until"),
}


def test_whatever_sounds_secret_is_marked() -> None:
    """A new column of that name must be marked in its model, or named here as harmless."""
    found = {
        (t.name, c.name)
        for t in TABLES.values()
        for c in t.columns.values()
        if LOOKS_SECRET & set(c.name.split("_")) and not c.is_secret
    }
    assert found - HARMLESS == set()
    assert {("users", "password_hash"), ("secrets", "value"), ("tenant_keys", "wrapped")} <= set(SECRETS)


async def test_secrets_never_leave(planter: Planter, studio: Open) -> None:
    tenant = await planter.tenant("ada")
    browser = await studio(tenant="ada", writes=True)
    for table, column in (s for s in SECRETS if s[0] != "users"):
        facts = TABLES[table]
        literal = "'\\x5ec2e75ec2e75ec2e7'" if facts.columns[column].type == "bytea" else "'5ec2e75ec2e75ec2e7'"
        row = await planter.plant(table, tenant, **{column: literal})
        name = row_name(facts, [row[key].strip("'") for key in facts.key])
        listed = await browser.get(f"/{table}/list", cols=",".join(facts.columns))
        shown = await browser.get(f"/{table}/detail", pk=name)
        others = [await browser.get(f"/{table}/edit", pk=name), await browser.get(f"/{table}/export", format="csv")]
        for page in (listed, shown, *others):
            assert "5ec2e75ec2e7" not in page.text, table
        assert cells.HIDDEN in listed.text
        assert cells.HIDDEN in shown.text
        assert cells.HIDDEN in others[1].text
        assert (await browser.get(f"/{table}/value", pk=name, column=column)).status_code == 404
        assert (await browser.get(f"/{table}/list", filter=f"{column}__eq=5ec2e7")).status_code == 400
        found = await browser.get(f"/{table}/list", q="5ec2e75ec2e75ec2e7")
        assert ">0 rows" in found.text


def test_statements_never_read_a_secret_itself() -> None:
    for table in TABLES.values():
        everything = list(table.columns)
        texts = [
            statements.page(table, None, statements.Question(search="x"), everything).text,
            statements.row(table, None, [None] * len(table.key)).text,
            statements.exported(table, None, statements.Question()).text,
        ]
        for column in (c for c in table.columns.values() if c.is_secret):
            name = f'"{column.name}"'
            for text in texts:
                assert text.count(name) == 2 * text.count(f"{name} is not null as {name}"), table.name
            for operator in filters_for(column):
                tested = str(operator().apply(FilterApplyContext(Arguments(), column.name, None)))
                assert tested.endswith(" null")


def test_rules_name_tables_and_rooms_that_exist() -> None:
    rooms = {t.room for t in TABLES.values()}
    assert rules.KEPT_TABLES | rules.KEPT_ROWS | set(rules.KEPT_COLUMNS) <= set(TABLES)
    assert set(rules.WRITING) <= rooms
    for table, names in rules.KEPT_COLUMNS.items():
        assert names <= set(TABLES[table].columns)


def test_every_table_says_which_permission_shows_it() -> None:
    """A new table must be named in `rules.READING`, with the permission of the addresses that show the same."""
    assert set(rules.READING) == set(TABLES)
    for table in TABLES.values():
        if table.is_global and table.name != "permissions":
            assert rules.to_read(table.name) == rules.OPERATING, table.name
    assert rules.to_read("a_new_one") == rules.OPERATING


def test_what_a_model_says_of_itself_is_a_sentence() -> None:
    for table in TABLES.values():
        assert "`" not in table.sentence
        assert table.sentence == "" or (table.sentence[0].isupper() and table.sentence.endswith(".")), table.name


def test_only_audited_rows_can_be_changed() -> None:
    for table in TABLES.values():
        info = METADATA.tables[f"weft.{table.name}"].info
        assert not (table.may_update or table.may_delete) or info["audit"]
    for name in ("workflow_versions", "audit_logs", "execution_logs", "workflow_executions", "dispatch_jobs"):
        assert not TABLES[name].may_update
        assert not TABLES[name].may_delete
