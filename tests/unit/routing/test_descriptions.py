"""Descriptions are arranged beside decisions: none waits, and what is known goes on being scored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ossa.contracts.fleet import AgentInfo, AgentState
from ossa.routing.descriptions import Descriptions
from ossa.routing.learned.agents import AgentMatcher, AgentTable, AgentText
from ossa.routing.learned.reading import BUCKETS, read
from ossa.testing.gateway import eventually
from tests.support import fleet as support
from tests.support.fleet import index as fleet

ASKED = read("who greets people")


def matcher() -> AgentMatcher:
    return AgentMatcher(np.ones(BUCKETS, dtype=np.float32), 1.0, 0.0, 1.0, 1.0)


def agent(manifest: str, description: str = "", state: AgentState = AgentState.READY) -> AgentInfo:
    fields = {"manifest": manifest, "description": description, "state": state}
    return support.agent(f"security-{manifest}", pool="security", **fields)


class Later:
    """Runs what it was given when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.waiting.append(work)

    def work(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


REVIEWER, GREETER = agent("reviewer", "reviews code"), agent("greeter", "greets people")
MATCHER = matcher()


def test_no_decision_waits_and_rules_decide_until_the_first_table_is_there() -> None:
    later = Later()
    kept, index = Descriptions(later), fleet(REVIEWER, GREETER)
    assert [kept.likely(index, MATCHER, ASKED) for _ in range(3)] == [None] * 3
    assert len(later.waiting) == 1
    later.work()
    found = kept.likely(index, MATCHER, ASKED)
    assert found is not None and found.argmax() == 1 and not later.waiting


def test_until_a_new_agent_is_arranged_the_others_are_scored_as_before() -> None:
    later = Later()
    kept = Descriptions(later)
    kept.arrange(fleet(REVIEWER, GREETER), MATCHER)
    more = fleet(agent("translator", "greets people in every language"), GREETER, REVIEWER)
    found = kept.likely(more, MATCHER, ASKED)
    assert found is not None
    assert (found[0], found.argmax(), float(found.sum())) == (0.0, 1, pytest.approx(1.0))
    later.work()
    after = kept.likely(more, MATCHER, ASKED)
    assert after is not None and after[0] > 0
    assert kept.likely(fleet(agent("stranger")), MATCHER, ASKED) is None


def test_only_new_descriptions_are_read_and_the_table_is_that_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = AgentText.of

    def of(description: str) -> AgentText:
        seen.append(description)
        return real(description)

    monkeypatch.setattr(AgentText, "of", of)
    kept, later = Descriptions(), agent("cook", "cooks soup for people")
    kept.arrange(fleet(REVIEWER, GREETER), MATCHER)
    seen.clear()
    index = fleet(REVIEWER, later, GREETER)
    kept.arrange(index, MATCHER)
    assert seen == ["security cook cooks soup for people"]
    fresh = AgentTable.of(
        ["security reviewer reviews code", *seen, "security greeter greets people"], MATCHER
    )  # what one who read all of it anew would have
    found = kept.likely(index, MATCHER, ASKED)
    assert found is not None and np.array_equal(found, fresh.likely(ASKED))


def test_equal_descriptions_keep_their_table(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Descriptions()
    kept.arrange(fleet(REVIEWER, GREETER), MATCHER)

    def never(*_: Any) -> AgentTable:
        raise AssertionError("arranged anew")

    monkeypatch.setattr(AgentTable, "of_texts", never)
    starting = agent("greeter", "", AgentState.STARTING)
    for index in (fleet(REVIEWER, GREETER), fleet(REVIEWER, starting)):
        kept.arrange(index, MATCHER)
        found = kept.likely(index, MATCHER, ASKED)
        assert found is not None and found.argmax() == 1


def test_a_table_of_another_model_scores_nothing() -> None:
    later = Later()
    kept, index, other = Descriptions(later), fleet(REVIEWER, GREETER), matcher()
    kept.arrange(index, MATCHER)
    assert kept.likely(index, other, ASKED) is None
    later.work()
    assert kept.likely(index, other, ASKED) is not None
    assert kept.likely(index, MATCHER, ASKED) is None
    later.work()
    assert kept.likely(index, MATCHER, ASKED) is not None


def test_what_cannot_be_arranged_is_not_tried_at_every_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    later = Later()
    kept, index = Descriptions(later), fleet(REVIEWER)

    def broken(_: str) -> AgentText:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(AgentText, "of", broken)
        assert kept.likely(index, MATCHER, ASKED) is None
        later.work()
        assert kept.likely(index, MATCHER, ASKED) is None
    assert not later.waiting
    again = fleet(REVIEWER)
    assert kept.likely(again, MATCHER, ASKED) is None
    later.work()
    assert kept.likely(again, MATCHER, ASKED) is not None


async def test_many_threads_decide_while_agents_come_and_go() -> None:
    kept, failures, done = Descriptions(), list[str](), threading.Event()
    fleets = [fleet(*(agent(f"m{n}", f"does thing {n}") for n in range(size))) for size in (5, 9, 3, 12)]

    def decide(at: int) -> None:
        while not done.is_set():
            index = fleets[at]
            found = kept.likely(index, MATCHER, ASKED)
            if found is not None and (len(found) != len(index.groups) or abs(float(found.sum()) - 1) > 1e-3):
                failures.append(f"{len(found)} of {len(index.groups)}: {found.sum()}")
            at = (at + 1) % len(fleets)

    threads = [threading.Thread(target=decide, args=(at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    try:
        for index in fleets:
            await eventually(lambda index=index: kept.likely(index, MATCHER, ASKED) is not None)
    finally:
        done.set()
        for thread in threads:
            thread.join(10)
    assert failures == []
