"""The HTTP edge: browsers, HEAD, packed bodies, what every answer carries."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest
from pydantic import ValidationError

from ossa.contracts.configuration import GatewaySettings

PAGE = "http://localhost:5173"
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}
BODY = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}]}).encode()


async def _post(rig: Any, body: bytes, **headers: str) -> Any:
    headers = {"authorization": f"Bearer {rig.secret}", "content-type": "application/json", **headers}
    return await rig.http.post("/v1/chat/completions", content=body, headers=headers)


async def test_a_page_of_an_allowed_origin_may_call_after_a_preflight_without_a_key(open_rig: Any) -> None:
    rig = await open_rig(cors_origins=[PAGE])
    preflight = await rig.http.options("/v1/chat/completions", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    answer = await rig.ask(headers={"origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "x-ossa-task-id" in answer.headers["access-control-expose-headers"]
    refused = await rig.http.post("/v1/chat/completions", content=BODY, headers={"origin": PAGE})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, PAGE)


async def test_a_page_of_another_origin_is_not_let_in(open_rig: Any) -> None:
    rig = await open_rig(cors_origins=["https://app.example"])
    preflight = await rig.http.options("/v1/chat/completions", headers=PREFLIGHT)
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    answer = await rig.ask(headers={"origin": PAGE})
    assert "access-control-allow-origin" not in answer.headers


async def test_no_page_is_let_in_without_the_setting(rig: Any) -> None:
    preflight = await rig.http.options("/v1/chat/completions", headers=PREFLIGHT)
    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize("origin", ["https://app.example/", "app.example", "https://app.example/path", ""])
def test_an_origin_that_no_browser_sends_is_refused_by_name(origin: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        GatewaySettings(cors_origins=(origin,))


@pytest.mark.parametrize("path", ["/health/live", "/version", "/v1/models"])
async def test_head_is_get_without_a_body(rig: Any, path: str) -> None:
    got, head = await rig.call("GET", path), await rig.call("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_head_of_what_is_only_posted_is_refused(rig: Any) -> None:
    answer = await rig.call("HEAD", "/v1/chat/completions")
    assert (answer.status_code, answer.content) == (405, b"")
    assert "HEAD" in (await rig.call("PATCH", "/v1/models")).headers["allow"]


async def test_head_of_a_stream_ends(rig: Any) -> None:
    rig.link.hold()
    task = (await rig.call("POST", "/api/v1/tasks", {"input": "x"})).json()
    async with asyncio.timeout(10):
        answer = await rig.call("HEAD", f"/api/v1/tasks/{task['id']}/events")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_byte_order_mark_is_no_part_of_the_json(rig: Any) -> None:
    assert (await _post(rig, b"\xef\xbb\xbf" + BODY)).status_code == 200


PACKED = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY[:20]) + gzip.compress(BODY[20:]),
    "deflate": zlib.compress(BODY),
    "identity": BODY,
}


@pytest.mark.parametrize("encoding", PACKED)
async def test_a_packed_body_is_unpacked(rig: Any, encoding: str) -> None:
    answer = await _post(rig, PACKED[encoding], **{"content-encoding": encoding})
    assert answer.status_code == 200, answer.text
    assert rig.link.turns[0][1].request.messages == [{"role": "user", "content": "hi"}]


async def test_an_encoding_that_is_not_read_is_named(rig: Any) -> None:
    answer = await _post(rig, BODY, **{"content-encoding": "br"})
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_encoding"
    assert "'br'" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [BODY, PACKED["gzip"][:-9], b"\x1f\x8b"], ids=["plain", "cut", "begun"])
async def test_a_body_that_cannot_be_unpacked_is_the_client_s_fault(rig: Any, body: bytes) -> None:
    answer = await _post(rig, body, **{"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed_body")


async def test_a_packed_body_is_bounded_by_what_it_unpacks_to(open_rig: Any) -> None:
    rig = await open_rig(max_body_bytes=4096)
    members = gzip.compress(bytes(3000)) * 2
    for bomb in (gzip.compress(bytes(3_000_000)), members):
        assert len(bomb) < 4096
        answer = await _post(rig, bomb, **{"content-encoding": "gzip"})
        assert answer.status_code == 413, answer.text


@pytest.mark.parametrize("path", ["/health/live", "/v1/models", "/nowhere"])
async def test_every_answer_says_that_it_is_what_it_says(rig: Any, path: str) -> None:
    headers = (await rig.http.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
