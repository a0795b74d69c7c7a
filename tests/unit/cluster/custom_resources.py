"""What a cluster with KubeRay's definitions would refuse, from the definitions alone.

As `kubectl apply --validate=strict` has it: a field that is not in the schema is an error, and fields with a default
need not be said. Rules in CEL are not run; `rules` names those that a document comes under.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
METADATA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 47},
        "generateName": {"type": "string", "pattern": "^[a-z][-a-z0-9]*$", "maxLength": 42},
        "namespace": {"type": "string"},
        "labels": TEXTS,
        "annotations": TEXTS,
    },
    "additionalProperties": False,
    "oneOf": [{"required": ["name"]}, {"required": ["generateName"]}],
}
"""The server's own, which no definition has. Of names KubeRay wants a DNS label of at most 47 characters."""

FORMATS = FormatChecker(formats=())


@FORMATS.checks("int32")
def _is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


@FORMATS.checks("int64")
def _is_int64(value: object) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _once_a_key(validator: Validator, keys: list[str], items: Any, schema: Any) -> Iterator[ValidationError]:
    """`x-kubernetes-list-map-keys`: no two items are of the same key, defaults counted."""
    if not isinstance(items, list):
        return
    defaults = {key: schema["items"]["properties"].get(key, {}).get("default") for key in keys}
    seen = []
    for item in items:
        key = [item.get(name, defaults[name]) for name in keys] if isinstance(item, Mapping) else item
        if key in seen:
            yield ValidationError(f"two items of {dict(zip(keys, key, strict=True))}")
        seen.append(key)


StrictValidator = extend(Draft202012Validator, {"x-kubernetes-list-map-keys": _once_a_key})


class CustomResources:
    """The definitions in a folder. A kind's file is read when a document of it comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._definitions: dict[str, dict[str, Any]] = {}
        self._validators: dict[tuple[str, str], Validator] = {}

    def definition(self, kind: str) -> dict[str, Any]:
        """Raises `FileNotFoundError` where the folder has none."""
        if kind not in self._definitions:
            text = (self._folder / f"ray.io_{kind.lower()}s.yaml").read_bytes()
            self._definitions[kind] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return self._definitions[kind]

    def errors(self, document: Mapping[str, Any]) -> list[str]:
        """One line a mistake, with its place; empty for a document that is taken."""
        key = document["kind"], document["apiVersion"]
        if key not in self._validators:
            schema = _strict(self._schema(*key))
            schema["properties"]["metadata"] = METADATA
            schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
            self._validators[key] = StrictValidator(schema, format_checker=FORMATS)
        found = self._validators[key].iter_errors(document)
        return sorted(f"{'.'.join(map(str, error.absolute_path)) or '(top)'}: {error.message}" for error in found)

    def rules(self, document: Mapping[str, Any]) -> list[str]:
        """CEL rules that the document comes under, with their places."""
        return sorted(_rules(self._schema(document["kind"], document["apiVersion"]), document, ""))

    def _schema(self, kind: str, api_version: str) -> dict[str, Any]:
        spec = self.definition(kind)["spec"]
        served = {f"{spec['group']}/{one['name']}": one for one in spec["versions"] if one["served"]}
        schema: dict[str, Any] = served[api_version]["schema"]["openAPIV3Schema"]
        return schema


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A structural schema as JSON Schema with every object closed that is not left open on purpose."""
    made = {name: value for name, value in schema.items() if name != "description"}
    fields = schema.get("properties", {})
    if fields:
        made["properties"] = {name: _strict(field) for name, field in fields.items()}
        made["required"] = [name for name in schema.get("required", ()) if "default" not in fields[name]]
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), Mapping):
            made[inner] = _strict(schema[inner])
    if schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if schema.get("nullable"):
        made["type"] = [schema["type"], "null"]
    return made


def _rules(schema: Mapping[str, Any], value: Any, place: str) -> Iterator[str]:
    yield from (f"{place or '.'}: {one['rule']}" for one in schema.get("x-kubernetes-validations", ()))
    if isinstance(value, Mapping):
        others = schema.get("additionalProperties")
        for name, field in value.items():
            inner = schema.get("properties", {}).get(name, others)
            if isinstance(inner, Mapping):
                yield from _rules(inner, field, f"{place}.{name}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _rules(schema["items"], item, f"{place}[{index}]")
