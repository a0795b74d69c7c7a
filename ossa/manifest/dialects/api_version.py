"""`apiVersion: ossa/v0.2.2` to `ossa/v0.5.x` and `ossa/v1`: `kind`, `metadata`, `spec`."""

from __future__ import annotations

import re

from ossa.manifest.layout import Layout, Unit, keys, rules

VERSION = re.compile(r"ossa/v(?:0\.[2-9]\d*|1)(?:\.\d+)*(?:[-+][0-9A-Za-z.-]+)?\Z")

LAYOUT = Layout(
    required=keys("metadata", "spec"),
    names=keys("metadata.name"),
    versions=keys("metadata.version"),
    descriptions=keys("metadata.description", "spec.description"),
    titles=keys("spec.role"),
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
    tools=keys("spec.tools"),
    capabilities=keys("spec.capabilities"),
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
    labels=keys("metadata.labels"),
    annotations=keys("metadata.annotations"),
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
