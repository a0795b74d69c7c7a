"""Manifests that come in over HTTP."""

from __future__ import annotations

from typing import Any

from ossa.contracts.agent_spec import AgentSpec
from ossa.manifest import from_mapping, read_agent


def read_manifest(manifest: str | dict[str, Any]) -> AgentSpec:
    """The one agent of a parsed document or of YAML or JSON text. Raises `ManifestError`.

    Variables expand to their defaults alone: a stranger's manifest must not read this process's environment.
    """
    if isinstance(manifest, dict):
        return from_mapping(manifest, env={})
    return read_agent(manifest.encode(), env={})
