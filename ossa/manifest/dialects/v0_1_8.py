"""`ossa: 0.1.8`, and `apiVersion: open-standards-scalable-agents/v0.1.8`. Without a `kind` it is an Agent."""

from __future__ import annotations

import re

from ossa.manifest.layout import Layout, keys

API_VERSION = re.compile(r"(?:@bluefly/)?(?:ossa|open-standards-scalable-agents)/v0\.1\.[0-8](?:[-+][0-9A-Za-z.-]+)?\Z")
OSSA = re.compile(r"v?0\.1\.\d+(?:[-+][0-9A-Za-z.-]+)?\Z")

LAYOUT = Layout(
    required=keys("metadata", "spec"),
    names=keys("metadata.name", "spec.agent.id", "spec.agent.name"),
    versions=keys("metadata.version"),
    descriptions=keys("metadata.description", "spec.agent.description"),
    titles=keys("spec.role"),
    instructions=keys("spec.instructions", "spec.agent.instructions", "spec.agent.expertise"),
    models=keys("spec.llm", "spec.model", "spec.agent.model"),
    tools=keys("spec.tools", "spec.protocols.bridges.mcp.tools"),
    capabilities=keys("spec.capabilities"),
    autonomies=keys("spec.autonomy"),
    pools=keys("metadata.labels.pool", "spec.pool"),
    domains=keys(
        "metadata.labels.domain",
        "metadata.labels.category",
        "spec.category",
        "spec.class",
        "spec.type",
        "metadata.tags",
    ),
    labels=keys("metadata.labels"),
    annotations=keys("metadata.annotations"),
)
