from __future__ import annotations

from typing import Any

import pytest

from ossa.contracts.model import ModelReply, ModelRequest
from ossa.testing.models.client import ScriptedModel
from ossa.testing.models.script import pieces, plan


def talk(text: Any, *results: str) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": "s"},
        {"role": "user", "content": text},
        *({"role": "tool", "content": result, "tool_call_id": "x"} for result in results),
    ]


def test_without_markers_the_last_user_text_is_echoed() -> None:
    assert plan(talk("hi")).text == "echo: hi"
    assert plan(talk([{"type": "text", "text": "hi"}, {"type": "image_url"}])).text == "echo: hi"


def test_tools_are_called_one_after_the_other() -> None:
    text = 'go [[tool:a {"x": [[1]]}]] [[tool:b]]'
    assert plan(talk(text)).calls == [("a", '{"x": [[1]]}')]
    assert plan(talk(text, "1")).calls == [("b", "{}")]
    done = plan(talk(text, "1", "2"))
    assert done.calls == []
    assert done.text == "echo: go [1; 2]"
    assert done.finish_reason == "stop"


def test_joined_tools_are_called_in_one_message() -> None:
    text = "[[tool:a]]+[[tool:b]] [[tool:c]]"
    assert [name for name, _ in plan(talk(text)).calls] == ["a", "b"]
    assert [name for name, _ in plan(talk(text, "1", "2")).calls] == ["c"]


def test_arguments_that_are_no_json_are_sent_as_written() -> None:
    assert plan(talk("[[tool:a {oops]]")).calls == [("a", "{oops")]


def test_a_marker_without_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not end"):
        plan(talk("[[tool:a {}"))


def test_the_other_markers_are_read() -> None:
    answer = plan(talk("[[delay:0.5]][[fail:429:2:1.5]][[cut:3]][[drop:1]][[pace:2]][[say:yes]] no"))
    assert (answer.delay_s, answer.fail_status, answer.fail_times, answer.retry_after_s) == (0.5, 429, 2, 1.5)
    assert (answer.cut_after, answer.drop_times, answer.pace_s, answer.text) == (3, 1, 2, "yes")
    assert len(pieces(plan(talk("[[long:100]]")).text)) == 100


def test_pieces_put_together_are_the_text() -> None:
    for text in ("a b  c", " a", "a ", "", "\n"):
        assert "".join(pieces(text)) == text


async def test_the_scripted_client_streams_what_it_completes() -> None:
    model = ScriptedModel()
    request = ModelRequest(model="m", messages=talk("one two"))
    got = [piece async for piece in model.stream(request)]
    assert isinstance(got[-1], ModelReply)
    assert "".join(str(piece) for piece in got[:-1]) == got[-1].message["content"] == "echo: one two"
