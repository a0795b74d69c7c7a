"""Whether a cheaper model's answer holds, or the next dearer one is asked. Pure, and cheap beside a model call."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ossa.contracts.task import Message

# Who gives up says so at once.
GAVE_UP = re.compile(
    r"(?i)^\W*(?:(?:i(?:'m|’m| am) )?(?:very |so )?sorry\W+|i apologi[sz]e\W+|unfortunately\W+|but\W+|however\W+)*"
    r"(?:i (?:do not|don't|don’t) (?:know|have (?:enough|access|the (?:information|ability)))"
    r"|i(?:'m|’m| am) (?:not sure|unable|not able)|i (?:cannot|can't|can’t) (?:answer|determine|help|provide|do)"
    r"|as an ai\b|unable to (?:answer|determine)|not enough information)"
)
LOOP_WORDS = 8
LOOP_TIMES = 4
"""The same eight words so often: the model goes round in circles."""

_BOUNDS = ("max_tokens", "max_completion_tokens")


def why_it_fails(message: Message, finish_reason: str | None, parameters: Mapping[str, Any]) -> str:
    """What is wrong with an answer, in a few words; empty when it holds.

    Args:
        parameters: of the request: what form the answer was to have, and how long it may be.
    """
    if message.get("tool_calls"):
        return _of_calls(message["tool_calls"])
    content = message.get("content")
    text = content.strip() if isinstance(content, str) else ""
    if message.get("refusal"):
        return "refused"
    if not text:
        return "empty"
    if finish_reason == "length" and not any(parameters.get(name) for name in _BOUNDS):
        return "cut off"
    if _must_call(parameters.get("tool_choice")):
        return "no tool called"
    return _of_form(text, parameters.get("response_format")) or _of_words(text)


def _of_calls(calls: Any) -> str:
    for call in calls:
        try:
            arguments = json.loads(call["function"]["arguments"] or "{}")
        except (ValueError, KeyError, TypeError):
            return "arguments of a call are no JSON"
        if not isinstance(arguments, dict):
            return "arguments of a call are no object"
    return ""


def _must_call(tool_choice: object) -> bool:
    return tool_choice == "required" or isinstance(tool_choice, dict)


def _of_form(text: str, form: object) -> str:
    kind = form.get("type") if isinstance(form, dict) else None
    if kind not in ("json_object", "json_schema"):
        return ""
    try:
        found = json.loads(text)
    except ValueError:
        return "no JSON"
    if kind == "json_object":
        return "" if isinstance(found, dict) else "no JSON object"
    assert isinstance(form, dict)
    return "" if _valid(found, (form.get("json_schema") or {}).get("schema")) else "not of the schema"


def _valid(found: Any, schema: Any) -> bool:
    if not isinstance(schema, dict):
        return True
    # Imported on use: agents start without it.
    import jsonschema

    try:
        jsonschema.validate(found, schema)
    except jsonschema.ValidationError:
        return False
    except Exception:  # noqa: BLE001 - a schema that cannot be read is not the answer's fault
        return True
    return True


def _of_words(text: str) -> str:
    if GAVE_UP.match(text):
        return "gave up"
    words = text.split()
    runs = Counter(tuple(words[at : at + LOOP_WORDS]) for at in range(len(words) - LOOP_WORDS + 1))
    return "goes round in circles" if runs and max(runs.values()) >= LOOP_TIMES else ""
