"""Checks whether a cheaper model's answer holds, or the next dearer model must be asked. Pure and cheap."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ossa.contracts.task import Message

# A model that gives up says so at the beginning.
GAVE_UP = re.compile(
    r"(?i)^\W*(?:(?:i(?:'m|’m| am) )?(?:very |so )?sorry\W+|i apologi[sz]e\W+|unfortunately\W+|but\W+|however\W+)*"
    r"(?:i (?:do not|don't|don’t) (?:know|have (?:enough|access|the (?:information|ability)))"
    r"|i(?:'m|’m| am) (?:not sure|unable|not able)|i (?:cannot|can't|can’t) (?:answer|determine|help|provide|do)"
    r"|as an ai\b|unable to (?:answer|determine)|not enough information)"
)
LOOP_WORDS = 8
LOOP_TIMES = 4
"""How often eight words may be repeated before the model counts as looping."""

READ_CHARACTERS = 20_000
SCHEMA_DEPTH = 8
SCHEMA_ITEMS = 1_000
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}

_BOUNDS = ("max_tokens", "max_completion_tokens")


def rejection_reason(message: Message, finish_reason: str | None, parameters: Mapping[str, Any]) -> str:
    """Says in a few words what is wrong with an answer. Returns an empty string if it holds.

    Args:
        parameters: the request's, which state the answer's form and length.
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
        except (ValueError, KeyError, TypeError, RecursionError):
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
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "no JSON"
    if kind == "json_object":
        return "" if isinstance(document, dict) else "no JSON object"
    given = form.get("json_schema") if isinstance(form, dict) else None
    return "" if _fits(document, given.get("schema") if isinstance(given, dict) else None) else "not of the schema"


def _fits(value: Any, schema: Any, depth: int = 0) -> bool:
    """Checks types, `required`, `enum`, properties and items, a few levels deep.

    Everything else in a schema is ignored: the caller wrote it, and references and patterns can fetch addresses or
    take for ever.
    """
    if not isinstance(schema, dict) or depth > SCHEMA_DEPTH:
        return True
    if "enum" in schema and isinstance(schema["enum"], list) and value not in schema["enum"]:
        return False
    if not _is_a(value, schema.get("type")):
        return False
    if isinstance(value, dict):
        required, properties = schema.get("required"), schema.get("properties")
        if isinstance(required, list) and any(isinstance(name, str) and name not in value for name in required):
            return False
        schemas = properties.items() if isinstance(properties, dict) else ()
        return all(_fits(value[name], inner, depth + 1) for name, inner in schemas if name in value)
    if isinstance(value, list):
        return all(_fits(item, schema.get("items"), depth + 1) for item in value[:SCHEMA_ITEMS])
    return True


def _is_a(value: Any, kind: Any) -> bool:
    kinds = kind if isinstance(kind, list) else [kind]
    types = [TYPES[name] for name in kinds if isinstance(name, str) and name in TYPES]
    if not types or len(types) < len(kinds):
        return True
    if isinstance(value, bool):
        return any(bool in each for each in types)
    return any(isinstance(value, each) for each in types)


def _of_words(text: str) -> str:
    if GAVE_UP.match(text):
        return "gave up"
    words = text[:READ_CHARACTERS].split()
    runs = Counter(tuple(words[at : at + LOOP_WORDS]) for at in range(len(words) - LOOP_WORDS + 1))
    return "goes round in circles" if runs and max(runs.values()) >= LOOP_TIMES else ""
