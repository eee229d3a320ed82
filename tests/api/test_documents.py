"""What the API says about itself: the OpenAPI document, the reference, errors, the first page."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from tests.api.conftest import Whole

from weft.api import openapi, reference, reference_page
from weft.http.problems import MEDIA_TYPE


@pytest.fixture
def document(whole: Whole) -> dict[str, Any]:
    return whole.app.openapi()


def each(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{m.upper()} {path}", op) for path, item in document["paths"].items() for m, op in item.items()]


class TestOpenApi:
    def test_its_operations_are_complete(self, document: dict[str, Any]) -> None:
        assert document["openapi"] == "3.1.0"
        ids = [operation["operationId"] for _, operation in each(document)]
        assert len(ids) == len(set(ids)) > 50
        for label, operation in each(document):
            assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"]), label
            assert operation["tags"], label
            answers = operation["responses"]
            assert any(status.startswith("2") for status in answers), label
            assert {"400", "422", "429", "500", "503"} <= answers.keys(), label

    def test_every_refusal_is_a_problem(self, document: dict[str, Any]) -> None:
        for label, operation in each(document):
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert answer == {"$ref": f"#/components/responses/Problem{status}"}, (label, status)
        for response in document["components"]["responses"].values():
            assert list(response["content"]) == [MEDIA_TYPE]
        assert "HTTPValidationError" not in document["components"]["schemas"]

    def test_who_may_call_stands_in_it(self, document: dict[str, Any]) -> None:
        operations = dict(each(document))
        create = operations["POST /v1/clients"]
        assert create["x-permission"] == "clients:write"
        assert create["security"] == [{"apiKey": []}, {"session": []}]
        assert "`clients:write`" in create["description"]
        assert operations["POST /v1/auth/login"]["security"] == []
        assert operations["GET /v1/me"]["x-permission"] is None
        assert document["components"]["securitySchemes"].keys() == {"apiKey", "session"}

    def test_references_lead_somewhere(self, document: dict[str, Any]) -> None:
        def walk(node: Any) -> None:
            if isinstance(node, dict):
                if isinstance(node.get("$ref"), str):
                    assert reference_page._resolve(document, node) is not None
                for part in node.values():
                    walk(part)
            elif isinstance(node, list):
                for part in node:
                    walk(part)

        walk(document)

    async def test_it_is_served_to_anybody(self, whole: Whole, document: dict[str, Any]) -> None:
        async with whole.client() as client:
            assert (await client.get("/openapi.json")).json() == document

    def test_a_precondition_is_only_where_it_can_fail(self, document: dict[str, Any]) -> None:
        for label, operation in each(document):
            names = {parameter["name"].lower() for parameter in operation.get("parameters", ())}
            assert ("412" in operation["responses"]) == ("if-match" in names), label


class TestPages:
    @pytest.fixture
    async def pages(self, whole: Whole) -> dict[str, httpx2.Response]:
        async with whole.client({"Accept": "text/html"}) as client:
            return {path: await client.get(path) for path in ("/", "/docs", "/errors/cursor_invalid")}

    async def test_they_need_no_script_and_no_other_server(self, pages: dict[str, httpx2.Response]) -> None:
        for path, answer in pages.items():
            assert answer.status_code == 200, path
            assert "<script" not in answer.text, path
            assert "style=" not in answer.text, path
            outside = re.findall(r'(?:src|href)="(?!/|#)([^"]*)"', answer.text)
            assert outside == [], path

    async def test_the_reference_has_every_operation(
        self, pages: dict[str, httpx2.Response], document: dict[str, Any]
    ) -> None:
        text = pages["/docs"].text
        for label, operation in each(document):
            assert f'id="{operation["operationId"]}"' in text, label
        assert "permission clients:write" in text
        assert 'href="/docs/style.css"' in text

    async def test_an_error_is_explained(self, pages: dict[str, httpx2.Response]) -> None:
        text = pages["/errors/cursor_invalid"].text
        assert "does not belong to this list" in text
        assert "422" in text

    async def test_code_is_code(self, whole: Whole, pages: dict[str, httpx2.Response]) -> None:
        async with whole.client({"Accept": "text/html"}) as client:
            missing = (await client.get("/errors/address_unknown")).text + (
                await client.get("/errors/workflow_not_found")
            ).text
        assert "<code>weft workflow list</code>" in missing
        outside = re.sub(r"<pre>.*?</pre>", "", pages["/docs"].text, flags=re.DOTALL)
        assert "`" not in missing + outside

    async def test_what_is_shown_is_escaped(self) -> None:
        page = reference_page.render(
            {
                "info": {"title": "<b>x</b>", "version": "1"},
                "paths": {
                    "/<i>": {
                        "get": {
                            "operationId": '"><script>',
                            "summary": "<script>",
                            "description": "<script>",
                            "security": [],
                            "parameters": [{"name": "<script>", "in": "query", "schema": {"default": "<script>"}}],
                            "responses": {"200": {"description": "<script>"}},
                        }
                    }
                },
            }
        )
        assert "<script>" not in page
        assert "<b>" not in page

    async def test_programs_get_json_at_the_root(self, whole: Whole) -> None:
        async with whole.client() as client:
            found = (await client.get("/")).json()
            assert found["documentation"] == "/docs"
            assert (await client.get(found["openapi"])).status_code == 200

    async def test_an_unknown_code_is_a_problem(self, whole: Whole) -> None:
        async with whole.client() as client:
            answer = await client.get("/errors/nobody_knows")
        assert (answer.status_code, answer.headers["content-type"]) == (404, MEDIA_TYPE)


def test_sentences_come_from_the_classes() -> None:
    found = reference.catalogue()
    assert found["version_stale"].status == 412
    assert found["version_stale"].sentence.startswith("You read version {expected}, but somebody has changed it since")
    assert found["internal_error"].status == 500
    assert openapi.VERSION == "3.1.0"
