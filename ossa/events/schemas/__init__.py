"""The schemas of events: `TYPE.vN.json`, one file a version, never changed once it was released."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator

from ossa.contracts.errors import InvalidRequest
from ossa.contracts.events import Event

Schema = Mapping[str, Any]

_FILE = re.compile(r"^(?P<name>[a-z.]+)\.v(?P<version>[1-9][0-9]*)\.json$")


@cache
def load_schemas() -> dict[str, dict[int, Schema]]:
    """Type without its version -> version -> schema."""
    found: dict[str, dict[int, Schema]] = {}
    for file in resources.files(__name__).iterdir():
        match = _FILE.match(file.name)
        if match:
            found.setdefault(match["name"], {})[int(match["version"])] = json.loads(file.read_text("utf-8"))
    return found


def check_event(event: Event) -> None:
    """Raises `InvalidRequest` for a type nobody has described, or data that are not as described."""
    validator = _validator(event.type)
    if validator is None:
        raise InvalidRequest(f"There is no schema of the event type {event.type!r}.", param="type")
    for error in validator.iter_errors(event.data):
        place = ".".join(map(str, ("data", *error.absolute_path)))
        raise InvalidRequest(f"{event.type} {event.id}: {place}: {error.message[:200]}", param=place)


@cache
def _validator(kind: str) -> Draft202012Validator | None:
    name, _, version = kind.rpartition(".v")
    schema = load_schemas().get(name, {}).get(int(version)) if version.isdigit() else None
    return None if schema is None else Draft202012Validator(schema)
