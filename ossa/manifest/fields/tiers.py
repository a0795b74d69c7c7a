"""A model's name to the tier it belongs to. A guess: settings decide what a tier runs on."""

from __future__ import annotations

import re
from typing import get_args

from ossa.contracts.agent_spec import Tier

TIERS: tuple[str, ...] = get_args(Tier)

_WORDS: tuple[tuple[Tier, str], ...] = (
    # What a model is made for says more than its size, and `gpt-5-mini` is mini before it is gpt-5.
    ("specialized", r"embed(?:ding)?s?|codex|codestral|devstral|coder|codellama|starcoder"),
    ("specialized", r"whisper|tts|dall-e|vision|ocr|rerank(?:er)?|guard|moderation|med(?:gemma|palm)?|sql(?:coder)?"),
    ("lightweight", r"mini|nano|micro|tiny|small|lite|flash|haiku|instant|turbo-instruct|ministral|smol\w*|phi|gemma"),
    ("lightweight", r"gpt-3(?:\.5)?|gpt-35|claude-2|claude-instant|[0-8](?:\.\d+)?b|\d+m"),
    ("premium", r"opus|ultra|pro|max|o1|o3|gpt-4\.5|gpt-5(?:\.\d+)?|grok-4|reasoner|r1|405b|behemoth"),
)
_TABLE = tuple((tier, re.compile(rf"(?:^|[^a-z0-9])(?:{words})(?:$|[^a-z0-9])")) for tier, words in _WORDS)
_MAX_NAME = 200


def guess_tier(model: str | None) -> Tier:
    """`standard` where the name says nothing.

    >>> guess_tier("anthropic.claude-3-5-haiku-20241022-v1:0"), guess_tier("gpt-4o-mini"), guess_tier("gpt-4o")
    ('lightweight', 'lightweight', 'standard')
    """
    name = (model or "").lower()[:_MAX_NAME]
    for tier, pattern in _TABLE:
        if pattern.search(name):
            return tier
    return "standard"
