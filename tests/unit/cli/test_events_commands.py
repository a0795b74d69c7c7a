"""`ossa events` over a fleet and a bus in memory."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from ossa.contracts.agent_history import AgentMoment
from ossa.contracts.events import SCHEMA_URN, TASK_FINISHED, Event, Fact, Message, Place, Received
from ossa.contracts.facts import FACTS, Act
from ossa.contracts.origin import Origin, acting
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


# Kafka


@pytest.fixture(params=["said", "set"])
def kafka(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """What makes a command one about Kafka: --kafka, or the setting that these commands always needed."""
    if request.param == "said":
        return ("--kafka",)
    monkeypatch.setenv("OSSA_EVENTS__BOOTSTRAP_SERVERS", "kafka:9092")
    return ()


def test_lag_of_kafka_is_of_a_group(run: Any, run_json: Any, kafka: tuple[str, ...]) -> None:
    found = run_json("events", "lag", "audit", *kafka)
    assert (found["group"], found["waiting"]) == ("audit", 2)
    assert sum(one["waiting"] for one in found["partitions"]) == 2
    assert "2 messages wait for audit" in run("events", "lag", "audit", *kafka).stderr


def test_dead_letters_of_kafka_are_listed_put_back_and_gone(
    run: Any, run_json: Any, bus: MemoryBus, kafka: tuple[str, ...]
) -> None:
    (dead,) = run_json("events", "dead", *kafka)
    assert (dead["group"], dead["error"], dead["tries"]) == ("audit", "ValueError: poison", 5)
    assert dead["event_id"] in run("events", "dead", *kafka).stdout
    assert run_json("events", "replay", *kafka) == {"replayed": 1}
    assert run_json("events", "dead", *kafka) == []
    assert len(bus.kept()) == 3
    assert run_json("events", "replay", *kafka) == {"replayed": 0}


def test_tail_of_kafka_shows_what_is_there_and_what_is_no_event(
    run: Any, bus: MemoryBus, kafka: tuple[str, ...]
) -> None:
    asyncio.run(bus.publish([Message("events", "k", b"garbage")]))
    tail = ("events", "tail", "--from-beginning", "--limit", "3", *kafka)
    found = [json.loads(line) for line in run(*tail, "--json").stdout.splitlines()]
    assert {one.get("id") for one in found} == {"task_0:finished", "task_1:finished", None}
    assert any("not an event" in one.get("error", "") for one in found)
    assert "succeeded" in run(*tail).stdout


def test_a_bus_that_is_away_is_exit_code_1(run: Any, bus: MemoryBus, kafka: tuple[str, ...]) -> None:
    bus.go_away()
    for command in (("lag", "audit"), ("dead",), ("replay",), ("tail",)):
        assert "away" in run("events", *command, *kafka, expect=1).stderr


def test_where_kafka_is_meant_because_it_is_set_a_note_says_so(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--log" not in run("events", "dead", "--kafka").stderr
    monkeypatch.setenv("OSSA_EVENTS__BOOTSTRAP_SERVERS", "kafka:9092")
    assert "--log" in run("events", "dead").stderr
    assert run("events", "dead", "--log").stdout.count("audit") == 0


def test_filters_are_for_the_log_alone(run: Any) -> None:
    assert "--kafka" in run("events", "tail", "--kafka", "--agent", "a", expect=2).stderr
    assert "exclude" in run("events", "tail", "--since", "1h", "--from-beginning", expect=2).stderr


# The fleet's own log


class Noted(Act):
    """Something happened in a test"""

    TYPE: ClassVar[str] = "ossa.note.made.v1"

    number: int


del FACTS[Noted.TYPE]  # the catalogue is the product's alone


def tell(fleet: FakeGateway, *numbers: int, key: str = "note/1", tenant: str = "acme") -> None:
    facts = [Fact(Noted(outcome="failed", reason="no luck", number=number), key, tenant) for number in numbers]
    with acting(Origin(actor="key/key_1", request_id="req-1")):
        fleet.run(fleet.stores.facts.tell(facts))


def numbers_of(events: list[dict[str, Any]]) -> list[int]:
    return [event["data"]["number"] for event in events]


def test_list_shows_the_newest_facts_with_all_filters(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    tell(fleet, 1, 2)
    tell(fleet, 3, tenant="other")
    note = ("--type", "ossa.note.")
    assert numbers_of(run_json("events", "list", *note)) == [3, 2, 1]
    assert numbers_of(run_json("events", "list", *note, "--limit", "2")) == [3, 2]
    assert numbers_of(run_json("events", "list", *note, "--tenant", "other", "--since", "1h")) == [3]
    assert run_json("events", "list", *note, "--until", "1h") == []
    assert len(run_json("events", "list", "--actor", "key/key_1", "--request-id", "req-1")) == 3
    assert run_json("events", "list", "--agent", "nobody") == []
    shown = run("events", "list", *note).stdout.splitlines()
    assert shown[0].split() == ["when", "type", "subject", "actor", "outcome", "reason"]
    assert shown[1].split()[1:] == ["ago", "ossa.note.made.v1", "note/1", "key/key_1", "failed", "no", "luck"]
    assert "since" in run("events", "list", "--since", "soon", expect=1).stderr


def test_list_asks_for_as_many_pages_as_it_takes(
    run_json: Any, fleet: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ossa.sdk.events.PAGE", 3)
    tell(fleet, *range(8))
    assert numbers_of(run_json("events", "list", "--type", "ossa.note.")) == list(range(7, -1, -1))


def test_tail_shows_facts_as_lines_or_json_from_where_it_is_told(run: Any, fleet: FakeGateway) -> None:
    tell(fleet, *range(4))
    tail = ("events", "tail", "--type", "ossa.note.", "--limit", "3")
    lines = run(*tail, "--since", "1h", "--json").stdout.splitlines()
    assert numbers_of([json.loads(line) for line in lines]) == [0, 1, 2]
    shown = run("events", "tail", "--type", "ossa.note.", "--from-beginning", "--limit", "1").stdout
    assert shown.split()[1:] == ["ossa.note.made.v1", "note/1", "key/key_1", "failed", "no", "luck"]


def test_groups_lag_and_seek_are_of_the_log(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    tell(fleet, 1)
    fleet.run(fleet.stores.facts.seek("audit", 0))
    (group,) = [group for group in run_json("events", "groups") if group["group"] == "audit"]
    assert group["waiting"] >= 1
    assert run_json("events", "lag", "audit")["waiting"] == group["waiting"]
    assert "audit" in run("events", "groups").stdout
    assert "--kafka" in run("events", "lag", "nobody", expect=1).stderr
    assert run_json("events", "seek", "audit", "--to", "newest")["waiting"] <= 1  # the fact that tells of it
    assert "facts wait" in run("events", "seek", "audit", "--to", "newest").stderr
    assert "to" in run("events", "seek", "audit", "--to", "nowhere", expect=1).stderr
    assert "audit" in run("events", "seek", "nobody", "--to", "oldest", expect=1).stderr


def test_dead_letters_of_the_log_are_listed_and_put_back(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    assert run_json("events", "dead") == []
    tell(fleet, 7)
    place = Place("ossa.events", 0, 1)
    bad = Received(place, "note/1", b"garbage")
    letter = dead_letter_of(bad, "ossa.events.dead", group="audit", error=ValueError("poison"), tries=5)
    fleet.run(fleet.stores.facts.bury([letter]))
    (dead,) = run_json("events", "dead")
    assert (dead["group"], dead["error"], dead["tries"]) == ("audit", "ValueError: poison", 5)
    assert "poison" in run("events", "dead").stdout or "audit" in run("events", "dead").stdout
    assert run_json("events", "replay", "--limit", "5") == {"replayed": 1}
    assert "0 put back" in run("events", "replay").stderr


# The life of an agent


def test_the_life_of_an_agent_is_listed_and_agents_work_as_before(run: Any, run_json: Any, fleet: FakeGateway) -> None:
    assert run_json("agents", "history", "security-000") == []
    moment = AgentMoment(
        id="x", agent="security-000", tenant="_system", type="ossa.agent.lost.v1", at=datetime.now(UTC),
        outcome="failed", reason="its process died",
    )  # fmt: skip
    fleet.run(fleet.stores.agent_history.add(moment))
    (shown,) = run_json("agents", "history", "security-000")
    assert (shown["type"], shown["reason"]) == ("ossa.agent.lost.v1", "its process died")
    assert "lost" in run("agents", "history", "security-000").stdout
    assert "no agent" in run("agents", "history", "nobody", expect=1).stderr
    assert [agent["pool"] for agent in run_json("agents", "--pool", "security")] == ["security"]
    assert "history" in run("agents", "--json", "history", "security-000", expect=2).stderr


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
