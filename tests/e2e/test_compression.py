"""The `vortex` deployment behind the gateway."""

from __future__ import annotations

import httpx

from benchmarks.bench_fleet import BenchFleet

LOG = "\n".join(
    [*(f"2025-06-12 10:00:{n % 60:02} INFO request {n} served" for n in range(300)), "ERROR certificate expired"]
)


def test_a_context_is_compressed_by_the_deployment_and_comes_back(fleet: BenchFleet) -> None:
    headers = {"authorization": f"Bearer {fleet.api_key}"}
    with httpx.Client(base_url=fleet.url, headers=headers, timeout=60) as http:
        found = http.post("/api/v1/compress", json={"content": LOG, "question": "what failed?"})
        assert found.status_code == 200, found.text
        assert "certificate expired" in found.json()["text"]
        assert found.json()["reduction"] > 0.5
        back = http.post("/api/v1/decompress", json={"text": found.json()["text"]})
        assert back.json() == {"content": LOG}
        refused = http.post("/api/v1/compress", json={"content": "x", "reduction": 0.5, "budget_tokens": 5})
        assert refused.status_code == 422
        assert refused.json()["param"] == "budget_tokens" or "budget_tokens" in refused.text
        assert http.post("/api/v1/decompress", json={"text": "vx:aaaaaaaaaa"}).status_code == 404


def test_a_turn_sends_less_and_says_so(fleet: BenchFleet) -> None:
    headers = {"authorization": f"Bearer {fleet.api_key}"}
    call = {"id": "c1", "type": "function", "function": {"name": "logs", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "What failed?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": LOG},
    ]
    prompts, saved = [], []
    with httpx.Client(base_url=fleet.url, headers=headers, timeout=60) as http:
        for said in ("on", "off"):
            asked = {"model": "auto", "messages": messages}
            answer = http.post("/v1/chat/completions", json=asked, headers={"x-ossa-vortex": said})
            assert answer.status_code == 200, answer.text
            prompts.append(answer.json()["usage"]["prompt_tokens"])
            saved.append(int(answer.headers["x-ossa-tokens-saved"]))
    assert saved[0] > 2000
    assert saved[1] == 0
    assert prompts[0] < prompts[1] / 2
