"""`ETag` and `If-Match`: nobody overwrites what they have not read."""

from __future__ import annotations

import httpx2
import pytest

from weft.http.preconditions import PreconditionMalformed, VersionStale, check, etag, expected_version


@pytest.mark.parametrize(
    ("header", "version"),
    [(None, None), ("*", None), (' "7" ', 7), ('"7"', 7), ('W/"7"', 7), ("7", 7), ('"0"', 0)],
)
def test_what_a_header_expects(header: str | None, version: int | None) -> None:
    assert expected_version(header) == version


@pytest.mark.parametrize("header", ["", '"seven"', '"7", "8"', "W/7", '"7', '"-7"', '"' + "9" * 30 + '"', "\u0667"])
def test_what_is_no_version(header: str) -> None:
    with pytest.raises(PreconditionMalformed):
        expected_version(header)


def test_a_stale_version_says_both() -> None:
    with pytest.raises(VersionStale, match=r"version 7.*version 9"):
        check(7, 9)
    check(9, 9)
    check(None, 9)


async def test_the_tag_goes_round(http: httpx2.AsyncClient) -> None:
    made = await http.post("/v1/clients", json={"name": "Grace"})
    address = f"/v1/clients/{made.json()['id']}"
    assert made.headers["etag"] == etag(1)
    assert (await http.get(address)).headers["etag"] == etag(1)

    changed = await http.patch(address, json={"name": "Hedy"}, headers={"If-Match": made.headers["etag"]})
    assert (changed.status_code, changed.headers["etag"]) == (200, etag(2))
    assert changed.json()["row_version"] == 2


async def test_a_second_writer_is_told(http: httpx2.AsyncClient) -> None:
    made = await http.post("/v1/clients", json={"name": "Grace"})
    address = f"/v1/clients/{made.json()['id']}"
    tag = {"If-Match": made.headers["etag"]}
    assert (await http.patch(address, json={"name": "Hedy"}, headers=tag)).status_code == 200
    late = await http.patch(address, json={"name": "Ida"}, headers=tag)
    assert late.status_code == 412
    assert late.json()["type"] == "/errors/version_stale"
    assert (await http.get(address)).json()["name"] == "Hedy"
    assert (await http.patch(address, json={"name": "Ida"}, headers={"If-Match": "*"})).status_code == 200
    assert (await http.patch(address, json={"name": "Jo"}, headers={"If-Match": "mine"})).status_code == 422
