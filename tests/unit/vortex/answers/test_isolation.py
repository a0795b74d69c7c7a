"""No tenant, agent or scope ever sees another's answer; and whatever may change an answer changes the scope."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from ossa.vortex.answers.cache import id_of, room_of
from ossa.vortex.answers.scope import SHAPELESS, question_of, scope_of

from .conftest import Rig, asked

# Few and alike, so that places that differ in one name, or are spelt alike put together, are tried often.
NAMES = st.sampled_from(["a", "b", "ab", "aa", 'a", "b', "a:b", " a"])
PLACES = st.tuples(NAMES, NAMES, NAMES)
QUESTIONS = st.sampled_from(["what is my balance", "tell me my balance", "please, what is my balance"])

REQUEST: dict[str, Any] = {
    "spec_digest": "d1",
    "model": "standard/m1",
    "parameters": {"temperature": 0.2, "max_tokens": 100, "response_format": {"type": "json_object"}, "stop": ["x"]},
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "What now?"},
    ],
    "documents": {"handbook": "v1", "prices": "v7"},
}


@given(st.lists(st.tuples(PLACES, QUESTIONS), min_size=1, max_size=4), PLACES, QUESTIONS)
def test_a_hit_is_always_of_ones_own_place(
    kept: list[tuple[tuple[str, str, str], str]], place: tuple[str, str, str], question: str
) -> None:
    async def check() -> None:
        rig = Rig()
        for (tenant, agent, scope), told in kept:
            await rig.keep(told, repr((tenant, agent, scope)), tenant=tenant, agent=agent, scope=scope)
        tenant, agent, scope = place
        hit = await rig.look_up(question, tenant=tenant, agent=agent, scope=scope)
        assert (hit is not None) == any(own == place for own, _ in kept)
        assert hit is None or hit.answer.message["content"] == repr(place)

    asyncio.run(check())


@given(PLACES, PLACES)
@example(("aa", "b", "a"), ("a", "ab", "a"))
@example(("a", "b", "ab"), ("a", "ba", "b"))
@example(("a", "b", "a"), ("b", "b", "a"))
def test_two_places_never_share_a_room_or_an_id(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    first, second = (asked("q", tenant=t, agent=a, scope=s) for t, a, s in (one, other))
    assert (room_of(first) == room_of(second)) == (one == other)
    assert (id_of(first) == id_of(second)) == (one == other)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [path for key, item in value.items() for path in paths(item, (*at, key))]
    if isinstance(value, list):
        return [path for number, item in enumerate(value) for path in paths(item, (*at, number))]
    return [at]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    items = dict(value) if isinstance(value, dict) else list(value)
    items[path[0]] = changed(value[path[0]], path[1:], new)
    return items


LAST = ("messages", len(REQUEST["messages"]) - 1)
SHAPING = [path for path in paths(REQUEST) if path[:2] != LAST]
PARTS = [{"type": "text", "text": "What"}, {"type": "text", "text": "now?"}]


@given(st.sampled_from(SHAPING), st.one_of(st.text(max_size=8), st.integers(), st.floats(allow_nan=False)))
def test_whatever_shapes_an_answer_is_in_the_scope(path: tuple[Any, ...], new: Any) -> None:
    before = REQUEST
    for part in path:
        before = before[part]
    other = scope_of(**changed(REQUEST, path, new))
    assert (other == scope_of(**REQUEST)) == (repr(new) == repr(before))


@given(st.sampled_from(sorted(SHAPELESS)), st.text())
def test_what_does_not_shape_it_is_not(name: str, value: str) -> None:
    parameters = {**REQUEST["parameters"], name: value}
    assert scope_of(**{**REQUEST, "parameters": parameters}) == scope_of(**REQUEST)


def test_the_question_is_not_in_the_scope_and_the_order_of_keys_does_not_count() -> None:
    assert scope_of(**changed(REQUEST, (*LAST, "content"), "Else?")) == scope_of(**REQUEST)
    turned = {**REQUEST, "parameters": dict(reversed(REQUEST["parameters"].items()))}
    assert scope_of(**turned) == scope_of(**REQUEST)


@given(st.text().filter(lambda name: name not in ("role", "content")), st.one_of(st.text(), st.integers(), st.none()))
@example("name", "alice")
def test_whatever_else_the_last_message_says_is_in_the_scope(name: str, value: Any) -> None:
    said = scope_of(**_with(name, value))
    assert said != scope_of(**REQUEST)
    assert said != scope_of(**_with(name, [value]))


def _with(name: str, value: Any) -> dict[str, Any]:
    return {**REQUEST, "messages": [*REQUEST["messages"][:-1], {**REQUEST["messages"][-1], name: value}]}


def test_parts_of_the_last_message_are_told_apart_by_their_fields_and_bounds() -> None:
    marked = [{**PARTS[0], "cache_control": {"type": "ephemeral"}}, PARTS[1]]
    cut = [{"type": "text", "text": "a\nb"}, {"type": "text", "text": "c"}]
    cut_elsewhere = [{"type": "text", "text": "a"}, {"type": "text", "text": "b\nc"}]
    contents: list[Any] = ["What\nnow?", PARTS, marked, cut, cut_elsewhere]
    assert len({scope_of(**_with("content", content)) for content in contents}) == len(contents)


def test_more_messages_documents_or_parameters_are_another_scope() -> None:
    plain = scope_of(**REQUEST)
    assert scope_of(**{**REQUEST, "messages": REQUEST["messages"][1:]}) != plain
    assert scope_of(**{**REQUEST, "documents": {"handbook": "v1"}}) != plain
    assert scope_of(**{**REQUEST, "parameters": {**REQUEST["parameters"], "seed": 1}}) != plain


def test_only_a_users_last_text_is_a_question() -> None:
    parts = [{"type": "text", "text": "What"}, {"type": "text", "text": "now?"}]
    image = [*parts, {"type": "image_url", "image_url": {"url": "x"}}]
    assert question_of(REQUEST["messages"]) == "What now?"
    assert question_of([{"role": "user", "content": parts}]) == "What\nnow?"
    for messages in (
        [],
        [{"role": "user", "content": image}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
        [{"role": "user", "content": "x"}, {"role": "tool", "content": "y", "tool_call_id": "1"}],
    ):
        assert question_of(messages) is None
