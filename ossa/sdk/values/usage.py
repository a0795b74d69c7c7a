"""Tokens and cost of one answer."""

from __future__ import annotations

from ossa.sdk.values.received import Received


class Usage(Received):
    """Sums over all model calls of a turn. `saved_tokens` of the prompts were not sent, for a shorter form was."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    saved_tokens: int = 0
    cost_usd: float = 0.0
    model_calls: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens
