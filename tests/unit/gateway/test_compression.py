"""`/api/v1/compress` and `/api/v1/decompress`."""

from __future__ import annotations

from typing import Any

import pytest

LOG = "\n".join(
    [*(f"2025-06-12 10:00:{n % 60:02} INFO request {n} served" for n in range(200)), "ERROR certificate expired"]
)


async def test_a_context_is_compressed_and_comes_back_whole(rig: Any) -> None:
    answer = await rig.call("POST", "/api/v1/compress", {"content": LOG, "question": "what failed?"})
    assert answer.status_code == 200
    found = answer.json()
    assert "certificate expired" in found["text"]
    assert found["tokens_after"] < found["tokens_before"] / 2
    assert found["reduction"] > 0.5
    assert found["kinds"]
    assert found["dropped"][0]["why"] in ("budget", "repeated")
    for text in (found["handles"][0], found["text"]):
        back = await rig.call("POST", "/api/v1/decompress", {"text": text})
        assert back.json() == {"content": LOG}


async def test_another_tenant_cannot_have_the_original(rig: Any) -> None:
    found = (await rig.call("POST", "/api/v1/compress", {"content": LOG})).json()
    other = await rig.key("acme")
    refused = await rig.http.post("/api/v1/decompress", json={"text": found["handles"][0]}, headers=other)
    assert refused.status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "content"),
        ({"content": 7}, "content"),
        ({"content": "x", "reduction": 1}, "reduction"),
        ({"content": "x", "budget_tokens": 0}, "budget_tokens"),
        ({"content": "x", "reduction": 0.5, "budget_tokens": 9}, "budget_tokens"),
        ({"content": "x", "kind": "novel"}, "kind"),
        ({"content": "x", "colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_field_is_named(rig: Any, body: dict[str, Any], field: str) -> None:
    answer = await rig.call("POST", "/api/v1/compress", body)
    assert answer.status_code == 422
    assert field in answer.text


async def test_a_text_that_was_never_compressed_is_its_own_original(rig: Any) -> None:
    answer = await rig.call("POST", "/api/v1/decompress", {"text": "hello"})
    assert answer.json() == {"content": "hello"}


async def test_a_store_that_is_away_is_said_and_nothing_is_answered_without_its_original(rig: Any) -> None:
    rig.stores.go_down()
    answer = await rig.call("POST", "/api/v1/compress", {"content": LOG})
    rig.stores.come_back()
    assert answer.status_code == 503
