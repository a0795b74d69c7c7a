"""Every version of every shipped schema is compatible with the one before."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ossa.contracts.errors import InvalidRequest
from ossa.contracts.events import SCHEMA_URN, TASK_ACCEPTED, TASK_FINISHED, TASK_STEP, Event
from ossa.contracts.facts import FACTS
from ossa.events.schemas import check_event, load_schemas
from scripts.compatibility import breaks, broken_history
from scripts.events import SCHEMAS, schema_text, write_schemas

OLD: dict[str, Any] = {
    "type": "object",
    "required": ["task"],
    "properties": {
        "task": {"type": "string"},
        "status": {"enum": ["a", "b"]},
        "usage": {"type": "object", "properties": {"tokens": {"type": "integer"}}},
        "names": {"type": "array", "items": {"type": "string"}},
    },
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(OLD), **changes}


def properties(**changes: Any) -> dict[str, Any]:
    return changed(properties={**copy.deepcopy(OLD["properties"]), **changes})


@pytest.mark.parametrize("name", sorted(load_schemas()))
def test_a_type_s_versions_are_compatible_and_well_formed(name: str) -> None:
    versions = load_schemas()[name]
    assert broken_history(versions) == []
    for version, schema in versions.items():
        Draft202012Validator.check_schema(dict(schema))
        assert schema["$id"] == f"{SCHEMA_URN}{name}.v{version}"


def test_every_type_that_is_told_has_a_schema() -> None:
    known = {f"{name}.v{version}" for name, versions in load_schemas().items() for version in versions}
    assert {TASK_ACCEPTED, TASK_STEP, TASK_FINISHED} <= known
    assert known == set(FACTS)


@pytest.mark.parametrize("kind", sorted(FACTS))
def test_a_schema_is_as_its_model_says(kind: str) -> None:
    """Otherwise: `python -m scripts.events`."""
    assert (SCHEMAS / f"{kind}.json").read_text("utf-8") == schema_text(FACTS[kind])


def test_a_change_that_breaks_readers_is_not_written(tmp_path: Path) -> None:
    write_schemas(tmp_path)
    file = tmp_path / f"{TASK_STEP}.json"
    old = json.loads(file.read_text())
    old["properties"]["spent"] = {"type": "number"}
    file.write_text(json.dumps(old))
    with pytest.raises(ValueError, match=r"ossa\.task\.step\.v1 .* new version: data\.spent is gone"):
        write_schemas(tmp_path)
    assert json.loads(file.read_text()) == old


def test_a_new_version_may_add_what_nobody_must_give_and_describe_better() -> None:
    new = properties(more={"type": "number"}, task={"type": "string", "description": "its id"})
    assert list(breaks(OLD, new)) == []


@pytest.mark.parametrize(("new", "says"), [
    (properties(task={"type": "integer"}), "data.task: type was 'string'"),
    (properties(usage={"type": "object", "properties": {}}), "data.usage.tokens is gone"),
    (properties(names={"type": "array", "items": {"type": "integer"}}), r"data.names\[\]: type"),
    (properties(status={"enum": ["a"]}), "data.status: enum"),
    (properties(status={"enum": ["a", "b", "c"]}), "data.status: enum"),
    (changed(required=["task", "status"]), "data.status is required and was not"),
    (changed(required=[]), "data.task may be missing"),
    (changed(additionalProperties=False), "additionalProperties"),
])  # fmt: skip
def test_what_breaks_who_knows_the_old_version_is_named(new: dict[str, Any], says: str) -> None:
    import re

    found = list(breaks(OLD, new))
    assert any(re.search(says, one) for one in found), found


def test_versions_without_number_one_or_with_a_hole_are_named() -> None:
    assert broken_history({1: OLD, 3: OLD})
    assert broken_history({1: OLD, 2: changed(required=["task", "status"])})


def event(**changes: Any) -> Event:
    known: dict[str, Any] = {
        "id": "t:1", "source": "/ossa", "type": TASK_ACCEPTED, "subject": "t", "time": datetime.now(UTC),
        "dataschema": SCHEMA_URN + TASK_ACCEPTED, "partitionkey": "t", "tenant": "acme",
        "data": {"task": "t", "target": "auto", "asynchronous": False},
    }  # fmt: skip
    return Event(**{**known, **changes})


def test_an_event_is_checked_against_its_schema() -> None:
    check_event(event())
    with pytest.raises(InvalidRequest, match=r"data\.asynchronous"):
        check_event(event(data={"task": "t", "target": "auto", "asynchronous": "no"}))
    with pytest.raises(InvalidRequest, match="no schema"):
        check_event(event(type="ossa.task.unheard.v9"))


def test_attributes_that_others_add_are_let_be() -> None:
    more = event().model_dump_json()[:-1] + ',"tracestate":"a=1"}'
    assert Event.model_validate_json(more) == event(time=Event.model_validate_json(more).time)
