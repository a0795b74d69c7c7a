"""Counting tokens without a network: `bpe-openai` carries OpenAI's vocabularies.

| model | counted with | exact |
|---|---|---|
| gpt-4o, gpt-4.1, gpt-5, o1, o3, o4 and their kin | o200k_base | yes |
| gpt-4, gpt-4-turbo, gpt-3.5, text-embedding-3 | cl100k_base | yes |
| any other | o200k_base | an estimate: Anthropic's, Mistral's and Qwen's gave 1 to 5% more on prose |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from bpe_openai import get_encoding

SLICE_CHARS = 200_000
"""The tokenizer refuses a million characters at once."""

_CL100K = re.compile(r"^(?:[\w-]+/)?(?:gpt-4(?:$|-(?!o|1))|gpt-3\.5|gpt-35|text-embedding)")


class TokenCounter:
    """Tokens of texts in one vocabulary. Cheap to call; the vocabulary is loaded once a process."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        self._encode: Callable[[str], Sequence[int]] = get_encoding(encoding).encode_ordinary

    def count(self, text: str) -> int:
        if len(text) <= SLICE_CHARS:
            return len(self._encode(text))
        return sum(len(self._encode(text[at : at + SLICE_CHARS])) for at in range(0, len(text), SLICE_CHARS))


def counter_for(model: str = "") -> TokenCounter:
    """The counter of a model's vocabulary, or the nearest there is (see the table above)."""
    return _counter("cl100k_base" if _CL100K.match(model) else "o200k_base")


@lru_cache(maxsize=4)
def _counter(encoding: str) -> TokenCounter:
    return TokenCounter(encoding)
