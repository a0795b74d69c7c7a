"""Messages as clients replay them are brought into the form that endpoints take."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.contracts.errors import InvalidRequest
from ossa.gateway.api.request import read_messages

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        ({"role": "assistant", "content": None, "tool_calls": []}, {"role": "assistant", "content": ""}),
        ({"role": "assistant", "content": []}, {"role": "assistant", "content": ""}),
        ({"role": "assistant", "content": "ok", "tool_calls": None, "audio": None, "refusal": None},
         {"role": "assistant", "content": "ok"}),
        ({"role": "assistant", "tool_calls": [CALL]}, {"role": "assistant", "content": None, "tool_calls": [CALL]}),
        ({"role": "tool", "tool_call_id": "c", "content": None}, {"role": "tool", "tool_call_id": "c", "content": ""}),
        ({"role": "assistant", "content": "4", "reasoning_content": "2+2"},
         {"role": "assistant", "content": "4", "reasoning_content": "2+2"}),
    ],
)  # fmt: skip
def test_empty_and_null_fields_are_brought_into_form(given: dict[str, Any], taken: dict[str, Any]) -> None:
    kept = dict(given)
    assert read_messages([given], at_most=5) == [taken]
    assert given == kept, "the caller's object stays as it was"


@pytest.mark.parametrize("message", [{"role": "user", "content": None}, {"role": "user"}, {"role": "system"}])
def test_who_asks_has_to_say_something(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"messages\.0\.content"):
        read_messages([message], at_most=5)
