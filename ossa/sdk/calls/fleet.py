"""Agents, pools, the mission's three calls, and the operations that follow them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.errors import InvalidRequest
from ossa.sdk.call import Call, Request
from ossa.sdk.calls.listed import items
from ossa.sdk.values.fleet import Agent, AgentPage, Pool, Pools
from ossa.sdk.values.operation import Operation, Operations

AGENTS = "/api/v1/agents"
POOLS = "/api/v1/pools"
OPERATIONS = "/api/v1/operations"

Manifest = str | Path | Mapping[str, Any] | AgentSpec


def manifest_text(manifest: Manifest) -> str:
    """The manifest as YAML or JSON text. A `Path` is read; a `str` is the text itself.

    Raises `InvalidRequest` when the file cannot be read as UTF-8, or a spec kept no document.
    """
    if isinstance(manifest, str):
        return manifest
    if isinstance(manifest, Path):
        try:
            return manifest.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"{manifest} cannot be read: {error}", param="manifest") from error
    if isinstance(manifest, AgentSpec):
        if not manifest.document:
            raise InvalidRequest(f"The spec {manifest.name!r} holds no document to send.", param="manifest")
        return json.dumps(manifest.document)
    return json.dumps(dict(manifest))


def _operation(response: httpx.Response) -> Operation:
    return Operation.model_validate(response.json())


def _agent(response: httpx.Response) -> Agent:
    return Agent.model_validate(response.json())


def agents(*, pool: str | None, state: str | None, after: str | None) -> Call[AgentPage]:
    wanted = {"pool": pool, "state": state, "after": after}
    return Call(
        Request("GET", AGENTS, params={name: value for name, value in wanted.items() if value}),
        lambda response: AgentPage.model_validate(response.json()),
    )


def agent(agent_id: str) -> Call[Agent]:
    return Call(Request("GET", f"{AGENTS}/{quote(agent_id, safe='')}"), _agent)


def create_agent(manifest: Manifest, *, pool: str | None) -> Call[Agent]:
    """Not repeatable: each time makes another agent."""
    body: dict[str, Any] = {"manifest": manifest_text(manifest)}
    if pool:
        body["pool"] = pool
    return Call(Request("POST", AGENTS, json=body, repeatable=False), _agent)


def delete_agent(agent_id: str) -> Call[Agent]:
    return Call(Request("DELETE", f"{AGENTS}/{quote(agent_id, safe='')}", repeatable=False), _agent)


def drain_agent(agent_id: str) -> Call[Operation]:
    return Call(Request("POST", f"{AGENTS}/{quote(agent_id, safe='')}/drain", repeatable=False), _operation)


def pools() -> Call[Pools]:
    return Call(
        Request("GET", POOLS),
        lambda response: Pools(Pool.model_validate(item) for item in items(response)),
    )


def pool(name: str) -> Call[Pool]:
    return Call(
        Request("GET", f"{POOLS}/{quote(name, safe='')}"), lambda response: Pool.model_validate(response.json())
    )


def scale_pool(name: str, size: int) -> Call[Operation]:
    return Call(Request("POST", f"{POOLS}/{quote(name, safe='')}/scale", json={"agents": size}), _operation)


def apply_manifest(name: str, manifest: Manifest) -> Call[Operation]:
    body = {"manifest": manifest_text(manifest)}
    return Call(Request("POST", f"{POOLS}/{quote(name, safe='')}/manifest", json=body), _operation)


def deploy_phase(phase: str, target_agents: int) -> Call[Operation]:
    """Asking twice for the same size is asking once."""
    body = {"phase": phase, "target_agents": target_agents}
    return Call(Request("POST", "/api/v1/orchestration/deploy-phase", json=body), _operation)


def spawn_pool(pool_type: str, agent_count: int) -> Call[Operation]:
    body = {"pool_type": pool_type, "agent_count": agent_count}
    return Call(Request("POST", "/api/v1/agents/spawn-pool", json=body), _operation)


def scale_to_phase4(target: str, kubernetes_nodes: int) -> Call[Operation]:
    body = {"target": target, "kubernetes_nodes": kubernetes_nodes}
    return Call(Request("POST", "/api/v1/infrastructure/scale-to-phase4", json=body), _operation)


def operation(operation_id: str) -> Call[Operation]:
    return Call(Request("GET", f"{OPERATIONS}/{quote(operation_id, safe='')}"), _operation)


def operations(*, open_only: bool, limit: int) -> Call[Operations]:
    params: dict[str, str | int] = {"open_only": "true" if open_only else "false", "limit": limit}
    return Call(
        Request("GET", OPERATIONS, params=params),
        lambda response: Operations(Operation.model_validate(item) for item in items(response)),
    )
