"""`ossa events` over a fleet and a bus in memory."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ossa.contracts.events import SCHEMA_URN, TASK_FINISHED, Event, Message
from ossa.events.dead_letters import dead_letter_of
from ossa.events.messages import message_of
from ossa.testing.app import FakeGateway
from ossa.testing.bus import MemoryBus


@pytest.fixture
def bus() -> MemoryBus:
    """Two events, one of which a group could not handle."""
    made = MemoryBus()

    async def fill() -> None:
        events = [
            Event(
                id=f"task_{number}:finished",
                source="/ossa",
                type=TASK_FINISHED,
                subject=f"task_{number}",
                time=datetime(2026, 1, 2, tzinfo=UTC),
                dataschema=SCHEMA_URN + TASK_FINISHED,
                partitionkey=f"task_{number}",
                tenant="acme",
                data={"task": f"task_{number}", "status": "succeeded", "usage": {}},
            )
            for number in range(2)
        ]
        await made.publish([message_of(event, "events") for event in events])
        bad = made.kept()[0]
        await made.publish([dead_letter_of(bad, "events.dead", group="audit", error=ValueError("poison"), tries=5)])

    asyncio.run(fill())
    return made


def test_status_without_events_says_how_to_have_them(run: Any) -> None:
    assert "OSSA_EVENTS__BOOTSTRAP_SERVERS" in run("events", "status").stderr


def test_status_shows_the_outbox_and_the_bus_and_fails_when_nothing_is_published(
    run: Any, run_json: Any, fleet: FakeGateway
) -> None:
    bus = {
        "kind": "mock",
        "address": "127.0.0.1:9",
        "topic": "ossa.events",
        "dead_topic": "ossa.dead",
        "remarks": ["a mock: it keeps nothing"],
    }
    status = {"telling": True, "outbox": {"rows": 7, "oldest_s": 1.5}, "bus": bus, "groups": {"audit": 3}}
    fleet.answer("/api/v1/events/status", status)
    shown = run("events", "status")
    assert "mock" in shown.stdout and "7" in shown.stdout and "audit" in shown.stdout
    assert "keeps nothing" in shown.stderr
    assert run_json("events", "status")["outbox"]["rows"] == 7
    fleet.answer("/api/v1/events/status", {**status, "trouble": "Kafka did not answer"})
    assert "Kafka did not answer" in run("events", "status", expect=1).stderr


def test_lag_is_of_a_group(run: Any, run_json: Any) -> None:
    found = run_json("events", "lag", "audit")
    assert (found["group"], found["waiting"]) == ("audit", 2)
    assert sum(one["waiting"] for one in found["partitions"]) == 2
    assert "2 messages wait for audit" in run("events", "lag", "audit").stderr


def test_dead_letters_are_listed_put_back_and_gone(run: Any, run_json: Any, bus: MemoryBus) -> None:
    (dead,) = run_json("events", "dead")
    assert (dead["group"], dead["error"], dead["tries"]) == ("audit", "ValueError: poison", 5)
    assert dead["event_id"] in run("events", "dead").stdout
    assert run_json("events", "replay") == {"replayed": 1}
    assert run_json("events", "dead") == []
    assert len(bus.kept()) == 3
    assert run_json("events", "replay") == {"replayed": 0}


def test_tail_shows_what_is_there_and_what_is_no_event(run: Any, bus: MemoryBus) -> None:
    asyncio.run(bus.publish([Message("events", "k", b"garbage")]))
    shown = run("events", "tail", "--from-beginning", "--limit", "3", "--json").stdout.splitlines()
    found = [json.loads(line) for line in shown]
    assert {one.get("id") for one in found} == {"task_0:finished", "task_1:finished", None}
    assert any("not an event" in one.get("error", "") for one in found)
    assert "succeeded" in run("events", "tail", "--from-beginning", "--limit", "3").stdout


def test_a_bus_that_is_away_is_exit_code_1(run: Any, bus: MemoryBus) -> None:
    bus.go_away()
    for command in (("lag", "audit"), ("dead",), ("replay",), ("tail",)):
        assert "away" in run("events", *command, expect=1).stderr


def test_without_a_kafka_the_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from ossa.app.connections import bus_of_settings
    from ossa.settings import WrongSetting

    monkeypatch.delenv("OSSA_EVENTS__BOOTSTRAP_SERVERS", raising=False)
    with pytest.raises(WrongSetting, match="OSSA_EVENTS__BOOTSTRAP_SERVERS"):
        bus_of_settings()


@pytest.mark.parametrize(("variables", "says"), [
    ({"MOCK": "true", "BOOTSTRAP_SERVERS": "a:1"}, "exclude each other"),
    ({"MIN_INSYNC": "3", "REPLICATION": "2"}, "min_insync"),
    ({"SECURITY_PROTOCOL": "SASL_SSL"}, "sasl_user"),
    ({"DEAD_TOPIC": "ossa.events"}, "dead_topic"),
    ({"TOPIC": "a b"}, "OSSA_EVENTS__TOPIC"),
])  # fmt: skip
def test_settings_that_do_not_fit_are_named_and_no_password_is_shown(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], says: str
) -> None:
    from ossa.settings import Settings, WrongSetting

    monkeypatch.setenv("OSSA_EVENTS__SASL_PASSWORD", "sesame")
    for name, value in variables.items():
        monkeypatch.setenv(f"OSSA_EVENTS__{name}", value)
    with pytest.raises(WrongSetting) as caught:
        Settings()
    assert says in str(caught.value)
    assert "sesame" not in str(caught.value)
