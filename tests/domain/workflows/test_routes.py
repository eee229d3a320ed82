"""Workflows over HTTP."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from tests.factories import identity
from tests.factories.identity import Person
from tests.factories.workflows import chain, step

from weft.db.database import Database
from weft.domain.workflows import tokens
from weft.domain.workflows.parsing import parse

Headers = dict[str, str]
ID = "0198f3a0-0000-7000-8000-00000000c0de"
AT = f"/v1/workflows/{ID}"
TRIGGER = f"{AT}/triggers/{ID}"
READ, WRITE, PUBLISH = "workflows:read", "workflows:write", "workflows:publish"
GUARDED: list[tuple[str, str, object, str]] = [
    ("GET", "/v1/workflows", None, READ),
    ("POST", "/v1/workflows", {"name": "New"}, WRITE),
    ("POST", "/v1/workflows/check", {"name": "x"}, WRITE),
    ("POST", "/v1/workflows/import", {"name": "x"}, WRITE),
    ("GET", AT, None, READ),
    ("PATCH", AT, {"name": "Other"}, WRITE),
    ("DELETE", AT, None, PUBLISH),
    ("POST", f"{AT}/restore", None, PUBLISH),
    ("GET", f"{AT}/draft", None, READ),
    ("PUT", f"{AT}/draft", {"name": "x"}, WRITE),
    ("POST", f"{AT}/activate", None, PUBLISH),
    ("POST", f"{AT}/deactivate", None, PUBLISH),
    ("POST", f"{AT}/archive", None, PUBLISH),
    ("POST", f"{AT}/unarchive", None, PUBLISH),
    ("GET", f"{AT}/export", None, READ),
    ("POST", f"{AT}/versions", {}, WRITE),
    ("GET", f"{AT}/versions", None, READ),
    ("GET", f"{AT}/versions/1", None, READ),
    ("GET", f"{AT}/versions/1/steps", None, READ),
    ("GET", f"{AT}/versions/1/transitions", None, READ),
    ("GET", f"{AT}/diff", None, READ),
    ("POST", f"{AT}/rollback", {"number": 1}, PUBLISH),
    ("GET", f"{AT}/triggers", None, READ),
    ("POST", f"{AT}/triggers", {}, PUBLISH),
    ("GET", TRIGGER, None, READ),
    ("PATCH", TRIGGER, {"enabled": False}, PUBLISH),
    ("DELETE", TRIGGER, None, PUBLISH),
    ("POST", f"{TRIGGER}/rotate-token", None, PUBLISH),
    ("POST", f"{TRIGGER}/rotate-secret", None, PUBLISH),
]
OPEN: list[tuple[str, str, object]] = [
    ("GET", "/v1/workflows/definition-schema", None),
    ("GET", "/v1/workflows/step-kinds", None),
]
EVERYTHING = [*((method, path, body) for method, path, body, _ in GUARDED), *OPEN]


def document(**more: Any) -> dict[str, Any]:
    steps = [step("first", "transform", config={"values": {"x": "{{ input.amount }}"}}), step("second", "end")]
    written = {
        "name": "Invoice",
        "input": {"type": "object", "properties": {"amount": {"type": "number"}}, "additionalProperties": False},
        "steps": steps,
        "transitions": chain("first", "second"),
    }
    return {**written, **more}


async def made(api: httpx2.AsyncClient, headers: Headers, **more: Any) -> dict[str, Any]:
    response = await api.post("/v1/workflows", json={"definition": document(**more)}, headers=headers)
    assert response.status_code == 201, response.text
    return dict(response.json())


async def saved(api: httpx2.AsyncClient, headers: Headers, **more: Any) -> dict[str, Any]:
    workflow = await made(api, headers, **more)
    response = await api.post(f"/v1/workflows/{workflow['id']}/versions", json={}, headers=headers)
    assert response.status_code == 201, response.text
    return workflow


# --- who may


async def test_anonymous_is_refused(api: httpx2.AsyncClient) -> None:
    for method, path, body in EVERYTHING:
        assert (await api.request(method, path, json=body)).status_code == 401, (method, path)


@pytest.mark.parametrize(("method", "path", "body", "permission"), GUARDED)
async def test_the_permission_is_needed_and_enough(
    api: httpx2.AsyncClient, database: Database, acme: Person, method: str, path: str, body: object, permission: str
) -> None:
    others = sorted({READ, WRITE, PUBLISH, "executions:start", "clients:write"} - {permission})
    without = await identity.bearer(database, await identity.somebody(database, acme, *others))
    refused = await api.request(method, path, json=body, headers=without)
    assert refused.status_code == 403
    assert permission in refused.json()["detail"]
    having = await identity.bearer(database, await identity.somebody(database, acme, permission))
    assert (await api.request(method, path, json=body, headers=having)).status_code not in (401, 403)


@pytest.mark.parametrize(("method", "path", "body", "_permission"), [case for case in GUARDED if ID in case[1]])
async def test_another_tenants_workflow_is_not_there(
    api: httpx2.AsyncClient,
    database: Database,
    owner: Headers,
    method: str,
    path: str,
    body: object,
    _permission: str,
) -> None:
    workflow = await saved(api, owner)
    trigger = (await api.post(f"/v1/workflows/{workflow['id']}/triggers", json={}, headers=owner)).json()
    stranger = await identity.bearer(database, await identity.tenant(database, "globex"))
    real = path.replace(f"triggers/{ID}", f"triggers/{trigger['id']}").replace(ID, workflow["id"])
    refused = await api.request(method, real, json=body, headers=stranger)
    assert refused.status_code == 404, refused.text
    assert refused.json()["type"] == "/errors/workflow_not_found"
    unchanged = (await api.get(f"/v1/workflows/{workflow['id']}", headers=owner)).json()
    assert (unchanged["status"], unchanged["deleted_at"], unchanged["version"]) == ("DRAFT", None, 1)


# --- a workflow's life


async def test_from_draft_to_active(api: httpx2.AsyncClient, owner: Headers, acme: Person) -> None:
    response = await api.post("/v1/workflows", json={"definition": document(tags=["money"])}, headers=owner)
    workflow = response.json()
    assert response.headers["etag"] == '"1"'
    assert (workflow["name"], workflow["status"], workflow["version"]) == ("Invoice", "DRAFT", 0)
    assert (workflow["tags"], workflow["draft_differs"]) == (["money"], True)
    assert workflow["created_by"] == str(acme.user_id)
    assert "draft" not in workflow
    path = f"/v1/workflows/{workflow['id']}"

    refused = await api.post(f"{path}/activate", headers=owner)
    assert (refused.status_code, refused.json()["type"]) == (409, "/errors/workflow_has_no_version")

    response = await api.post(f"{path}/versions", json={"note": "first"}, headers={**owner, "If-Match": '"1"'})
    assert response.status_code == 201
    assert response.json()["created"] is True
    assert response.json()["version"]["number"] == 1
    again = await api.post(f"{path}/versions", json={"note": "again"}, headers=owner)
    assert (again.status_code, again.json()["created"]) == (200, False)

    active = (await api.post(f"{path}/activate", headers=owner)).json()
    assert (active["status"], active["version"], active["draft_differs"]) == ("ACTIVE", 1, False)
    assert active["current_version_id"] == response.json()["version"]["id"]
    assert (await api.post(f"{path}/deactivate", headers=owner)).json()["status"] == "INACTIVE"
    assert (await api.post(f"{path}/archive", headers=owner)).json()["status"] == "ARCHIVED"
    refused = await api.put(f"{path}/draft", json=document(), headers=owner)
    assert (refused.status_code, refused.json()["type"]) == (409, "/errors/workflow_archived")
    assert (await api.post(f"{path}/unarchive", headers=owner)).json()["status"] == "INACTIVE"
    assert (await api.delete(path, headers=owner)).status_code == 204
    assert (await api.get(path, headers=owner)).status_code == 404
    assert (await api.post(f"{path}/restore", headers=owner)).json()["deleted_at"] is None


async def test_drafts_are_locked_by_their_etag(api: httpx2.AsyncClient, owner: Headers) -> None:
    workflow = await made(api, owner)
    path = f"/v1/workflows/{workflow['id']}/draft"
    seen = await api.get(path, headers=owner)
    assert seen.headers["etag"] == '"1"'
    assert seen.json()["definition"] == document()
    stored = await api.put(path, json=document(description="new"), headers={**owner, "If-Match": seen.headers["etag"]})
    assert (stored.status_code, stored.json()["row_version"]) == (200, 2)
    stale = await api.put(path, json=document(), headers={**owner, "If-Match": seen.headers["etag"]})
    assert stale.status_code == 412
    assert (await api.get(path, headers=owner)).json()["definition"]["description"] == "new"


async def test_a_half_drawn_draft_is_kept(api: httpx2.AsyncClient, owner: Headers) -> None:
    workflow = await made(api, owner)
    path = f"/v1/workflows/{workflow['id']}"
    half = {"steps": [{"key": "A B"}], "whatever": None}
    assert (await api.put(f"{path}/draft", json=half, headers=owner)).json()["definition"] == half
    refused = await api.post(f"{path}/versions", json={}, headers=owner)
    assert (refused.status_code, refused.json()["type"]) == (422, "/errors/definition_unsound")
    errors = refused.json()["errors"]
    assert {"code", "message", "path", "location"} <= errors[0].keys()
    assert ["steps", 0] in [error["path"] for error in errors]
    refused = await api.put(
        f"{path}/draft", content=b'{"name": "\\u0000"}', headers={**owner, "Content-Type": "application/json"}
    )
    assert (refused.status_code, refused.json()["type"]) == (422, "/errors/document_unreadable")


async def test_checking_stores_nothing(api: httpx2.AsyncClient, owner: Headers) -> None:
    good = await api.post("/v1/workflows/check", json=document(), headers=owner)
    assert good.json() == {
        "sound": True,
        "errors": [],
        "warnings": [],
        "stats": {"steps": 2, "transitions": 1, "simple": 1, "guarded": 0},
    }
    broken = document(output="{{ input.amuont }}", steps=[step("first", "transfrom"), step("second", "end")])
    bad = (await api.post("/v1/workflows/check", json=broken, headers=owner)).json()
    assert bad["sound"] is False
    assert [(error["path"], error["code"]) for error in bad["errors"]] == [
        (["output"], "field_unknown"),
        (["steps", 0, "type"], "step_kind_unknown"),
    ]
    assert (await api.get("/v1/workflows", headers=owner)).json()["items"] == []


async def test_patching(api: httpx2.AsyncClient, owner: Headers) -> None:
    workflow = await made(api, owner)
    await made(api, owner, name="Taken")
    path = f"/v1/workflows/{workflow['id']}"
    changed = (await api.patch(path, json={"name": "Bill", "tags": ["a"]}, headers=owner)).json()
    assert (changed["name"], changed["tags"]) == ("Bill", ["a"])
    assert (await api.get(f"{path}/draft", headers=owner)).json()["definition"]["name"] == "Bill"
    taken = await api.patch(path, json={"name": "TAKEN"}, headers=owner)
    assert (taken.status_code, taken.json()["type"]) == (409, "/errors/workflow_name_taken")
    unknown = await api.patch(path, json={"client_id": ID}, headers=owner)
    assert (unknown.status_code, unknown.json()["errors"][0]["path"]) == (422, ["client_id"])
    for body in ({"nmae": "x"}, {"name": ""}, {"name": 3}, {"tags": "a"}, {"tags": ["x" * 61]}):
        assert (await api.patch(path, json=body, headers=owner)).status_code == 422, body


async def test_listing(api: httpx2.AsyncClient, owner: Headers) -> None:
    for number in range(5):
        await made(api, owner, name=f"Invoice {number}", tags=["even" if number % 2 == 0 else "odd"])
    other = await saved(api, owner, name="Other")
    await api.post(f"/v1/workflows/{other['id']}/activate", headers=owner)

    async def names(**query: Any) -> list[str]:
        response = await api.get("/v1/workflows", params={"order": "asc", **query}, headers=owner)
        assert response.status_code == 200, response.text
        assert all("draft" not in item for item in response.json()["items"])
        return [item["name"] for item in response.json()["items"]]

    assert await names() == [*(f"Invoice {number}" for number in range(5)), "Other"]
    assert await names(status="ACTIVE") == ["Other"]
    assert await names(status=["ACTIVE", "DRAFT"], tag="odd") == ["Invoice 1", "Invoice 3"]
    assert await names(name="INVOICE  4") == ["Invoice 4"]
    assert await names(name="voice") == []
    assert await names(name="%") == []
    assert await names(client_id=ID) == []
    first = await api.get("/v1/workflows", params={"limit": 4}, headers=owner)
    second = await api.get("/v1/workflows", params={"limit": 4, "cursor": first.json()["next_cursor"]}, headers=owner)
    assert [len(page.json()["items"]) for page in (first, second)] == [4, 2]
    assert second.json()["next_cursor"] is None
    await api.delete(f"/v1/workflows/{other['id']}", headers=owner)
    assert await names(deleted=True) == ["Other"]
    assert "Other" not in await names()


# --- versions


async def test_versions_and_what_they_are_made_of(api: httpx2.AsyncClient, owner: Headers) -> None:
    workflow = await saved(api, owner)
    path = f"/v1/workflows/{workflow['id']}"
    await api.put(f"{path}/draft", json=document(description="two"), headers=owner)
    await api.post(f"{path}/versions", json={"note": "second"}, headers=owner)
    listed = (await api.get(f"{path}/versions", headers=owner)).json()["items"]
    assert [(version["number"], version["note"]) for version in listed] == [(2, "second"), (1, "")]
    assert "definition" not in listed[0]
    assert (await api.get(f"{path}/versions/1", headers=owner)).json()["definition"] == document()
    steps = (await api.get(f"{path}/versions/1/steps", params={"order": "asc"}, headers=owner)).json()["items"]
    assert [(one["key"], one["step_type"], one["order"]) for one in steps] == [
        ("first", "transform", 1),
        ("second", "end", 2),
    ]
    assert steps[0]["config"] == {"values": {"x": "{{ input.amount }}"}}
    (arrow,) = (await api.get(f"{path}/versions/1/transitions", headers=owner)).json()["items"]
    assert (arrow["from_key"], arrow["to_key"], arrow["is_default"]) == ("first", "second", False)
    assert (arrow["from_step_id"], arrow["to_step_id"]) == (steps[0]["id"], steps[1]["id"])
    assert (await api.get(f"{path}/versions/3", headers=owner)).json()["type"] == "/errors/version_not_found"
    assert (await api.get(f"{path}/versions/0", headers=owner)).status_code == 422


async def test_comparing(api: httpx2.AsyncClient, owner: Headers) -> None:
    workflow = await saved(api, owner)
    path = f"/v1/workflows/{workflow['id']}"
    same = (await api.get(f"{path}/diff", headers=owner)).json()
    assert (same["old"], same["new"], same["same"]) == ("version 1", "the draft", True)
    await api.put(f"{path}/draft", json=document(description="two"), headers=owner)
    await api.post(f"{path}/versions", json={}, headers=owner)
    changed = (await api.get(f"{path}/diff", params={"from": 1, "to": 2}, headers=owner)).json()
    assert changed["lines"] == ['+ workflow description: "two"']
    assert changed["changes"] == [
        {"what": "workflow", "how": "added", "name": "description", "before": None, "after": "two", "patch": []}
    ]
    back = await api.post(f"{path}/rollback", json={"number": 1}, headers=owner)
    assert (back.status_code, back.json()["version"]["number"]) == (201, 3)
    assert (await api.get(f"{path}/diff", params={"from": 1, "to": 3}, headers=owner)).json()["same"] is True


# --- files


async def test_export_and_import(api: httpx2.AsyncClient, owner: Headers) -> None:
    workflow = await saved(api, owner)
    path = f"/v1/workflows/{workflow['id']}/export"
    as_yaml = await api.get(path, headers=owner)
    assert as_yaml.headers["content-type"].startswith("application/yaml")
    assert f'filename="workflow-{workflow["id"]}.yaml"' in as_yaml.headers["content-disposition"]
    as_json = await api.get(path, params={"format": "json", "number": 1}, headers=owner)
    assert parse(as_yaml.text).document == as_json.json() == document()
    assert (await api.get(path, params={"format": "xml"}, headers=owner)).status_code == 422

    async def imported(content: str, kind: str, **query: str) -> httpx2.Response:
        return await api.post(
            "/v1/workflows/import", content=content.encode(), params=query, headers={**owner, "Content-Type": kind}
        )

    same = await imported(as_yaml.text, "application/yaml")
    assert (same.status_code, same.json()["outcome"]) == (200, "unchanged")
    changed = await imported(as_yaml.text.replace("name: Invoice", "name: Bill"), "text/yaml; charset=utf-8")
    assert (changed.status_code, changed.json()["outcome"]) == (201, "created")
    renamed = await imported(
        '{"name": "Third",' + as_json.text[1:].split(",", 1)[1], "application/json", workflow_id=workflow["id"]
    )
    assert (renamed.json()["outcome"], renamed.json()["workflow"]["id"]) == ("updated", workflow["id"])
    assert renamed.json()["changes"] == ['~ name: "Invoice" -> "Third"']


@pytest.mark.parametrize(
    ("content", "kind", "code", "line"),
    [
        ("name: x\nname: y\n", "application/yaml", "document_unreadable", 2),
        ('{"name": "x"', "application/json", "document_unreadable", 1),
        ("name: x\nsteps: []\n", "application/yaml", "definition_unsound", None),
        ("", "application/yaml", "document_unreadable", 1),
    ],
)
async def test_a_file_that_cannot_be_imported(
    api: httpx2.AsyncClient, owner: Headers, content: str, kind: str, code: str, line: int | None
) -> None:
    headers = {**owner, "Content-Type": kind}
    refused = await api.post("/v1/workflows/import", content=content.encode(), headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (422, f"/errors/{code}")
    assert refused.json()["errors"][0].get("line") == line


async def test_the_schema_and_the_palette(api: httpx2.AsyncClient, owner: Headers) -> None:
    schema = (await api.get("/v1/workflows/definition-schema", headers=owner)).json()
    assert schema["$id"] == "urn:weft:definition:1"
    kinds = (await api.get("/v1/workflows/step-kinds", headers=owner)).json()
    by_name = {kind["name"]: kind for kind in kinds}
    assert {"http", "for_each", "join", "transform"} <= by_name.keys()
    assert (by_name["parallel"]["split"], by_name["join"]["join"]) == ("all", "all")
    named = [one["if"]["properties"]["type"]["const"] for one in schema["$defs"]["step"]["allOf"]]
    assert named == sorted(by_name)


# --- triggers


async def test_triggers(api: httpx2.AsyncClient, owner: Headers, acme: Person) -> None:
    workflow = await saved(api, owner)
    path = f"/v1/workflows/{workflow['id']}/triggers"
    body = {"name": "orders", "config": {"verify": "standard", "respond": "sync", "wait_seconds": 5}}
    created = await api.post(path, json=body, headers=owner)
    assert created.status_code == 201
    assert created.headers["cache-control"] == "no-store"
    trigger = created.json()
    assert tokens.parse(trigger["token"]).tenant_id == acme.tenant_id
    assert trigger["path"] == f"/hooks/{trigger['token']}"
    assert trigger["signing_secret"].startswith("whsec_")
    assert trigger["config"].items() >= {"verify": "standard", "respond": "sync", "wait_seconds": 5.0}.items()

    shown = (await api.get(f"{path}/{trigger['id']}", headers=owner)).json()
    assert not {"token", "path", "signing_secret", "secret", "token_hash"} & shown.keys()
    (listed,) = (await api.get(path, headers=owner)).json()["items"]
    assert listed == shown

    off = await api.patch(f"{path}/{trigger['id']}", json={"enabled": False}, headers={**owner, "If-Match": '"1"'})
    assert (off.json()["enabled"], off.headers["etag"]) == (False, '"2"')
    renewed = (await api.post(f"{path}/{trigger['id']}/rotate-token", headers=owner)).json()
    assert renewed["token"] not in (None, trigger["token"])
    assert renewed["signing_secret"] is None
    secret = (await api.post(f"{path}/{trigger['id']}/rotate-secret", headers=owner)).json()
    assert secret["signing_secret"] not in (None, trigger["signing_secret"])
    assert (await api.delete(f"{path}/{trigger['id']}", headers=owner)).status_code == 204
    assert (await api.get(f"{path}/{trigger['id']}", headers=owner)).json()["type"] == "/errors/trigger_not_found"


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "SCHEDULE"},
        {"config": {"wait_seconds": 60}},
        {"config": {"verify": "md5"}},
        {"config": {"input": "{{ bdy }}"}},
        {"secret": "mine"},
    ],
)
async def test_triggers_that_cannot_be(api: httpx2.AsyncClient, owner: Headers, body: dict[str, Any]) -> None:
    workflow = await saved(api, owner)
    refused = await api.post(f"/v1/workflows/{workflow['id']}/triggers", json=body, headers=owner)
    assert refused.status_code == 422
    assert refused.json()["errors"]
