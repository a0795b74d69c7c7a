from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from ossa.contracts.access import Scope
from ossa.testing.gateway import eventually, fake_agent

MANIFEST = {
    "apiVersion": "ossa/v0.5.0",
    "kind": "Agent",
    "metadata": {"name": "My Reviewer", "version": "1.0.0"},
    "spec": {"role": "You review ${SECRET:-changes}.", "taxonomy": {"domain": "security"}},
}
MISSION = [
    (
        "/api/v1/orchestration/deploy-phase",
        '{"phase": "phase4-enterprise-analytics", "target_agents": 200}',
        "deploy-phase",
    ),
    ("/api/v1/agents/spawn-pool", '{"pool_type": "enterprise-analytics", "agent_count": 50}', "spawn-pool"),
    (
        "/api/v1/infrastructure/scale-to-phase4",
        '{"target": "200-agent-enterprise", "kubernetes_nodes": 12}',
        "scale-to-phase4",
    ),
]


@pytest.mark.parametrize(("path", "body", "kind"), MISSION)
async def test_the_missions_curl_lines_work_as_curl_sends_them(rig: Any, path: str, body: str, kind: str) -> None:
    headers = {"x-api-key": rig.secret, "content-type": "application/x-www-form-urlencoded"}
    answer = await rig.http.post(path, content=body, headers=headers)
    assert answer.status_code == 202
    operation = answer.json()
    assert operation["kind"] == kind
    assert operation["request"] == json.loads(body)
    followed = await rig.call("GET", answer.headers["location"])
    assert followed.json() == operation
    other = await rig.key("other")
    assert (await rig.http.get(answer.headers["location"], headers=other)).status_code == 404


@pytest.mark.parametrize(("path", "body", "kind"), MISSION)
async def test_the_missions_calls_need_a_key_with_the_scope(rig: Any, path: str, body: str, kind: str) -> None:
    assert (await rig.http.post(path, content=body)).status_code == 401
    reader = await rig.key(scopes=[Scope.AGENTS_READ])
    assert (await rig.http.post(path, content=body, headers=reader)).status_code == 403
    assert rig.fleet.submitted == []


async def test_a_problem_follows_rfc_9457_and_has_the_request_id(rig: Any) -> None:
    answer = await rig.call("GET", "/api/v1/operations/op_0", **{"x-request-id": "mine-1"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "mine-1"
    problem = answer.json()
    assert problem["type"] == "urn:ossa:error:not_found"
    assert problem["status"] == 404
    assert problem["request_id"] == "mine-1"


@pytest.mark.parametrize("strange", ["x" * 200, "a b", "ä", ""])
async def test_a_strange_request_id_is_replaced(rig: Any, strange: str) -> None:
    answer = await rig.http.get("/version", headers={"x-request-id": strange.encode("latin-1")})
    assert answer.headers["x-request-id"].startswith("req_")


async def test_no_key_is_401_in_the_form_of_its_path(rig: Any) -> None:
    ours = await rig.http.get("/api/v1/tasks")
    assert ours.status_code == 401
    assert ours.headers["www-authenticate"] == "Bearer"
    assert ours.json()["code"] == "unauthenticated"
    theirs = await rig.http.get("/v1/models")
    assert theirs.json()["error"]["type"] == "authentication_error"


async def test_a_wrong_key_is_refused_before_the_query_is_looked_at(rig: Any) -> None:
    answer = await rig.http.get("/api/v1/tasks?limit=x", headers={"x-api-key": "nope"})
    assert answer.status_code == 401


async def test_unknown_addresses_and_methods_are_problems_too(rig: Any) -> None:
    missing = await rig.call("GET", "/api/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = await rig.call("PATCH", "/api/v1/tasks")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD, POST"
    openai = await rig.call("GET", "/v1/nothing")
    assert openai.json()["error"]["code"] == "not_found"


async def test_a_bug_is_a_500_that_tells_nothing_of_its_cause(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> Any:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(rig.stores.journal, "tasks", broken)
    answer = await rig.call("GET", "/api/v1/tasks")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_body_is_bounded_while_it_is_read(open_rig: Any) -> None:
    rig = await open_rig(max_body_bytes=2048)
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 1024
            yield b" " * 1024

    headers = {"authorization": f"Bearer {rig.secret}"}
    answer = await rig.http.post("/v1/chat/completions", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert sent <= 4096
    declared = await rig.http.post("/api/v1/tasks", content=b" " * 4096, headers=headers)
    assert declared.status_code == 413
    assert declared.json()["code"] == "payload_too_large"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"input": NaN}', 400),
        (b'{"input": "\\ud800"}', 400),
        (b'{"input": 1e999}', 400),
        (b"[" * 5000 + b"]" * 5000, 400),
        (b'"text"', 422),
        (b"null", 422),
        (b'{"input": "x", "metadata": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}", 422),
        (b'{"input": "x", "metadata": {"a\\u0000": 1}}', 422),
        (b'{"input": "x", "metadata": {"a": "\\\\u0000"}}', 202),
    ],
)
async def test_any_bytes_get_a_clear_answer(rig: Any, content: bytes, status: int) -> None:
    headers = {"authorization": f"Bearer {rig.secret}"}
    answer = await rig.http.post("/api/v1/tasks", content=content, headers=headers)
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["param"]


async def test_too_many_messages_are_refused(open_rig: Any) -> None:
    rig = await open_rig(max_messages=2)
    body = {"model": "auto", "messages": [{"role": "user", "content": "x"}] * 3}
    answer = await rig.call("POST", "/v1/chat/completions", body)
    assert answer.json()["error"]["param"] == "messages"


async def test_agents_are_listed_by_pages_and_filters(rig: Any) -> None:
    page = (await rig.call("GET", "/api/v1/agents?limit=3")).json()
    assert [agent["agent_id"] for agent in page["data"]] == ["intelligence-000", "intelligence-001", "security-000"]
    rest = (await rig.call("GET", f"/api/v1/agents?after={page['next']}")).json()
    assert [agent["agent_id"] for agent in rest["data"]] == ["security-001"]
    assert rest["next"] is None
    only = (await rig.call("GET", "/api/v1/agents?pool=security&state=ready")).json()
    assert len(only["data"]) == 2
    assert "address" not in only["data"][0]


async def test_an_agent_of_ones_own_is_started_seen_used_and_removed(rig: Any) -> None:
    answer = await rig.call("POST", "/api/v1/agents", {"manifest": MANIFEST})
    assert answer.status_code == 202, answer.text
    agent = answer.json()
    assert agent["agent_id"].startswith("my-reviewer-")
    assert agent["own"] is True
    assert (await rig.call("GET", answer.headers["location"])).json()["own"] is True
    chat = await rig.ask(model=f"agent/{agent['agent_id']}")
    assert chat.headers["x-ossa-agent"] == agent["agent_id"]

    other = await rig.key("other")
    assert (await rig.http.get(answer.headers["location"], headers=other)).status_code == 404
    assert (await rig.http.delete(answer.headers["location"], headers=other)).status_code == 404
    body = {"model": f"agent/{agent['agent_id']}", "messages": [{"role": "user", "content": "x"}]}
    assert (await rig.http.post("/v1/chat/completions", json=body, headers=other)).status_code == 404
    assert agent["manifest"] not in (await rig.http.get("/v1/models", headers=other)).text

    assert (await rig.call("DELETE", answer.headers["location"])).status_code == 202
    assert (await rig.call("GET", answer.headers["location"])).status_code == 404


async def test_a_tenant_has_at_most_so_many_agents_of_its_own(open_rig: Any) -> None:
    rig = await open_rig(max_agents_per_tenant=2)
    for tenant in ("default", "acme"):  # the operator's own is bound as well
        headers = await rig.key(tenant)
        asked = [rig.http.post("/api/v1/agents", json={"manifest": MANIFEST}, headers=headers) for _ in range(5)]
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [202, 202, 429, 429, 429]
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["code"] == "limit_exceeded"
        assert "max_agents_per_tenant allows 2" in refused.json()["detail"]
        made = next(answer for answer in answers if answer.status_code == 202)
        assert (await rig.http.delete(made.headers["location"], headers=headers)).status_code == 202
        again = await rig.http.post("/api/v1/agents", json={"manifest": MANIFEST}, headers=headers)
        assert again.status_code == 202


async def test_agents_of_ones_own_may_be_forbidden(open_rig: Any) -> None:
    rig = await open_rig(max_agents_per_tenant=0)
    assert (await rig.call("POST", "/api/v1/agents", {"manifest": MANIFEST})).status_code == 429


async def test_a_pools_agent_cannot_be_removed(rig: Any) -> None:
    assert (await rig.call("DELETE", "/api/v1/agents/security-000")).status_code == 409


async def test_a_manifest_is_taken_as_yaml_and_reads_no_environment(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "from the environment")
    text = json.dumps(MANIFEST, indent=1)
    answer = await rig.call("PUT", "/api/v1/pools/security/manifest", {"manifest": text})
    assert answer.status_code == 202, answer.text
    kind, request = rig.fleet.submitted[0]
    assert (kind, request["pool"]) == ("apply", "security")
    assert request["manifest"]["role"].strip() == "You review changes."


async def test_a_bad_manifest_says_where(rig: Any) -> None:
    answer = await rig.call("POST", "/api/v1/agents", {"manifest": "kind: Agent\nfoo: ["})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "manifest_invalid"
    assert "details" in problem


async def test_pools_are_scaled_by_name_or_alias(rig: Any) -> None:
    answer = await rig.call("POST", "/api/v1/pools/enterprise-analytics/scale", {"agents": 7})
    assert answer.status_code == 202
    assert rig.fleet.submitted == [("spawn-pool", {"pool_type": "intelligence", "agent_count": 7})]
    assert (await rig.call("POST", "/api/v1/pools/nope/scale", {"agents": 7})).status_code == 404
    assert (await rig.call("POST", "/api/v1/pools/security/scale", {"agents": -1})).status_code == 422
    assert (await rig.call("GET", "/api/v1/pools/security")).json()["ready"] == 2


async def test_an_agent_is_drained(rig: Any) -> None:
    rig.fleet.add(fake_agent("theirs-1", tenant="other", pool="security"))
    assert (await rig.call("POST", "/api/v1/agents/security-000/drain")).status_code == 202
    assert (await rig.call("POST", "/api/v1/agents/theirs-1/drain")).status_code == 404
    assert rig.fleet.submitted == [("drain", {"agent_id": "security-000"})]


async def test_a_key_is_made_used_listed_and_revoked(rig: Any) -> None:
    made = await rig.call("POST", "/api/v1/keys", {"name": "ci", "scopes": ["chat"]})
    assert made.status_code == 201
    secret, key_id = made.json()["secret"], made.json()["key"]["id"]
    headers = {"x-api-key": secret}
    assert (await rig.http.get("/v1/models", headers=headers)).status_code == 200
    listed = await rig.call("GET", "/api/v1/keys")
    assert key_id in listed.text
    assert secret not in listed.text
    revoked = await rig.call("DELETE", f"/api/v1/keys/{key_id}")
    assert revoked.json()["revoked_at"]
    assert (await rig.http.get("/v1/models", headers=headers)).status_code == 401


async def test_a_tenants_admin_rules_its_own_keys_only(rig: Any) -> None:
    admin = await rig.key("acme")
    own = await rig.http.post("/api/v1/keys", json={"name": "ci"}, headers=admin)
    assert own.json()["key"]["tenant"] == "acme"
    foreign = await rig.http.post("/api/v1/keys", json={"name": "ci", "tenant": "default"}, headers=admin)
    assert foreign.status_code == 403
    listed = (await rig.http.get("/api/v1/keys", headers=admin)).json()["data"]
    assert {key["tenant"] for key in listed} == {"acme"}
    operators = (await rig.call("GET", "/api/v1/keys")).json()["data"]
    bootstrap = next(key for key in operators if key["tenant"] == "default")
    assert (await rig.http.delete(f"/api/v1/keys/{bootstrap['id']}", headers=admin)).status_code == 404
    for_acme = await rig.call("POST", "/api/v1/keys", {"name": "ci", "tenant": "acme"})
    assert for_acme.json()["key"]["tenant"] == "acme"


async def test_the_shared_pools_are_changed_by_the_operator_and_those_it_allows(rig: Any) -> None:
    admin = await rig.key("acme")
    order = {"pool_type": "security", "agent_count": 3}
    refused = await rig.http.post("/api/v1/agents/spawn-pool", json=order, headers=admin)
    assert refused.status_code == 403
    wider = {"name": "pools", "scopes": ["fleet:write"]}
    assert (await rig.http.post("/api/v1/keys", json=wider, headers=admin)).status_code == 403
    granted = await rig.call("POST", "/api/v1/keys", {**wider, "tenant": "acme"})
    allowed = {"authorization": f"Bearer {granted.json()['secret']}"}
    assert (await rig.http.post("/api/v1/agents/spawn-pool", json=order, headers=allowed)).status_code == 202


async def test_health_tells_what_is_wrong(rig: Any) -> None:
    healthy = await rig.http.get("/health")
    assert healthy.status_code == 200
    assert healthy.json()["checks"]["fleet"]["detail"] == "4 ready"
    rig.fleet.hide()
    rig.stores.go_down()
    ill = await rig.http.get("/health")
    assert ill.status_code == 503
    assert ill.headers["retry-after"]
    checks = ill.json()["checks"]
    assert (checks["journal"]["ok"], checks["fleet"]["ok"]) == (False, False)
    assert (await rig.http.get("/health/live")).status_code == 200
    assert (await rig.http.get("/version")).json()["name"] == "ossa-on-ray"


async def test_metrics_count_requests_tasks_tokens_and_cost(rig: Any) -> None:
    for _ in range(3):
        await rig.ask(model="pool/security")
    await rig.call("GET", "/nothing/12345")
    replica = 'replica="gateway"'

    async def counted() -> str | None:
        text = str((await rig.http.get("/metrics")).text)
        return text if f'ossa_gateway_tasks_total{{pool="security",{replica},status="succeeded"}} 3.0' in text else None

    text = await eventually(counted)
    assert f'ossa_gateway_tokens_total{{kind="prompt",pool="security",{replica}}} 21.0' in text
    assert f'ossa_gateway_cost_usd_total{{pool="security",{replica}}} 0.0006' in text
    assert f'{replica},route="/v1/chat/completions",status="200"}} 3.0' in text
    assert f'ossa_gateway_journal_seconds_count{{call="finish",{replica}}} 3.0' in text
    assert f'ossa_gateway_agents{{pool="security",{replica},state="ready"}} 2.0' in text
    assert "12345" not in text


async def test_the_documentation_page_loads_nothing_from_elsewhere(rig: Any) -> None:
    page = (await rig.http.get("/docs")).text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) >= 2
    for link in links:
        assert link.startswith("/")
        assert (await rig.http.get(link)).status_code == 200


async def test_secrets_are_in_no_answer_or_metric(rig: Any) -> None:
    await rig.ask()
    for path in ("/metrics", "/openapi.json", "/api/v1/agents", "/api/v1/pools", "/health"):
        text = (await rig.call("GET", path)).text
        assert rig.secret not in text
        assert rig.fleet.snapshot().channel_token != "" and '"channel_token"' not in text
