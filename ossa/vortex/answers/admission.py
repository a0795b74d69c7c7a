"""Which answers may be kept. Pure."""

from __future__ import annotations

from ossa.contracts.answers import Answered, Asked, Refusal
from ossa.contracts.configuration import AnswerSettings


def refusal(asked: Asked, answered: Answered, settings: AnswerSettings) -> Refusal | None:
    """The first reason not to keep it; None when it may be kept."""
    message = answered.answer.message
    text = message.get("content")
    hot = answered.temperature is not None and answered.temperature > settings.max_temperature
    reasons: list[tuple[Refusal, bool]] = [
        ("not_opted_in", not settings.take(asked.tenant, asked.agent)),
        ("no_question", not asked.question.strip()),
        ("failed", answered.failed),
        ("tool_calls", bool(message.get("tool_calls") or message.get("function_call"))),
        ("effects", answered.tool_effects),
        ("incomplete", not answered.complete or answered.answer.finish_reason != "stop"),
        ("temperature", hot and not answered.asked_for),
        ("empty", not isinstance(text, str) or not text.strip()),
        ("too_long", isinstance(text, str) and len(text) > settings.max_answer_chars),
    ]
    return next((reason for reason, holds in reasons if holds), None)
