"""Workflows, drafts and versions against the database, as the application role."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event
from tests.conftest import Enter
from tests.factories import workflows as make
from tests.factories.workflows import KINDS, chain, definition, step

from weft.core.actor import Actor
from weft.core.ids import new_id
from weft.db.database import Database
from weft.db.scope import Scope, enter
from weft.domain.clients.models import Client
from weft.domain.workflows import document as documents
from weft.domain.workflows import service
from weft.domain.workflows.errors import (
    ClientUnknown,
    DefinitionUnsound,
    DocumentUnreadable,
    DraftMissing,
    MoveRefused,
    NameMissing,
    RestoredNameTaken,
    VersionNotFound,
    WorkflowArchived,
    WorkflowHasNoVersion,
    WorkflowNameTaken,
    WorkflowNotFound,
)
from weft.domain.workflows.kinds import KindRegistry
from weft.domain.workflows.models import Workflow
from weft.domain.workflows.parsing import parse
from weft.domain.workflows.schemas import WorkflowCreate, WorkflowUpdate
from weft.http.preconditions import VersionStale

UNSOUND = definition(steps=[step("a"), step("b")], transitions=[], name="unsound")


async def count(scope: Scope, table: str) -> int:
    return int(await scope.raw.fetchval(f"select count(*) from weft.{table}"))


# --- workflows


async def test_creating_keeps_what_the_definition_says(as_ada: Enter, ada: Actor) -> None:
    async with as_ada() as scope:
        workflow = await make.workflow(scope, name="  Invoice  approval ", description="pays", tags=["money"])
    async with as_ada() as scope:
        found = await service.get(scope, workflow.id)
        assert (found.name, found.name_key) == ("Invoice approval", "invoice approval")
        assert (found.description, found.tags) == ("pays", ["money"])
        assert (found.status, found.version, found.row_version) == ("DRAFT", 0, 1)
        assert found.created_by is None  # weft itself


async def test_a_name_alone_makes_an_empty_draft(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await service.create(scope, WorkflowCreate(name="New", tags=["x"]))
        assert workflow.draft == {"name": "New", "tags": ["x"], "steps": [], "transitions": []}
        with pytest.raises(DefinitionUnsound):
            await service.save_version(scope, workflow.id, kinds=KINDS)


async def test_what_is_said_beside_a_definition_wins(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await service.create(scope, WorkflowCreate(name="Mine", definition=definition(name="Theirs")))
        assert workflow.name == "Mine"
        assert workflow.draft is not None
        assert workflow.draft["name"] == "Mine"


@pytest.mark.parametrize(
    "new", [{}, {"definition": {"steps": []}}, {"definition": {"name": 3}}, {"definition": {"name": " "}}]
)
async def test_a_workflow_needs_a_name(as_ada: Enter, new: dict[str, Any]) -> None:
    async with as_ada() as scope:
        with pytest.raises(NameMissing):
            await service.create(scope, WorkflowCreate(**new))


async def test_what_cannot_be_stored_is_refused(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.workflow(scope)
        with pytest.raises(DocumentUnreadable):
            await service.store_draft(scope, workflow.id, {"name": "x", "number": float("nan")})


async def test_a_name_is_unique_among_living_workflows_of_a_tenant(as_ada: Enter, as_bob: Enter) -> None:
    async with as_ada() as scope:
        first = await make.workflow(scope, name="Pay")
    with pytest.raises(WorkflowNameTaken, match="'PAY'"):
        async with as_ada() as scope:
            await make.workflow(scope, name="PAY")
    async with as_bob() as scope:
        await make.workflow(scope, name="Pay")
    async with as_ada() as scope:
        await service.delete(scope, first.id)
        second = await make.workflow(scope, name="pay")
    with pytest.raises(RestoredNameTaken, match="Another workflow is called 'Pay' by now"):
        async with as_ada() as scope:
            await service.restore(scope, first.id)
    async with as_ada() as scope:
        await service.update(scope, second.id, WorkflowUpdate(name="Other"))
        assert (await service.restore(scope, first.id)).name == "Pay"


async def test_updating_changes_the_draft_too(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.workflow(scope, name="Old", description="words", tags=["a"])
        await service.update(scope, workflow.id, WorkflowUpdate(name="New", tags=[]))
    async with as_ada() as scope:
        found = await service.get(scope, workflow.id)
        assert (found.name, found.name_key, found.description, found.tags) == ("New", "new", "words", [])
        assert found.draft is not None
        assert (found.draft["name"], found.draft["tags"], found.draft["description"]) == ("New", [], "words")
        changed = await service.update(scope, workflow.id, WorkflowUpdate(description=None))
        assert changed.description is None
        assert changed.draft is not None
        assert "description" not in changed.draft
        await service.update(scope, workflow.id, WorkflowUpdate(tags=["b"]))
        assert (await service.update(scope, workflow.id, WorkflowUpdate(tags=None))).tags == []


async def test_a_client_must_exist_in_the_tenant(as_ada: Enter, as_bob: Enter) -> None:
    async with as_bob() as scope:
        theirs = await scope.add(Client(name="Bob's"))
    async with as_ada() as scope:
        ours = await scope.add(Client(name="Ours"))
        gone = await scope.add(Client(name="Gone"))
        gone.deleted_at = scope.now()
        await scope.flush()
        workflow = await service.create(scope, WorkflowCreate(name="x", client_id=ours.id))
        assert workflow.client_id == ours.id
        for client_id in (theirs.id, gone.id, new_id()):
            with pytest.raises(ClientUnknown):
                await service.update(scope, workflow.id, WorkflowUpdate(client_id=client_id))
        assert (await service.update(scope, workflow.id, WorkflowUpdate(client_id=None))).client_id is None


async def test_deleting_hides_and_restoring_never_starts(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        await service.delete(scope, workflow.id)
    async with as_ada() as scope:
        with pytest.raises(WorkflowNotFound):
            await service.get(scope, workflow.id)
        with pytest.raises(WorkflowNotFound):
            await service.version(scope, workflow.id, 1)
        restored = await service.restore(scope, workflow.id)
        assert (restored.status, restored.deleted_at) == ("INACTIVE", None)


async def test_another_tenant_sees_nothing(as_ada: Enter, as_bob: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
    async with as_bob() as scope:
        for attempt in (
            service.get(scope, workflow.id),
            service.store_draft(scope, workflow.id, definition()),
            service.save_version(scope, workflow.id, kinds=KINDS),
            service.version(scope, workflow.id, 1),
            service.change_status(scope, workflow.id, "archive"),
            service.delete(scope, workflow.id),
            service.restore(scope, workflow.id),
            service.export(scope, workflow.id),
            service.import_definition(scope, await service.examine(definition(), KINDS), workflow_id=workflow.id),
        ):
            with pytest.raises(WorkflowNotFound):
                await attempt


# --- statuses


async def test_only_a_version_can_be_activated(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.workflow(scope)
        with pytest.raises(WorkflowHasNoVersion):
            await service.change_status(scope, workflow.id, "activate")


async def test_an_archived_workflow_is_read_only(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
        await service.change_status(scope, workflow.id, "archive")
        for attempt in (
            service.update(scope, workflow.id, WorkflowUpdate(name="x")),
            service.store_draft(scope, workflow.id, definition()),
            service.save_version(scope, workflow.id, kinds=KINDS),
            service.rollback(scope, workflow.id, 1, kinds=KINDS),
            service.import_definition(scope, await service.examine(definition(name=workflow.name), KINDS)),
        ):
            with pytest.raises(WorkflowArchived):
                await attempt
        with pytest.raises(MoveRefused):
            await service.change_status(scope, workflow.id, "activate")
        assert (await service.version(scope, workflow.id, 1)).number == 1
        back = await service.change_status(scope, workflow.id, "unarchive")
        assert back.status == "INACTIVE"


# --- drafts


async def test_an_unsound_draft_is_kept_but_makes_no_version(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.workflow(scope, name="Sound")
        await service.store_draft(scope, workflow.id, {"steps": "not yet", "name": 3})
        assert workflow.name == "Sound"  # what the draft says of it is no name
        await service.store_draft(scope, workflow.id, UNSOUND)
        assert workflow.name == "unsound"
        with pytest.raises(DefinitionUnsound) as caught:
            await service.save_version(scope, workflow.id, kinds=KINDS)
        assert caught.value.issues[0].path == ("steps", 1)
        assert await count(scope, "workflow_versions") == 0
        draft = await service.draft_of(scope, workflow.id)
        assert draft.definition == UNSOUND
        assert draft.differs


async def test_two_editors_do_not_overwrite_each_other(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.workflow(scope)
        seen = workflow.row_version
        await service.store_draft(scope, workflow.id, definition(name="first"), expected=seen)
        with pytest.raises(VersionStale):
            await service.store_draft(scope, workflow.id, definition(name="second"), expected=seen)
        assert workflow.name == "first"


async def test_a_draft_that_was_never_stored(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await scope.add(Workflow(name="Bare", name_key="bare"))
        with pytest.raises(DraftMissing):
            await service.draft_of(scope, workflow.id)
        with pytest.raises(DraftMissing):
            await service.save_version(scope, workflow.id, kinds=KINDS)


# --- versions

FOR_EACH = step(
    "lines",
    "for_each",
    name="All lines",
    required=False,
    position={"x": 1, "y": 2},
    config={
        "items": "input.lines",
        "concurrency": 2,
        "body": {"steps": [step("price", config={"text": "Ü"}), step("sum")], "transitions": chain("price", "sum")},
    },
)


async def test_a_version_has_rows_for_its_steps_and_transitions(as_ada: Enter) -> None:
    document = definition(
        steps=[step("check", "condition", description="looks"), FOR_EACH, step("done", "end")],
        transitions=[
            {"from": "check", "to": "done", "default": True},
            {"from": "check", "to": "lines", "when": {"field": "input.x", "operator": "equals", "value": 1}},
            *chain("lines", "done"),
        ],
    )
    async with as_ada() as scope:
        workflow = await service.create(scope, WorkflowCreate(definition=document))
        saved = await service.save_version(scope, workflow.id, note="first", kinds=KINDS)
        assert saved.created
        assert (workflow.version, workflow.current_version_id) == (1, saved.version.id)
    async with as_ada() as scope:
        version = await service.version(scope, workflow.id, 1)
        assert version.definition == documents.accept(document)
        assert version.content_hash == documents.content_hash(version.definition)
        assert version.note == "first"
        steps = await scope.raw.fetch(
            'select key, name, description, step_type, "order", config::text, is_required, position::text '
            'from weft.workflow_steps where version_id = $1 order by "order"',
            version.id,
        )
        assert [tuple(row) for row in steps] == [
            ("check", "check", "looks", "condition", 1, "{}", True, None),
            (
                "lines",
                "All lines",
                None,
                "for_each",
                2,
                '{"items": "input.lines", "concurrency": 2}',
                False,
                '{"x": 1, "y": 2}',
            ),
            ("done", "done", None, "end", 3, "{}", True, None),
            ("lines.price", "price", None, "note", 4, '{"text": "Ü"}', True, None),
            ("lines.sum", "sum", None, "note", 5, "{}", True, None),
        ]
        transitions = await scope.raw.fetch(
            "select f.key, t.key, w.condition::text, w.is_default from weft.workflow_transitions w "
            "join weft.workflow_steps f on f.id = w.from_step_id join weft.workflow_steps t on t.id = w.to_step_id "
            "where w.version_id = $1 order by w.id",
            version.id,
        )
        assert [tuple(row) for row in transitions] == [
            ("check", "done", None, True),
            ("check", "lines", '{"field": "input.x", "value": 1, "operator": "equals"}', False),
            ("lines", "done", None, False),
            ("lines.price", "lines.sum", None, False),
        ]
        assert await count(scope, "workflow_counters") == 1


async def test_the_number_of_statements_does_not_depend_on_the_number_of_steps(
    database: Database, as_ada: Enter
) -> None:
    seen: list[str] = []

    def by_sqlalchemy(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    def by_asyncpg(record: Any) -> None:
        seen.append(record.query)

    async def statements(steps: int) -> list[str]:
        async with as_ada() as scope:
            workflow = await make.workflow(scope, steps=[step(f"s{number}") for number in range(steps)])
            seen.clear()
            scope.raw.add_query_logger(by_asyncpg)
            try:
                await service.save_version(scope, workflow.id, kinds=KINDS)
            finally:
                scope.raw.remove_query_logger(by_asyncpg)
            return list(seen)

    event.listen(database.engine.sync_engine, "before_cursor_execute", by_sqlalchemy)
    await statements(2)  # the driver asks for types once
    few, many = await statements(2), await statements(300)
    assert few == many
    assert len(few) == 6, few  # lock, version, steps, transitions, counter, workflow


async def test_the_same_content_makes_no_new_version(as_ada: Enter) -> None:
    async with as_ada() as scope:
        first = await make.saved(scope)
        document = first.version.definition
        turned = {name: document[name] for name in reversed(document)}
        await service.store_draft(scope, first.workflow.id, turned)
        again = await service.save_version(scope, first.workflow.id, note="again", kinds=KINDS)
        assert not again.created
        assert again.version.number == 1
        assert again.version.note == ""
        assert await count(scope, "workflow_versions") == 1
        assert not (await service.draft_of(scope, first.workflow.id)).differs


async def test_a_hash_survives_the_database(as_ada: Enter) -> None:
    """Numbers come back from jsonb in another form: 1e300 as 301 digits, 2.0 as 2."""
    data = {"a": 1e300, "b": 2.0, "c": 0.1, "d": 1e-7, "e": 2**70, "f": -0.0, "g": 123456789012345678}
    async with as_ada() as scope:
        saved = await make.saved(scope, steps=[step("a", config={"data": data})])
    async with as_ada() as scope:
        version = await service.version(scope, saved.workflow.id, 1)
        assert documents.content_hash(documents.accept(version.definition)) == version.content_hash
        assert not (await service.draft_of(scope, saved.workflow.id)).differs


async def test_a_version_cannot_be_changed(as_ada: Enter) -> None:
    async with as_ada() as scope:
        saved = await make.saved(scope)
    for table in ("workflow_versions", "workflow_steps", "workflow_transitions"):
        for statement in (f"update weft.{table} set tenant_id = tenant_id", f"delete from weft.{table}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with as_ada() as scope:
                    await scope.raw.execute(statement)
    async with as_ada() as scope:
        assert (await service.version(scope, saved.workflow.id, 1)).definition == saved.version.definition


async def test_of_two_saves_at_once_one_wins(database: Database, ada: Actor, as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.workflow(scope)
        seen = workflow.row_version

    async def save() -> int:
        async with enter(database, ada) as scope:
            return (await service.save_version(scope, workflow.id, expected=seen, kinds=KINDS)).version.number

    outcomes = await asyncio.gather(save(), save(), save(), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["VersionStale", "VersionStale", "int"]
    async with as_ada() as scope:
        assert await count(scope, "workflow_versions") == 1


async def test_saves_at_once_without_a_precondition_take_turns(database: Database, ada: Actor, as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.workflow(scope)

    async def store_and_save(number: int) -> int:
        async with enter(database, ada) as scope:
            await service.store_draft(scope, workflow.id, definition(name=workflow.name, description=str(number)))
            return (await service.save_version(scope, workflow.id, kinds=KINDS)).version.number

    assert sorted(await asyncio.gather(*map(store_and_save, range(4)))) == [1, 2, 3, 4]


async def change(scope: Scope, workflow: Workflow, text: str) -> None:
    await service.store_draft(scope, workflow.id, definition(name=workflow.name, description=text))


async def test_rollback_makes_a_new_version_of_old_content(as_ada: Enter) -> None:
    async with as_ada() as scope:
        first = await make.saved(scope, description="one")
        workflow = first.workflow
        await change(scope, workflow, "two")
        await service.save_version(scope, workflow.id, kinds=KINDS)
        back = await service.rollback(scope, workflow.id, 1, kinds=KINDS)
        assert (back.created, back.version.number, back.version.note) == (True, 3, "Rollback to version 1")
        assert back.version.content_hash == first.version.content_hash
        assert (workflow.version, workflow.description) == (3, "one")
        assert (await service.draft_of(scope, workflow.id)).definition == first.version.definition
        again = await service.rollback(scope, workflow.id, 1, kinds=KINDS)
        assert not again.created
        with pytest.raises(VersionNotFound):
            await service.rollback(scope, workflow.id, 9, kinds=KINDS)


async def test_rollback_keeps_a_draft_with_changes_of_its_own(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = (await make.saved(scope, description="one")).workflow
        await change(scope, workflow, "two")
        await service.save_version(scope, workflow.id, kinds=KINDS)
        await change(scope, workflow, "not saved yet")
        await service.rollback(scope, workflow.id, 1, kinds=KINDS)
        draft = await service.draft_of(scope, workflow.id)
        assert draft.definition["description"] == "not saved yet"
        assert draft.differs


async def test_rollback_checks_the_old_content_again(as_ada: Enter) -> None:
    """A step kind may have been uninstalled since."""
    async with as_ada() as scope:
        workflow = (await make.saved(scope, steps=[step("a", "call")])).workflow
        await change(scope, workflow, "two")
        await service.save_version(scope, workflow.id, kinds=KINDS)
        fewer = KindRegistry([make.Note()])
        with pytest.raises(DefinitionUnsound, match="no type 'call'"):
            await service.rollback(scope, workflow.id, 1, kinds=fewer)


async def test_comparing_versions_and_the_draft(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = (await make.saved(scope, description="one")).workflow
        await change(scope, workflow, "two")
        compared = await service.compare(scope, workflow.id, 1, None)
        assert (compared.old, compared.new) == ("version 1", "the draft")
        assert [one.name for one in compared.changes] == ["description"]
        assert (await service.compare(scope, workflow.id, 1, 1)).changes == []


# --- import and export


async def test_export_and_import_round_trip(as_ada: Enter, as_bob: Enter) -> None:
    async with as_ada() as scope:
        saved = await make.saved(scope, steps=[step("first", config={"text": "on", "data": [1.5, None]}), FOR_EACH])
        texts = {
            "yaml": await service.export(scope, saved.workflow.id),
            "json": await service.export(scope, saved.workflow.id, number=1, format="json"),
        }
    outcomes = []
    for text in texts.values():
        async with as_bob() as scope:
            done = await service.import_definition(scope, await service.examine(parse(text).document, KINDS))
            assert done.saved.version.content_hash == saved.version.content_hash
            outcomes.append(done.outcome)
    assert outcomes == ["created", "unchanged"]


async def test_export_of_a_workflow_without_a_version_is_its_draft(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.workflow(scope, name="Only drawn")
        assert "name: Only drawn" in await service.export(scope, workflow.id)


async def test_import_creates_then_updates_then_changes_nothing(as_ada: Enter) -> None:
    async with as_ada() as scope:
        first = await service.import_definition(scope, await service.examine(definition(name="Pay"), KINDS))
        assert (first.outcome, first.saved.version.number, first.changes) == ("created", 1, ())
        second = await service.import_definition(
            scope, await service.examine(definition(name="PAY", description="now"), KINDS)
        )
        assert (second.outcome, second.saved.version.number) == ("updated", 2)
        assert second.saved.workflow.id == first.saved.workflow.id
        assert {change.name for change in second.changes} == {"name", "description"}
        third = await service.import_definition(
            scope, await service.examine(definition(name="PAY", description="now"), KINDS)
        )
        assert (third.outcome, third.saved.version.number) == ("unchanged", 2)


async def test_import_of_an_unsound_definition_stores_nothing(as_ada: Enter) -> None:
    async with as_ada() as scope:
        with pytest.raises(DefinitionUnsound):
            await service.import_definition(scope, await service.examine(UNSOUND, KINDS))
        assert await count(scope, "workflows") == 0


async def test_import_into_a_workflow_may_rename_it(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope, name="Old")
        done = await service.import_definition(
            scope, await service.examine(definition(name="New"), KINDS), workflow_id=workflow.id
        )
        assert (done.outcome, done.saved.workflow.name, done.saved.workflow.status) == ("updated", "New", "ACTIVE")


async def test_changes_are_in_the_audit_log(as_ada: Enter) -> None:
    async with as_ada() as scope:
        workflow = await make.active(scope)
    async with as_ada() as scope:
        rows = await scope.raw.fetch(
            "select action, resource_type from weft.audit_logs where resource_id = $1", str(workflow.id)
        )
        assert {(row["action"], row["resource_type"]) for row in rows} >= {
            ("insert", "workflows"),
            ("update", "workflows"),
        }
