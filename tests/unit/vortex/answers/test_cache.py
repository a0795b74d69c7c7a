"""What the answer cache promises: the right answer, the right tenant, the right time; or none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ossa.contracts.configuration import AnswerSettings
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.vectors import Found
from ossa.testing.stores.tiers import MemoryVectors

from .conftest import Rig, answered, asked

QUESTION = "How do I change the oil in my car?"
PARAPHRASE = "can you tell me how to change the oil in my car"
OTHER = "How do I change the tires of my car?"


async def test_the_same_question_is_answered_exactly_whatever_its_spaces(rig: Rig) -> None:
    assert await rig.look_up(QUESTION) is None
    assert await rig.keep(QUESTION, "Drain it.") is None
    rig.now += 10
    hit = await rig.look_up(f"  {QUESTION.replace(' ', '  ')}\n")
    assert hit is not None
    assert (hit.kind, hit.answer.message["content"]) == ("exact", "Drain it.")
    assert (hit.age_s, hit.expires_in_s, hit.similarity, hit.likelihood) == (10, 50, 1, 1)


async def test_a_question_that_asks_the_same_is_answered_with_its_similarity(rig: Rig) -> None:
    await rig.keep(QUESTION, "Drain it.")
    hit = await rig.look_up(PARAPHRASE)
    assert hit is not None
    assert (hit.kind, hit.question) == ("semantic", QUESTION)
    assert rig.settings.threshold <= hit.similarity < 1
    assert rig.settings.likelihood <= hit.likelihood < 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is printed?\nfor i in a:\n  f(i)\n  print(i)", "What is printed?\nfor i in a:\n  f(i)\nprint(i)"),
        ("Is this valid?\na:\n  b: 1\nc: 2", "Is this valid?\na:\n  b: 1\n  c: 2"),
        ("  a: 1\nb: 2", "a: 1\nb: 2"),
        ("columns a\tb", "columns a b"),
        ("x = 1\r\n y = 2", "x = 1\r\ny = 2"),
        ("how many blanks are in `a  b`", "how many blanks are in `a b`"),
        ('how many blanks are in "a  b"', 'how many blanks are in "a b"'),
    ],
)
async def test_white_space_that_carries_meaning_is_part_of_the_question(rig: Rig, one: str, other: str) -> None:
    await rig.keep(one)
    assert await rig.look_up(other) is None
    assert await rig.look_up(one) is not None


async def test_a_question_of_several_lines_is_answered_exactly_or_not_at_all(rig: Rig) -> None:
    lines = QUESTION.replace(" oil", "\noil")
    await rig.keep(lines)
    assert await rig.look_up(PARAPHRASE) is None
    assert await rig.look_up(f"{lines}\n") is not None
    await rig.keep(QUESTION)
    assert await rig.look_up(PARAPHRASE.replace(" oil", "\noil")) is None


async def test_a_near_question_that_asks_something_else_is_refused_and_counted(rig: Rig) -> None:
    await rig.keep(QUESTION)
    assert await rig.look_up("When do I change the oil in my car?") is None
    assert rig.cache.counters.refused_by_check == 1


async def test_the_likeliest_of_several_is_served(rig: Rig) -> None:
    await rig.keep(OTHER, "Jack it up.")
    await rig.keep(QUESTION, "Drain it.")
    hit = await rig.look_up(PARAPHRASE)
    assert hit is not None and hit.answer.message["content"] == "Drain it."


async def test_with_a_threshold_of_one_only_the_same_question_is_answered() -> None:
    rig = Rig(AnswerSettings(enabled=True, tenants=("*",), threshold=1, deadline_s=5))
    await rig.keep(QUESTION)
    assert await rig.look_up(PARAPHRASE) is None
    assert await rig.look_up(QUESTION) is not None


async def test_an_answer_ends_with_its_lifetime_and_is_swept(rig: Rig) -> None:
    await rig.keep(QUESTION)
    rig.now += 59
    assert await rig.look_up(QUESTION) is not None
    rig.now += 1
    assert await rig.look_up(QUESTION) is None
    assert await rig.look_up(PARAPHRASE) is None
    rig.now += 1
    assert await rig.cache.sweep() == 1
    assert await rig.index.count({}) == 0


async def test_asking_again_renews_an_answer(rig: Rig) -> None:
    await rig.keep(QUESTION, "old")
    rig.now += 61
    await rig.keep(QUESTION, "new")
    hit = await rig.look_up(QUESTION)
    assert hit is not None and hit.answer.message["content"] == "new"
    assert await rig.index.count({}) == 1


@pytest.mark.parametrize("field", ["tenant", "agent", "scope"])
@pytest.mark.parametrize("question", [QUESTION, PARAPHRASE])
async def test_another_tenant_agent_or_scope_has_no_hit(rig: Rig, field: str, question: str) -> None:
    await rig.keep(QUESTION)
    assert await rig.look_up(question) is not None
    assert await rig.look_up(question, **{field: "other"}) is None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"failed": True}, "failed"),
        ({"complete": False}, "incomplete"),
        ({"finish_reason": "length"}, "incomplete"),
        ({"finish_reason": "content_filter"}, "incomplete"),
        ({"tool_effects": True}, "effects"),
        ({"message": {"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}}, "tool_calls"),
        ({"message": {"role": "assistant", "content": None}}, "empty"),
        ({"message": {"role": "assistant", "content": " "}}, "empty"),
        ({"message": {"role": "assistant", "content": "x" * 70_000}}, "too_long"),
        ({"temperature": 1.1}, "temperature"),
    ],
)
async def test_what_must_not_be_kept_is_not(rig: Rig, fields: dict[str, Any], reason: str) -> None:
    assert await rig.cache.keep(asked(QUESTION), answered(**fields)) == reason
    assert await rig.look_up(QUESTION) is None
    assert rig.cache.counters.not_stored == {reason: 1}


async def test_a_hot_answer_is_kept_when_that_was_asked_for(rig: Rig) -> None:
    assert await rig.cache.keep(asked(QUESTION), answered(temperature=2.0, asked_for=True)) is None
    assert await rig.cache.keep(asked(OTHER), answered(temperature=None)) is None


@pytest.mark.parametrize(
    "settings",
    [
        AnswerSettings(),
        AnswerSettings(tenants=("acme",)),
        AnswerSettings(enabled=True),
        AnswerSettings(enabled=True, tenants=("globex",)),
        AnswerSettings(enabled=True, tenants=("acme",), agents=("other",)),
    ],
)
async def test_who_did_not_opt_in_is_neither_kept_nor_looked_up(settings: AnswerSettings) -> None:
    rig = Rig(settings)
    assert await rig.keep(QUESTION) == "not_opted_in"
    assert await rig.index.count({}) == 0
    willing = Rig()
    await willing.keep(QUESTION)
    rig.cache._index = willing.index
    assert await rig.look_up(QUESTION) is None


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({}, {"c"}),
        ({"agent": "helper"}, {"b", "c"}),
        ({"document": "handbook"}, {"b", "c"}),
        ({"agent": "clerk", "document": "handbook"}, {"a", "b", "c"}),
    ],
)
async def test_answers_are_forgotten_by_tenant_agent_and_document(
    rig: Rig, what: dict[str, str], left: set[str]
) -> None:
    await rig.cache.keep(asked("what is a", tenant="acme"), answered("a", documents=("prices", "handbook")))
    await rig.cache.keep(asked("what is b", tenant="acme", agent="clerk"), answered("b", documents=("prices",)))
    await rig.cache.keep(asked("what is c", tenant="globex"), answered("c", documents=("handbook",)))
    forgotten = await rig.cache.forget("acme", **what)
    places = {"a": {}, "b": {"agent": "clerk"}, "c": {"tenant": "globex"}}
    hits = {name for name, fields in places.items() if await rig.look_up(f"what is {name}", **fields)}
    assert hits == left
    assert forgotten == 3 - len(left)


async def test_a_tenant_keeps_its_newest_and_takes_no_room_of_others() -> None:
    rig = Rig(AnswerSettings(enabled=True, tenants=("*",), max_entries_per_tenant=20, deadline_s=5))
    await rig.keep("what is zero", tenant="globex")
    for number in range(50):
        rig.now += 1
        await rig.keep(f"what is item number {number}")
    assert await rig.index.count({}) <= 21
    assert await rig.look_up("what is item number 49") is not None
    assert await rig.look_up("what is item number 35") is not None
    assert await rig.look_up("what is item number 5") is None
    assert await rig.look_up("what is zero", tenant="globex") is not None
    assert rig.cache.counters.evicted >= 30


async def test_the_bound_holds_over_what_was_there_before() -> None:
    settings = AnswerSettings(enabled=True, tenants=("*",), max_entries_per_tenant=5, deadline_s=5)
    first = Rig()
    for number in range(9):
        await first.keep(f"what is item number {number}")
    second = Rig(settings)
    second.cache._index = first.index
    await second.keep("what is item number 10")
    assert await first.index.count({}) <= 5


async def test_an_index_that_is_away_is_a_miss_and_never_an_error(rig: Rig) -> None:
    await rig.keep(QUESTION)
    rig.index.go_down()
    assert await rig.look_up(QUESTION) is None
    assert await rig.keep(OTHER) == "unavailable"
    assert rig.cache.counters.failures == 2
    with pytest.raises(StoreUnavailable):
        await rig.cache.forget("acme")
    rig.index.come_back()
    assert await rig.look_up(QUESTION) is not None


class StuckIndex(MemoryVectors):
    """Never answers."""

    async def fetch(self, ids: Any) -> list[Found]:
        await asyncio.Event().wait()
        return []


class BrokenIndex(MemoryVectors):
    """Answers with what is no entry."""

    async def fetch(self, ids: Any) -> list[Found]:
        return [Found(id=ids[0], score=1.0, payload={"question": 7})]

    async def search(self, *args: Any, **kwargs: Any) -> list[Found]:
        raise ZeroDivisionError


@pytest.mark.parametrize("kind", [StuckIndex, BrokenIndex])
async def test_a_slow_or_broken_index_is_a_miss_within_the_deadline(kind: type[MemoryVectors]) -> None:
    rig = Rig(AnswerSettings(enabled=True, tenants=("*",), deadline_s=0.01))
    rig.cache._index = kind(rig.index._schema)
    async with asyncio.timeout(5):
        assert await rig.look_up(QUESTION) is None
    assert (rig.cache.counters.failures, rig.cache.counters.misses) == (1, 1)


@pytest.mark.parametrize("question", ["", "   \n", "?!", "x" * 50_000, "'" * 3000, "你好吗", "\ud83d"[:0] + "🙂"])
async def test_any_question_is_looked_up_without_an_error(rig: Rig, question: str) -> None:
    assert await rig.look_up(question) is None
    kept = await rig.keep(question)
    hit = await rig.look_up(question)
    assert (kept == "no_question") == (not question.strip())
    assert (hit is not None) == bool(question.strip())
    assert rig.cache.counters.failures == 0


async def test_questions_without_words_do_not_answer_each_other(rig: Rig) -> None:
    await rig.keep("?!")
    assert await rig.look_up("!?") is None


async def test_all_is_counted(rig: Rig) -> None:
    await rig.look_up(QUESTION)
    await rig.keep(QUESTION)
    await rig.look_up(QUESTION)
    await rig.look_up(PARAPHRASE)
    counters = rig.cache.counters
    assert (counters.look_ups, counters.misses, counters.exact_hits, counters.semantic_hits) == (3, 1, 1, 1)
    assert counters.stored == 1
    assert counters.look_up_ms > 0
