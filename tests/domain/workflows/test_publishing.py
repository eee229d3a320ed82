"""What decides which definition runs is for those who may publish; who may write alone draws."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.domain.workflows.test_routes import Headers, document, saved
from tests.factories import identity
from tests.factories.identity import Person

from weft.core.actor import system_actor
from weft.db.database import Database
from weft.db.hot import transaction

CHANGED = document(description="Sends everything somewhere else.")


@pytest.fixture
async def mia(database: Database, acme: Person) -> Headers:
    """Headers of a MEMBER, who may write and start, and no more."""
    return await identity.bearer(database, await identity.member(database, acme, role="MEMBER"))


async def active(api: httpx2.AsyncClient, owner: Headers, **more: Any) -> str:
    workflow = await saved(api, owner, **more)
    done = await api.post(f"/v1/workflows/{workflow['id']}/activate", headers=owner)
    assert done.status_code == 200, done.text
    return f"/v1/workflows/{workflow['id']}"


async def shown(api: httpx2.AsyncClient, owner: Headers, at: str) -> dict[str, Any]:
    return dict((await api.get(at, headers=owner)).json())


def refused(response: httpx2.Response) -> str:
    assert (response.status_code, response.json()["type"]) == (403, "/errors/publisher_needed"), response.text
    return str(response.json()["detail"])


async def published(database: Database, acme: Person) -> list[int]:
    """The numbers of the versions that were let run."""
    async with transaction(database, system_actor(acme.tenant_id), read_only=True) as connection:
        rows = await connection.fetch(
            "select v.number from weft.workflow_publications p join weft.workflow_versions v on v.id = p.version_id"
            " order by v.number"
        )
    return [row["number"] for row in rows]


async def test_a_member_changes_nothing_of_what_runs(
    api: httpx2.AsyncClient, owner: Headers, mia: Headers, database: Database, acme: Person
) -> None:
    at = await active(api, owner)
    before = await shown(api, owner, at)
    workflow_id = at.rpartition("/")[2]
    by_id = await api.post(f"/v1/workflows/import?workflow_id={workflow_id}", json=CHANGED, headers=mia)
    assert "'workflows:publish'" in refused(by_id)
    refused(await api.post("/v1/workflows/import", json=CHANGED, headers=mia))  # found by its name
    assert await shown(api, owner, at) == before, "not even the draft was taken"
    assert (await api.put(f"{at}/draft", json=CHANGED, headers=mia)).status_code == 200
    refused(await api.post(f"{at}/versions", json={}, headers=mia))
    assert (await shown(api, owner, at))["version"] == 1
    assert await published(database, acme) == [1]


async def test_the_draft_is_the_proposal_and_saving_it_the_review(
    api: httpx2.AsyncClient, owner: Headers, mia: Headers, database: Database, acme: Person
) -> None:
    at = await active(api, owner)
    await api.put(f"{at}/draft", json=CHANGED, headers=mia)
    assert (await api.post(f"{at}/versions", json={}, headers=owner)).status_code == 201
    assert await published(database, acme) == [1, 2]


async def test_what_is_not_active_is_saved_by_members_and_let_run_by_the_activation(
    api: httpx2.AsyncClient, owner: Headers, mia: Headers, database: Database, acme: Person
) -> None:
    made = (await api.post("/v1/workflows/import", json=document(), headers=mia)).json()["workflow"]
    at = f"/v1/workflows/{made['id']}"
    await api.put(f"{at}/draft", json=CHANGED, headers=mia)
    assert (await api.post(f"{at}/versions", json={}, headers=mia)).status_code == 201
    assert await published(database, acme) == []
    assert (await api.post(f"{at}/activate", headers=owner)).status_code == 200
    assert await published(database, acme) == [2], "nobody has let version 1 run"
    await api.post(f"{at}/deactivate", headers=owner)
    assert (await api.post(f"/v1/workflows/import?workflow_id={made['id']}", json=document(), headers=mia)).is_success
    assert await published(database, acme) == [2]
    await api.post(f"{at}/activate", headers=owner)
    await api.post(f"{at}/rollback", json={"number": 1}, headers=owner)
    assert await published(database, acme) == [2, 3], "a rollback to the same content makes no version"


async def test_an_import_without_a_difference_needs_no_more_than_writing(
    api: httpx2.AsyncClient, owner: Headers, mia: Headers
) -> None:
    await active(api, owner)
    done = await api.post("/v1/workflows/import", json=document(), headers=mia)
    assert (done.status_code, done.json()["outcome"]) == (200, "unchanged")


async def test_the_name_of_an_active_workflow_is_what_others_start_it_by(
    api: httpx2.AsyncClient, owner: Headers, mia: Headers
) -> None:
    at = await active(api, owner)
    refused(await api.patch(at, json={"name": "Other"}, headers=mia))
    refused(await api.put(f"{at}/draft", json=document(name="Other"), headers=mia))
    assert (await shown(api, owner, at))["name"] == "Invoice"
    assert (await api.patch(at, json={"name": "INVOICE", "tags": ["paper"]}, headers=mia)).status_code == 200
    assert (await api.patch(at, json={"name": "Other"}, headers=owner)).status_code == 200
    await api.post(f"{at}/deactivate", headers=owner)
    assert (await api.patch(at, json={"name": "Third"}, headers=mia)).status_code == 200
