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
