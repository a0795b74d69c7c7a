"""Writes the schemas of events from their models: `python -m scripts.events`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ossa.contracts.events import SCHEMA_URN
from ossa.contracts.facts import FACTS, FactData
from scripts.compatibility import breaks

SCHEMAS = Path(str(resources.files("ossa.events.schemas")))


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


if __name__ == "__main__":
    write_schemas()
