"""Counts over a text."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from ossa.agent.tools import tool

_WORD = re.compile(r"\w+(?:['’-]\w+)*")
_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)")
_TOP = 10


@tool(effects="none")
async def text_stats(text: str) -> dict[str, Any]:
    """Count characters, words, sentences, lines and paragraphs of a text, and name its most frequent words."""
    words = _WORD.findall(text)
    counts = Counter(word.lower() for word in words)
    return {
        "characters": len(text),
        "words": len(words),
        "unique_words": len(counts),
        "sentences": max(len(_SENTENCE_END.findall(text)), 1 if words else 0),
        "lines": len(text.splitlines()),
        "paragraphs": sum(1 for part in re.split(r"\n\s*\n", text) if part.strip()),
        "most_frequent": dict(counts.most_common(_TOP)),
    }
