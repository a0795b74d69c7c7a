"""Writes the schemas of events, and docs/events.md, from the models and the table: `python -m scripts.events`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ossa.contracts.events import SCHEMA_URN
from ossa.contracts.facts import FACTS, FactData
from scripts.compatibility import breaks
from scripts.fact_table import WRITES, Tells

SCHEMAS = Path(str(resources.files("ossa.events.schemas")))
PAGE = Path(__file__).parents[1] / "docs" / "events.md"

HEAD = """\
# Events

Made by `python -m scripts.events` from the models in `ossa/contracts/facts.py`; do not edit it by hand.

A fact is a CloudEvent 1.0. Beside `data`, which each type below describes, it has `id`, `source`, `type`, `subject`
(the key, which orders it among others of its key), `time`, `tenant` (`_system`: of the fleet as a whole), `actor`
(`key/ID`, `agent/ID` or `system/PART`), `requestid` and `traceparent`. No fact holds a prompt, an answer, an argument
or a secret. A field that is not required is left out where it has its default. Schemas are in `ossa/events/schemas`.

"""

MIDDLE = """\
# What each write tells

Every statement of the product that writes to PostgreSQL, by its name in `ossa/stores/postgres/queries` or its place in
the code. A fact is written in the transaction of its write, but for two: what becomes of agents is told by the
controller, for which the fact is the write, and backups are told once the vault has them. Caches, vectors and objects
are copies of what is in PostgreSQL. `tests/unit/events/test_catalogue.py` fails when a write is missing here.

| Write | Tells |
|---|---|
"""

_SAMPLES: dict[str, object] = {
    "agent": "intelligence-003",
    "agents": 6,
    "at": "2026-12-01T10:00:00+00:00",
    "backup": "20261201T100000Z-3f9a1c",
    "before": 4,
    "budget": "default/tenant:acme/*/day",
    "by": "rules",
    "bytes": 52428800,
    "cause": "operation/op_7d1e",
    "code": "timed_out",
    "count": 3,
    "digest": "9f2c4be1",
    "erasure": "fgt_51c0",
    "error": "model_failed",
    "expected": "reviewer",
    "expires_at": "2027-01-01T00:00:00+00:00",
    "finish_reason": "stop",
    "group": "billing",
    "hard_usd": 10.0,
    "incarnation": "a1b2c3d4e5f6",
    "items": 2,
    "key": "key_2b7f",
    "lost_objects": 0,
    "manifest": "reviewer",
    "memory": "note-17",
    "model": "qwen3-8b",
    "name": "ci",
    "node": "5b0a9e",
    "objects": 12,
    "offset": 131072,
    "operation": "op_7d1e",
    "part": "gateway",
    "period": "day",
    "period_key": "2026-12-01",
    "phase": "phase4-enterprise-analytics",
    "pid": 4711,
    "pool": "intelligence",
    "predecessor": "0f9e8d7c6b5a",
    "proposal": "prop_40aa",
    "rating": 1.0,
    "seq": 2,
    "size": 6,
    "soft_usd": 8.0,
    "standby": 2,
    "subject": "tenant:acme",
    "successor": "6f5e4d3c2b1a",
    "target": "pool/intelligence",
    "task": "task_01j9",
    "tenant": "acme",
    "tier": "standard",
    "to": "globex",
    "tool": "calculator",
    "version": "1.2.0",
}
_KINDS = {"operation": "spawn-pool", "router": "quality", "memory": "note", "proposal": "tier", "task": "model"}
_LISTS: dict[str, list[object]] = {
    "kinds": ["note"],
    "manifests": ["reviewer@1.2.0"],
    "memories": ["note-17", "note-18"],
    "pools": ["intelligence"],
    "reasons": ["every agent is busy"],
    "scopes": ["chat"],
    "settings": ["gateway.port"],
}


def schema_of(model: type[FactData]) -> dict[str, Any]:
    """Returns the JSON schema of a type's data, without what only pydantic has a use for."""
    made = model.model_json_schema()
    plain = _plain({name: value for name, value in made.items() if name != "$defs"}, made.get("$defs", {}))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{SCHEMA_URN}{model.TYPE}",
        "title": (model.__doc__ or "").splitlines()[0].rstrip("."),
        "type": "object",
        "required": plain.get("required", []),
        "properties": plain["properties"],
    }


def _plain(schema: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return _plain({**known[schema["$ref"].rpartition("/")[2]], **rest}, known)
    if "anyOf" in schema:
        (kind,) = [one for one in schema["anyOf"] if one != {"type": "null"}]
        rest = {name: value for name, value in schema.items() if name != "anyOf"}
        return _plain({**kind, **rest}, known)
    kept = {name: value for name, value in schema.items() if name in _KEPT and (name != "default" or value)}
    if "enum" in kept:
        kept.pop("type", None)
    if "properties" in schema:
        kept["properties"] = {name: _plain(value, known) for name, value in schema["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            kept[name] = _plain(schema[name], known)
    return kept


_KEPT = ("type", "enum", "const", "description", "default", "format", "required")


def schema_text(model: type[FactData]) -> str:
    return json.dumps(schema_of(model), indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path = SCHEMAS) -> None:
    """Writes every schema. Raises `ValueError` for a change that breaks who knows the version that is there."""
    for kind, model in FACTS.items():
        file = folder / f"{kind}.json"
        if file.exists():
            broken = list(breaks(json.loads(file.read_text("utf-8")), schema_of(model)))
            if broken:
                raise ValueError(f"{kind} would break its readers; make a new version: {'; '.join(broken)}")
        file.write_text(schema_text(model), "utf-8")


def example_of(model: type[FactData]) -> dict[str, Any]:
    """Returns data as a fact of that type may have it; fields that say why something failed are left out."""
    schema = schema_of(model)
    left_out = {"reason"} if schema["properties"].get("outcome", {}).get("default") == "succeeded" else set()
    return {
        name: _sample(name, field, model.TYPE)
        for name, field in schema["properties"].items()
        if name not in left_out and (name in schema["required"] or name not in ("outcome", "tenant", "failed", "error"))
    }


def _sample(name: str, schema: Mapping[str, Any], kind: str) -> Any:
    if "properties" in schema:
        return {inner: _sample(inner, value, kind) for inner, value in schema["properties"].items()}
    if schema.get("type") == "array":
        inner = schema["items"]
        return [_sample(name, inner, kind)] if "properties" in inner else _LISTS[name]
    if "enum" in schema:
        return schema["enum"][0]
    if name == "kind":
        return _KINDS[kind.split(".")[1]]
    if schema.get("type") == "integer":
        sample = _SAMPLES.get(name)
        return sample if isinstance(sample, int) else 1
    if schema.get("type") == "number":
        sample = _SAMPLES.get(name)
        return sample if isinstance(sample, float) else 0.002
    if schema.get("type") == "boolean":
        return False
    return _SAMPLES.get(name, "the disk is full")


def page() -> str:
    """Returns docs/events.md."""
    kinds = [_entry(FACTS[kind]) for kind in sorted(FACTS)]
    rows = [f"| `{name}` | {_told(name)} |" for name in sorted(WRITES)]
    return HEAD + "\n".join(kinds) + "\n" + MIDDLE + "\n".join(rows) + "\n"


def _entry(model: type[FactData]) -> str:
    schema = schema_of(model)
    fields = [
        f"| `{name}` | {_type(field)} | {required} | {field.get('description', '')} |"
        for name, field in schema["properties"].items()
        for required in ["yes" if name in schema["required"] else ""]
    ]
    example = json.dumps(example_of(model), ensure_ascii=False)
    return "\n".join(
        [
            f"## {model.TYPE}",
            "",
            f"{schema['title']}.",
            "",
            "| Field | Type | Required | Says |",
            "|---|---|---|---|",
            *fields,
            "",
            "```json",
            example,
            "```",
            "",
        ]
    )


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if "properties" in schema:
        return "object of " + ", ".join(f"`{name}`" for name in schema["properties"])
    return str(schema.get("type", "string"))


def _told(name: str) -> str:
    entry = WRITES[name]
    return (
        "<br>".join(f"`{kind.TYPE}`" for kind in entry.kinds) if isinstance(entry, Tells) else f"Nothing. {entry.why}"
    )


if __name__ == "__main__":
    write_schemas()
    PAGE.write_text(page(), "utf-8")
