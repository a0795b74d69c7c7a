"""An agent back to a document, the document to YAML, and to its digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import yaml

from ossa.contracts.agent_spec import AgentSpec, Limits
from ossa.manifest.tree import BASED_INT, FLOAT


def digest(document: dict[str, Any]) -> str:
    """sha256 of the document as JSON with sorted keys and no spaces, in hex."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


DIALECT = "ossa/v0.5.0"

_LIMITS: dict[str, tuple[str, ...]] = {
    "max_tokens_per_request": ("cost", "maxTokensPerRequest"),
    "max_tokens_per_day": ("cost", "maxTokensPerDay"),
    "max_cost_per_day_usd": ("cost", "maxCostPerDay"),
    "timeout_s": ("performance", "timeoutSeconds"),
    "max_concurrent_requests": ("performance", "maxConcurrentRequests"),
    "max_steps": ("max_steps",),
}


def compose(spec: AgentSpec) -> dict[str, Any]:
    """Writes a document that reads back as `spec`, but for `dialect`, `document`, `source` and `digest`."""
    labels = {**spec.labels, **({"pool": spec.pool} if spec.pool else {})}
    metadata = {
        "name": spec.name,
        "version": spec.version,
        "description": spec.description,
        "labels": labels,
        "annotations": dict(spec.annotations),
    }
    model = spec.model.model_dump(exclude_none=True)
    if "max_tokens" in model:
        model["maxTokens"] = model.pop("max_tokens")
    if "top_p" in model:
        model["topP"] = model.pop("top_p")
    agent = {
        "role": spec.role,
        "llm": model,
        "tools": [{**tool.config, "name": tool.name, "description": tool.description} for tool in spec.tools],
        "capabilities": list(spec.capabilities),
        "autonomy": {"level": spec.autonomy} if spec.autonomy != "unspecified" else None,
        "constraints": _constraints(spec.limits),
    }
    return {"apiVersion": DIALECT, "kind": "Agent", "metadata": _filled(metadata), "spec": _filled(agent)}


def _constraints(limits: Limits) -> dict[str, Any]:
    constraints: dict[str, Any] = {}
    for name, path in _LIMITS.items():
        value = getattr(limits, name)
        if value is not None:
            spot = constraints
            for key in path[:-1]:
                spot = spot.setdefault(key, {})
            spot[path[-1]] = value
    return constraints


def _filled(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value not in (None, "", [], {})}


_WIDTH = 100


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Quotes what YAML 1.1 or 1.2 would take for something else than text, writes prompts as blocks, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> yaml.Node:
    is_block = "\n" in text and text.isascii() and all(_is_block_line(line) for line in text.split("\n"))
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if is_block else None)  # type: ignore[no-any-return]


def _is_block_line(line: str) -> bool:
    return line.isprintable() and not line.endswith(" ")


_Dumper.add_representer(str, _text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", BASED_INT, ["0"])
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+.0123456789"))


def dump(spec: AgentSpec) -> str:
    """The manifest `spec` was read from, every field of it, variables unexpanded, without its comments.

    Reading the text again gives the same digest. A spec that was made by hand
    is written in the newest dialect.
    """
    document = spec.document or compose(spec)
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text
