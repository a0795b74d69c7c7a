"""The answer cache on a fleet: a deployment with the embedded Qdrant, for the tenant that opted in."""

from __future__ import annotations

import time

import httpx

from benchmarks.bench_fleet import BenchFleet

DEADLINE_S = 20.0
QUESTION = "How do I reset my password?"


def test_a_question_is_answered_once_by_an_agent_and_then_from_the_cache(fleet: BenchFleet) -> None:
    admin = {"authorization": f"Bearer {fleet.api_key}"}
    body = {"model": "pool/foundation", "messages": [{"role": "user", "content": QUESTION}]}
    with httpx.Client(base_url=fleet.url, timeout=60) as http:
        made = http.post("/api/v1/keys", json={"name": "again", "tenant": "again", "scopes": ["admin"]}, headers=admin)
        again = {"authorization": f"Bearer {made.json()['secret']}"}
        first = http.post("/v1/chat/completions", json=body, headers=again)
        assert first.status_code == 200, first.text
        assert "x-ossa-cache" not in first.headers
        ends = time.monotonic() + DEADLINE_S
        while "x-ossa-cache" not in (hit := http.post("/v1/chat/completions", json=body, headers=again)).headers:
            assert time.monotonic() < ends, "the answer was not kept"
        assert hit.headers["x-ossa-cache"] == "exact"
        assert hit.json()["choices"] == first.json()["choices"]
        assert "x-ossa-cache" not in http.post("/v1/chat/completions", json=body, headers=admin).headers
        forgotten = http.delete("/api/v1/answers", headers=again)
        assert forgotten.status_code == 200
        assert forgotten.json()["forgotten"] >= 1
