"""`apiVersion: "@bluefly/ossa/v0.1.9"`, also written with the project's long name. Times are milliseconds."""

from __future__ import annotations

import re

from ossa.manifest.layout import Layout, Unit, keys, rules

VERSION = re.compile(r"@bluefly/(?:ossa|open-standards-scalable-agents)/v0\.1\.9(?:[-+][0-9A-Za-z.-]+)?\Z")

LAYOUT = Layout(
    required=keys("metadata", "spec"),
    names=keys("metadata.name"),
    versions=keys("metadata.version"),
    descriptions=keys("metadata.description", "spec.description"),
    titles=keys("spec.role"),
    instructions=keys("spec.instructions", "spec.systemPrompt"),
    models=keys("spec.llm", "spec.model"),
    tools=keys("spec.tools"),
    capabilities=keys("spec.capabilities"),
    autonomies=keys("spec.autonomy"),
    pools=keys("metadata.labels.pool", "spec.pool"),
    domains=keys("metadata.labels.domain", "metadata.labels.specialization", "metadata.labels.category", "spec.type"),
    labels=keys("metadata.labels"),
    annotations=keys("metadata.annotations"),
    limits={
        "max_tokens_per_request": rules(Unit.TOKENS, "spec.budgets.tokens.maximum"),
        "timeout_s": rules(Unit.MILLISECONDS, "spec.budgets.time.maximum", "spec.performance.limits.timeout"),
        "max_concurrent_requests": rules(
            Unit.REQUESTS, "spec.performance.limits.maxConcurrentTasks", "spec.performance.throughput.concurrentTasks"
        ),
    },
)
