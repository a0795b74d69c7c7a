"""Every dialect becomes the same kind of spec."""

from __future__ import annotations

from pathlib import Path

import pytest

from ossa.contracts.agent_spec import AgentSpec
from ossa.manifest import Loaded, OtherKind, Rejected, load, loads, read_agent

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str) -> AgentSpec:
    return read_agent(SAMPLES / name, env={})


def test_v0_5_fields_are_mapped() -> None:
    spec = sample("v0_5.yaml")
    assert (spec.name, spec.version, spec.dialect) == ("harbour-pilot", "2.3.0", "ossa/v0.5.1")
    assert spec.description == "Guides ships into the harbour"
    assert spec.role == "You guide ships.\nSpeak shortly.\n\nAsk for the draught first."
    assert (spec.model.tier, spec.model.provider, spec.model.model) == ("lightweight", "anthropic", "claude-haiku-4-5")
    assert (spec.model.temperature, spec.model.max_tokens, spec.model.top_p) == (0.2, 900, 0.9)
    assert spec.capabilities == ("pilotage", "berth-planning")
    assert spec.autonomy == "semi_autonomous"
    assert spec.labels == {"domain": "coordination", "shift": "night", "floor": "4"}
    assert spec.annotations == {"runbook": "https://example.org/runbook"}
    assert spec.source.endswith("v0_5.yaml:2")


def test_v0_5_limits_are_mapped_and_a_timeout_wins_over_a_latency() -> None:
    limits = sample("v0_5.yaml").limits
    assert limits.max_tokens_per_day == 500_000
    assert limits.max_tokens_per_request == 8000
    assert limits.max_cost_per_day_usd == 12.5
    assert limits.timeout_s == 45
    assert limits.max_concurrent_requests == 3
    assert limits.max_steps == 7


def test_tools_are_read_in_all_their_forms() -> None:
    tools = {tool.name: tool for tool in sample("v0_5.yaml").tools}
    assert list(tools) == ["clock", "tide_table", "find_berth", "book_berth", "weather", "signal", "horn"]
    assert tools["tide_table"].description == "Tides by hour"
    assert tools["tide_table"].config["endpoint"] == "https://example.org/tides"
    assert tools["find_berth"].config == {"type": "mcp", "server": "port-registry"}
    assert tools["horn"].description == "Sound the horn"


def test_what_is_not_understood_is_kept() -> None:
    spec = sample("v0_5.yaml").document["spec"]
    assert spec["lighthouse"] == {"colour": "red", "seen_since": "2025-09-06", "on": "dusk"}


def test_older_spellings_of_v0_3_are_mapped() -> None:
    spec = sample("v0_3.yml")
    assert spec.role == "You file letters."
    assert (spec.model.model, spec.model.tier, spec.model.temperature) == ("gpt-4o-mini", "lightweight", 0.5)
    assert spec.model.max_tokens == 300
    assert spec.capabilities == ("filing", "find_letter", "copy_letter", "streaming")
    assert spec.autonomy == "supervised"
    assert (spec.limits.timeout_s, spec.limits.max_tokens_per_request) == (120, 4000)
    assert spec.version == "0.0.0"


def test_json_is_read_with_its_surrogate_pairs() -> None:
    spec = sample("v1.json")
    assert (spec.dialect, spec.description) == ("ossa/v1", "Launches 🚀")
    assert spec.model.tier == "premium"
    assert [tool.name for tool in spec.tools] == ["ignite"]


def test_v0_1_9_times_are_milliseconds() -> None:
    spec = sample("v0_1_9.yaml")
    assert spec.dialect == "@bluefly/ossa/v0.1.9"
    assert (spec.limits.timeout_s, spec.limits.max_tokens_per_request) == (90, 20_000)
    assert spec.capabilities == ("style", "judge_letter")
    assert spec.pool == "community"


def test_v0_1_8_needs_no_kind_and_its_expertise_is_the_role() -> None:
    spec = sample("v0_1_8.yml")
    assert spec.dialect == "ossa: 0.1.8"
    assert spec.role == "Knows every rule by heart and cites it"
    assert spec.capabilities == ("rule_lookup", "rule_summary")
    assert spec.pool == "federation"
    assert "protocols" in spec.document["spec"]


def test_ossa_version_is_named_by_its_id() -> None:
    spec = sample("ossa_version.yml")
    assert (spec.name, spec.dialect) == ("auth-specialist", "ossaVersion: 1.0")
    assert spec.role == "Sets up sign-in"
    assert spec.capabilities == ("api-analysis",)


@pytest.mark.parametrize(
    "api_version",
    [
        "ossa/v0.2.2",
        "ossa/v0.3",
        "ossa/v0.4.7",
        "ossa/v0.5.0",
        "ossa/v0.5.12-rc.1",
        "ossa/v1",
        "ossa/v1.0.0",
        "@bluefly/ossa/v0.1.9",
        "@bluefly/open-standards-scalable-agents/v0.1.9",
        "open-standards-scalable-agents/v0.1.8",
    ],
)
def test_every_api_version_is_known(api_version: str) -> None:
    spec = read_agent(f"apiVersion: '{api_version}'\nkind: Agent\nmetadata: {{name: a}}\nspec: {{role: You help.}}\n")
    assert (spec.dialect, spec.role) == (api_version, "You help.")


@pytest.mark.parametrize("api_version", ["ossa/v0.0.1", "ossa/v2", "v1", "ossa", "ossa/v0.5.0\nx", "apps/v1"])
def test_an_unknown_api_version_is_refused_with_the_known_ones(api_version: str) -> None:
    text = f"kind: Agent\napiVersion: {api_version!r}\nmetadata: {{name: a}}\nspec: {{}}\n".replace("'", '"')
    (reading,) = loads(text)
    assert isinstance(reading, Rejected)
    assert (reading.path, reading.line) == ("apiVersion", 2)
    assert "ossaVersion" in reading.expected


def test_documents_of_one_file_are_read_one_by_one() -> None:
    other, agent, nameless = load(SAMPLES / "several.yaml")
    assert isinstance(other, OtherKind)
    assert str(other).endswith("several.yaml:1: kind Workflow is not an Agent")
    assert isinstance(agent, Loaded)
    assert (agent.spec.name, agent.line) == ("second", 6)
    assert isinstance(nameless, Rejected)
    assert (nameless.line, nameless.path, nameless.expected) == (16, "metadata.name", "a name")


@pytest.mark.parametrize("kind", ["Workflow", "Task", "Crew", "Skill", "ConfigMap"])
def test_another_kind_is_named(kind: str) -> None:
    (reading,) = loads(f"apiVersion: ossa/v0.5\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert isinstance(reading, OtherKind)
    assert reading.kind == kind
    assert f"kind {kind} is not an Agent" in str(reading.error())


def test_a_bare_title_is_completed_by_the_description() -> None:
    spec = read_agent(
        "apiVersion: ossa/v0.5\nkind: Agent\nmetadata: {name: a, description: Scans hosts.}\nspec: {role: auditor}\n"
    )
    assert spec.role == "auditor\n\nScans hosts."


def test_a_prompt_file_is_no_prompt() -> None:
    text = "apiVersion: ossa/v0.5\nkind: Agent\nmetadata: {name: a, description: D.}\nspec: {system: prompts/x.md}\n"
    assert read_agent(text).role == "D."


@pytest.mark.parametrize(
    ("fields", "pool"),
    [
        ("labels: {pool: security, domain: data}", "security"),
        ("labels: {pool: enterprise-analytics}", "intelligence"),
        ("labels: {ossa.io/pool: Federation}", "federation"),
        ("labels: {pool: unheard-of, domain: data}", "intelligence"),
        ("labels: {category: customer-support}", "community"),
        ("labels: {domain: gardening}", None),
    ],
)
def test_the_pool_is_the_one_named_or_the_domains(fields: str, pool: str | None) -> None:
    text = f"apiVersion: ossa/v0.5\nkind: Agent\nmetadata: {{name: a, {fields}}}\nspec: {{}}\n"
    assert read_agent(text).pool == pool
