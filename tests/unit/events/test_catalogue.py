"""Every write of the product is said to tell its fact, or why it tells none; and the documents say the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ossa.contracts.events import SCHEMA_URN, Event
from ossa.contracts.facts import FACTS, AgentReady, KeyCreated
from ossa.events.schemas import check_event
from scripts.events import PAGE, example_of, page
from scripts.fact_table import WRITES, Silent, Tells, problems, statements, writes


def test_every_write_tells_its_fact_or_says_why_it_tells_none() -> None:
    found = writes()
    assert problems(found) == []
    assert {"keys.add", "journal.write", "stores/backups/server.py:tell", "history.prune"} <= found.keys()
    assert "keys.find" in statements()
    assert "keys.find" not in found


def test_a_new_write_that_the_table_does_not_know_is_found(tmp_path: Path) -> None:
    queries = tmp_path / "queries"
    queries.mkdir()
    (queries / "new.sql").write_text("-- name: add\nINSERT INTO ossa.things (a) VALUES (1)\n")
    package = tmp_path / "package"
    package.mkdir()
    (package / "new.py").write_text('async def put(c):\n    await c.execute("UPDATE ossa.things SET a = 2")\n')
    (package / "call.py").write_text('async def go(c):\n    await c.execute("SELECT ossa.memory_erase(1)")\n')
    found = writes(queries, package)
    assert found.keys() == {"new.add", "new.py:put", "call.py:go"}
    assert "new.add writes, and the table does not say what it tells" in problems(found, {})


@pytest.mark.parametrize(
    ("name", "entry", "says"),
    [
        ("keys.add", None, "keys.add writes, and the table does not say what it tells"),
        ("keys.add", Silent("why not"), "keys.add is said to tell nothing, and tells"),
        ("lists.mark", Tells((KeyCreated,)), "lists.mark is said to tell, and calls neither"),
        ("routing.rate", Tells((KeyCreated,), by="routing.py:feedback"), "routing.rate is said to tell, and calls"),
        ("keys.gone", Silent("it was"), "keys.gone is in the table and writes nothing"),
        ("keys.add", Tells(()), "nobody tells ossa.key.created.v1"),
        ("facts.tell", Tells((AgentReady,)), "nobody tells ossa.agent.lost.v1"),
    ],
)
def test_what_the_table_says_wrongly_is_named(name: str, entry: Tells | Silent | None, says: str) -> None:
    table = {known: value for known, value in WRITES.items() if known != name} | ({name: entry} if entry else {})
    assert any(problem.startswith(says) for problem in problems(writes(), table))


def test_the_page_is_as_the_models_and_the_table_say() -> None:
    """Otherwise: `python -m scripts.events`."""
    assert PAGE.read_text("utf-8") == page()


@pytest.mark.parametrize("kind", sorted(FACTS))
def test_an_example_is_as_its_schema_says(kind: str) -> None:
    data = example_of(FACTS[kind])
    FACTS[kind].model_validate(data)
    check_event(
        Event(
            id="k:1",
            source="/ossa",
            type=kind,
            subject="k",
            time=datetime.now(UTC),
            dataschema=SCHEMA_URN + kind,
            partitionkey="k",
            tenant="acme",
            data=data,
        )
    )
