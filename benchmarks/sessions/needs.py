"""What a message needs of the contents before it: names, numbers and paths that its calls pass on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from benchmarks.sessions.session import Message

LITERAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:@-]*[A-Za-z0-9_]")


def needs(message: Message) -> list[str]:
    """Literals of a message's calls: words with a digit, a dot, a dash or the like in them."""
    found: dict[str, None] = {}
    for call in message.get("tool_calls") or ():
        arguments = call["function"].get("arguments") or "{}"
        try:
            values = list(_texts(json.loads(arguments)))
        except ValueError:
            values = [arguments]
        for value in values:
            for word in LITERAL.findall(value):
                if len(word) > 3 and re.search(r"[\d_./:@-]", word):
                    found[word] = None
    return list(found)


def holds(text: str, word: str) -> bool:
    """The word stands in the text by itself."""
    at = text.find(word)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(word) : at + len(word) + 1]
        if not before.isalnum() and not after.isalnum():
            return True
        at = text.find(word, at + 1)
    return False


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)
