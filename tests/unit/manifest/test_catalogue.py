"""The package's own agents."""

from __future__ import annotations

import pytest

from ossa.contracts.fleet import POOLS
from ossa.manifest import catalogue, dump, read_agent

BUILT_IN = {"clock", "calculator", "fleet_status", "text_stats", "json_query"}
AGENTS = [(pool, spec) for pool, specs in catalogue().items() for spec in specs]


def test_every_pool_has_two_or_three_agents_under_names_of_their_own() -> None:
    assert tuple(catalogue()) == POOLS
    assert all(2 <= len(specs) <= 3 for specs in catalogue().values())
    names = [spec.name for _, spec in AGENTS]
    assert len(set(names)) == len(names)


def test_the_first_of_foundation_is_the_generalist() -> None:
    assert catalogue()["foundation"][0].name == "general-assistant"


def test_every_built_in_tool_is_used_somewhere() -> None:
    assert {tool.name for _, spec in AGENTS for tool in spec.tools} == BUILT_IN


@pytest.mark.parametrize(("pool", "spec"), AGENTS, ids=lambda value: getattr(value, "name", value))
def test_an_agent_is_complete(pool: str, spec: object) -> None:
    spec = read_agent(dump(spec), env={})  # type: ignore[arg-type]
    assert spec.pool == pool
    assert spec.dialect == "ossa/v0.5"
    assert spec.description
    assert 30 < len(spec.role) < 400, "a small model reads it too"
    assert len(spec.capabilities) >= 3
    assert all(word == word.lower() and " " not in word for word in spec.capabilities)
    assert {tool.name for tool in spec.tools} <= BUILT_IN
    assert None not in spec.limits.model_dump().values()
    assert spec.autonomy != "unspecified"
    assert spec.model.max_tokens
    assert spec.model.max_tokens < (spec.limits.max_tokens_per_request or 0)
