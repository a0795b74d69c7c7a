"""The dialects of OSSA manifests: which documents each claims, and where it keeps what an agent is made of.

A dialect is data, which `convert` interprets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from ossa.manifest.place import Place

Keys = tuple[str, ...]


def keys(*dotted: str) -> tuple[Keys, ...]:
    """`"spec.llm"` as `("spec", "llm")`, several at once."""
    return tuple(tuple(path.split(".")) for path in dotted)


class Unit(Enum):
    """The unit of a limit's number. `TOKENS`, `REQUESTS` and `STEPS` are whole and at least 1."""

    TOKENS = "tokens"
    REQUESTS = "requests"
    STEPS = "steps"
    USD = "US dollars"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to write a limit."""

    path: Keys
    unit: Unit


def rules(unit: Unit, *dotted: str) -> tuple[Rule, ...]:
    return tuple(Rule(path, unit) for path in keys(*dotted))


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths from the document's root, the more telling first. The defaults are those of `kind`, `metadata` and `spec`.

    The first that holds something wins, except: `instructions` are added to
    `role`; `tools` and `capabilities` of all places are joined; and every
    limit that is written is checked, though the first counts.
    """

    instructions: tuple[Keys, ...]
    models: tuple[Keys, ...]
    domains: tuple[Keys, ...]
    required: tuple[Keys, ...] = keys("metadata", "spec")
    names: tuple[Keys, ...] = keys("metadata.name")
    versions: tuple[Keys, ...] = keys("metadata.version")
    descriptions: tuple[Keys, ...] = keys("metadata.description", "spec.description")
    titles: tuple[Keys, ...] = keys("spec.role")
    tools: tuple[Keys, ...] = keys("spec.tools")
    capabilities: tuple[Keys, ...] = keys("spec.capabilities")
    autonomies: tuple[Keys, ...] = keys("spec.autonomy")
    pools: tuple[Keys, ...] = keys("metadata.labels.pool", "spec.pool")
    labels: tuple[Keys, ...] = keys("metadata.labels")
    annotations: tuple[Keys, ...] = keys("metadata.annotations")
    limits: dict[str, tuple[Rule, ...]] = field(default_factory=dict)


# `apiVersion: ossa/v0.2.2` to `ossa/v0.5.x` and `ossa/v1`: `kind`, `metadata`, `spec`.

V1 = re.compile(r"ossa/v(?:0\.[2-9]\d*|1)(?:\.\d+)*(?:[-+][0-9A-Za-z.-]+)?\Z")

V1_LAYOUT = Layout(
    instructions=keys(
        "spec.instructions",
        "spec.system",
        "spec.system_prompt",
        "spec.systemPrompt",
        "spec.system_message",
        "spec.prompt",
        "spec.prompts.system",
        "spec.prompts.system.template",
        "extensions.openai_agents.instructions",
        "extensions.openai_assistant.instructions",
        "extensions.anthropic.system",
    ),
    models=keys("spec.llm", "spec.model", "spec.llm_config"),
    autonomies=(*keys("spec.autonomy"), ("metadata", "labels", "ossa.dev/autonomy")),
    pools=(
        *keys("metadata.labels.pool", "metadata.pool", "spec.pool"),
        ("metadata", "labels", "ossa.io/pool"),
        ("metadata", "labels", "ossa.dev/pool"),
        ("metadata", "annotations", "ossa.io/pool"),
    ),
    domains=keys(
        "spec.taxonomy.domain",
        "metadata.taxonomy.domain",
        "metadata.labels.domain",
        "metadata.labels.category",
        "metadata.labels.use-case",
        "spec.type",
        "metadata.agentKind",
        "metadata.tags",
    ),
    limits={
        "max_tokens_per_request": rules(
            Unit.TOKENS,
            "spec.constraints.cost.maxTokensPerRequest",
            "spec.constraints.max_tokens_per_turn",
            "spec.guardrails.costLimits.maxTokensPerRequest",
            "spec.budgets.tokens.maximum",
        ),
        "max_tokens_per_day": rules(
            Unit.TOKENS,
            "spec.constraints.cost.maxTokensPerDay",
            "spec.guardrails.costLimits.maxTokensPerDay",
            "spec.extensions.kagent.guardrails.costLimits.maxTokensPerDay",
            "extensions.kagent.guardrails.costLimits.maxTokensPerDay",
        ),
        "max_cost_per_day_usd": rules(
            Unit.USD,
            "spec.constraints.cost.maxCostPerDay",
            "spec.guardrails.costLimits.maxCostPerDay",
            "spec.extensions.kagent.guardrails.costLimits.maxCostPerDay",
            "extensions.kagent.guardrails.costLimits.maxCostPerDay",
            "spec.budgets.cost.daily",
        ),
        # A timeout is the harder of the two promises, so it goes before the latency that is aimed at.
        "timeout_s": rules(
            Unit.SECONDS,
            "spec.constraints.performance.timeoutSeconds",
            "spec.constraints.timeoutSeconds",
            "spec.constraints.timeout_seconds",
            "spec.constraints.execution_timeout",
            "spec.constraints.performance.maxLatencySeconds",
        ),
        "max_concurrent_requests": rules(
            Unit.REQUESTS,
            "spec.constraints.performance.maxConcurrentRequests",
            "spec.constraints.maxConcurrentRequests",
        ),
        "max_steps": rules(
            Unit.STEPS,
            "spec.constraints.max_steps",
            "spec.constraints.maxSteps",
            "spec.constraints.max_turns",
            "spec.constraints.maxTurns",
            "spec.reasoning.max_steps",
            "spec.max_iterations",
            "spec.maxIterations",
        ),
    },
)


# `apiVersion: "@bluefly/ossa/v0.1.9"`, also with the project's long name. Times are milliseconds.

V0_1_9 = re.compile(r"@bluefly/(?:ossa|open-standards-scalable-agents)/v0\.1\.9(?:[-+][0-9A-Za-z.-]+)?\Z")

V0_1_9_LAYOUT = Layout(
    instructions=keys("spec.instructions", "spec.systemPrompt"),
    models=keys("spec.llm", "spec.model"),
    domains=keys("metadata.labels.domain", "metadata.labels.specialization", "metadata.labels.category", "spec.type"),
    limits={
        "max_tokens_per_request": rules(Unit.TOKENS, "spec.budgets.tokens.maximum"),
        "timeout_s": rules(Unit.MILLISECONDS, "spec.budgets.time.maximum", "spec.performance.limits.timeout"),
        "max_concurrent_requests": rules(
            Unit.REQUESTS, "spec.performance.limits.maxConcurrentTasks", "spec.performance.throughput.concurrentTasks"
        ),
    },
)


# `ossa: 0.1.8`, and `apiVersion: open-standards-scalable-agents/v0.1.8`. Without a `kind` it is an Agent.

V0_1_8 = re.compile(r"(?:@bluefly/)?(?:ossa|open-standards-scalable-agents)/v0\.1\.[0-8](?:[-+][0-9A-Za-z.-]+)?\Z")
V0_1_8_OSSA = re.compile(r"v?0\.1\.\d+(?:[-+][0-9A-Za-z.-]+)?\Z")

V0_1_8_LAYOUT = Layout(
    names=keys("metadata.name", "spec.agent.id", "spec.agent.name"),
    descriptions=keys("metadata.description", "spec.agent.description"),
    instructions=keys("spec.instructions", "spec.agent.instructions", "spec.agent.expertise"),
    models=keys("spec.llm", "spec.model", "spec.agent.model"),
    tools=keys("spec.tools", "spec.protocols.bridges.mcp.tools"),
    domains=keys(
        "metadata.labels.domain",
        "metadata.labels.category",
        "spec.category",
        "spec.class",
        "spec.type",
        "metadata.tags",
    ),
)


# `ossaVersion: "1.0"`: everything under `agent`. Its `role` is a category, not a prompt.

OSSA_VERSION = re.compile(r"1(?:\.\d+)*\Z")

OSSA_VERSION_LAYOUT = Layout(
    required=keys("agent"),
    names=keys("agent.id", "agent.name"),
    versions=keys("agent.version"),
    descriptions=keys("agent.description"),
    titles=(),
    instructions=keys("agent.instructions", "agent.systemPrompt", "agent.system_prompt", "agent.prompt"),
    models=keys("agent.llm", "agent.model"),
    tools=keys("agent.tools"),
    capabilities=keys("agent.capabilities"),
    autonomies=keys("agent.autonomy"),
    pools=keys("agent.pool", "agent.metadata.labels.pool"),
    domains=keys("agent.role", "agent.tags"),
    labels=keys("agent.metadata.labels", "agent.labels"),
    annotations=keys("agent.metadata.annotations", "agent.annotations"),
    # `capabilities[].timeout_seconds` is one operation's, and in real files as often milliseconds: kept, not enforced.
    limits={
        "max_tokens_per_day": rules(Unit.TOKENS, "agent.constraints.cost.maxTokensPerDay"),
        "max_cost_per_day_usd": rules(Unit.USD, "agent.constraints.cost.maxCostPerDay"),
        "timeout_s": rules(Unit.SECONDS, "agent.constraints.performance.timeoutSeconds"),
    },
)


KNOWN = "ossa/v0.2.2 to ossa/v0.9.x, ossa/v1, @bluefly/ossa/v0.1.9, `ossa: 0.1.8` or `ossaVersion: 1.0`"

_MAX_KIND = 100

_BY_API_VERSION = (
    (V1, V1_LAYOUT),
    (V0_1_9, V0_1_9_LAYOUT),
    (V0_1_8, V0_1_8_LAYOUT),
)


@dataclass(frozen=True, slots=True)
class Detected:
    """`layout` is None for a kind other than Agent; `dialect` is as written."""

    dialect: str
    kind: str
    layout: Layout | None


def detect(root: Place) -> Detected:
    """Raises `ManifestError` when the document is no mapping, of no known dialect, or says no kind where it must."""
    if not isinstance(root.value, dict):
        raise root.fail("a mapping with apiVersion, kind, metadata and spec")
    kind = root.at("kind").text("a word, such as Agent")
    if len(kind) > _MAX_KIND or not kind.isprintable():
        raise root.at("kind").fail("a word, such as Agent")
    for name, read in (("apiVersion", _api_version), ("ossa", _ossa), ("ossaVersion", _ossa_version)):
        if root.at(name).value is not None:
            return read(root, kind)
    if kind and kind != "Agent":
        return Detected("", kind, None)
    raise root.fail(KNOWN, problem="declares no OSSA version (no apiVersion, ossa or ossaVersion)")


def _api_version(root: Place, kind: str) -> Detected:
    written = root.at("apiVersion")
    dialect = written.text()
    if kind and kind != "Agent":
        return Detected(dialect, kind, None)
    if "{{" in dialect:
        raise written.fail(KNOWN, problem=f"is {written.value!r}: an unfilled template")
    for version, layout in _BY_API_VERSION:
        if version.match(dialect):
            if not kind:
                raise root.at("kind").fail("kind: Agent")
            return Detected(dialect, kind, layout)
    raise written.fail(KNOWN)


def _ossa(root: Place, kind: str) -> Detected:
    version = root.at("ossa").text("a version such as 0.1.8")
    if not V0_1_8_OSSA.match(version):
        raise root.at("ossa").fail("0.1.8")
    layout = V0_1_8_LAYOUT if kind in ("", "Agent") else None
    return Detected(f"ossa: {version}", kind or "Agent", layout)


def _ossa_version(root: Place, kind: str) -> Detected:
    version = root.at("ossaVersion").text("a version such as 1.0")
    if not OSSA_VERSION.match(version):
        raise root.at("ossaVersion").fail("1.0")
    layout = OSSA_VERSION_LAYOUT if kind in ("", "Agent") else None
    return Detected(f"ossaVersion: {version}", kind or "Agent", layout)
