"""The mission's three calls, as `curl -d` sends them."""

from __future__ import annotations

import json
import subprocess

import pytest

from benchmarks.bench_fleet import BenchFleet

CALLS = [
    ("orchestration/deploy-phase", '{"phase": "phase4-enterprise-analytics", "target_agents": 5}'),
    ("agents/spawn-pool", '{"pool_type": "enterprise-analytics", "agent_count": 2}'),
    ("infrastructure/scale-to-phase4", '{"target": "5-agent-enterprise", "kubernetes_nodes": 12}'),
]


@pytest.mark.parametrize(("path", "body"), CALLS)
def test_a_call_starts_an_operation_that_succeeds(fleet: BenchFleet, path: str, body: str) -> None:
    command = ["curl", "-sS", "-X", "POST", f"{fleet.url}/api/v1/{path}", "-H", f"X-API-Key: {fleet.api_key}"]
    ended = subprocess.run(
        [*command, "-w", "\n%{http_code}", "-d", body], capture_output=True, text=True, timeout=60, check=True
    )
    answer, _, status = ended.stdout.rpartition("\n")
    assert status == "202", answer
    with fleet.client() as client:
        operation = client.operations.wait(json.loads(answer)["id"], timeout_s=180)
        assert operation.status == "succeeded"


def test_the_fleet_is_the_size_that_was_asked_for_last(fleet: BenchFleet) -> None:
    with fleet.client() as client:
        operation = client.deploy_phase(5)
        client.operations.wait(operation.id, timeout_s=180)
        assert sum(pool.ready for pool in client.pools.list()) == 5
