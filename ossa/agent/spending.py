"""Reserves the cost of a model call, for turns that have a budget."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ossa.contracts.agent_spec import ModelPreference
from ossa.contracts.configuration import Endpoint
from ossa.contracts.errors import OssaError
from ossa.contracts.turn import CostRange, TurnCall, TurnSink
from ossa.contracts.value import Value

USUAL_ANSWER_TOKENS = 8192
"""The most an answer may have where neither the caller nor the manifest nor a limit says."""

LONGEST_ANSWER_TOKENS = 32_768
"""The most that is reserved for an answer, whatever was asked for, of a model whose context is not known."""

USEFUL_ANSWER_TOKENS = 256
"""A shorter cap than this (or than the one asked for) is no use: rather refuse the call."""


class CallReservation(Value):
    """A call's grant. `cap`: the most completion tokens; `reservation`: empty if no budget applies."""

    cap: int | None
    reservation: str = ""


class CallPrice(Value):
    """The most a call can cost: `prompt_usd`, and `answer_usd` for each of at most `cap` completion tokens."""

    prompt_usd: float
    answer_usd: float
    cap: int

    @property
    def cost_range(self) -> CostRange:
        useful = min(self.cap, USEFUL_ANSWER_TOKENS)
        return CostRange(
            least_usd=self.prompt_usd + useful * self.answer_usd, most_usd=self.prompt_usd + self.cap * self.answer_usd
        )

    def tokens_for(self, usd: float) -> int:
        """Completion tokens that so much money buys after the prompt; at most the cap."""
        if not self.answer_usd:
            return self.cap
        # A millionth of a token more: what was granted as the whole is not to lose one to rounding.
        return max(1, min(self.cap, int((usd - self.prompt_usd) / self.answer_usd + 1e-6)))


def call_price(
    endpoint: Endpoint, *, prompt: int, most_prompt: int, cap: int | None, asked: int | None
) -> CallPrice | None:
    """Returns the most a call can cost, or None if the model is free.

    Args:
        prompt: tokens of the prompt, estimated.
        most_prompt: tokens that the prompt cannot exceed; all of them may be written to the provider's prompt cache.
        cap: the most completion tokens by the turn's limits.
        asked: by the caller or the manifest. A wish takes no more of a budget than the model can answer.
    """
    input_usd = (endpoint.input_usd_per_mtok or 0.0) / 1e6
    output_usd = (endpoint.output_usd_per_mtok or 0.0) / 1e6
    if not input_usd and not output_usd:
        return None
    written = endpoint.prompt_cache.write if endpoint.prompt_cache is not None else 1.0
    known = [tokens for tokens in (cap, asked) if tokens is not None]
    return CallPrice(
        prompt_usd=most_prompt * input_usd * written,
        answer_usd=output_usd,
        cap=min([*(known or [USUAL_ANSWER_TOKENS]), _longest_answer(endpoint, prompt)]),
    )


def _longest_answer(endpoint: Endpoint, prompt: int) -> int:
    """Completion tokens for which there is room in the model's context."""
    if endpoint.context_tokens is None:
        return LONGEST_ANSWER_TOKENS
    return max(1, endpoint.context_tokens - prompt)


def asked_cap(preference: ModelPreference, parameters: dict[str, Any]) -> int | None:
    """The longest answer that was asked for; the request's word before the manifest's."""
    asked = [parameters[key] for key in ("max_completion_tokens", "max_tokens") if isinstance(parameters.get(key), int)]
    return max(asked) if asked else preference.max_tokens


async def reserve(sink: TurnSink, price: CallPrice | None, *, cap: int | None) -> CallReservation:
    """Have the owner reserve the call's cost. Raises `BudgetExceeded`, and what else the owner met."""
    if price is None:
        return CallReservation(cap=cap)
    answer = await sink.call(TurnCall(reserve=price.cost_range))
    if not answer.reservation:
        return CallReservation(cap=cap)
    return CallReservation(cap=price.tokens_for(answer.granted_usd), reservation=answer.reservation)


async def refund(sink: TurnSink, reserved: CallReservation) -> None:
    """Release the reservation of a failed call that surely cost nothing. The owner settles any other as in doubt."""
    if reserved.reservation:
        with suppress(OssaError):  # the owner then treats this one as in doubt too
            await sink.call(TurnCall(unused=reserved.reservation))
