"""`ossaVersion: "1.0"`: everything under `agent`. Its `role` is a category, not a prompt."""

from __future__ import annotations

import re

from ossa.manifest.layout import Layout, Unit, keys, rules

VERSION = re.compile(r"1(?:\.\d+)*\Z")

LAYOUT = Layout(
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
