"""What the newest tasks show: questions asked twice, tool results sent whole, work that could wait."""

from __future__ import annotations

from collections.abc import Sequence

from ossa.contracts.spending import TaskFacts
from ossa.cost.optimiser.proposal import Proposal
from ossa.cost.report import MONTH_DAYS, SHORTEST_DAYS

FEWEST = 20
"""Tasks that show it, below which nothing is proposed."""

LONG_TOKENS = 400
"""Of tool results in a task, from which on shortening is worth a look; as `vortex.min_tokens`."""

BATCH_DISCOUNT = 0.5
"""What providers take off for batches that may wait a day (OpenAI's and Anthropic's price lists)."""


def months_in(facts: Sequence[TaskFacts]) -> float:
    """The time between the first and the last of them, in months of 30 days; an hour at least."""
    if not facts:
        return SHORTEST_DAYS / MONTH_DAYS
    seconds = (max(one.at for one in facts) - min(one.at for one in facts)).total_seconds()
    return max(SHORTEST_DAYS, seconds / 86_400) / MONTH_DAYS


def cache_proposal(facts: Sequence[TaskFacts]) -> Proposal | None:
    """Identical questions. Answers that tools had a part in are left out: the cache does not keep those."""
    asked: set[str] = set()
    again: list[TaskFacts] = []
    for one in sorted(facts, key=lambda one: one.at):
        if one.succeeded and not one.tool_tokens:
            if one.question in asked and not one.given_earlier:
                again.append(one)
            asked.add(one.question)
    saving = sum(one.cost_usd for one in again)
    if len(again) < FEWEST or saving <= 0:
        return None
    return Proposal(
        id="cache",
        kind="cache",
        subject="*",
        title=f"{len(again) / len(facts):.0%} of the newest tasks ask what was asked before",
        saving_usd_month=saving / months_in(facts),
        evidence={"tasks": len(facts), "asked_before": len(again), "share": len(again) / len(facts)},
        apply="OSSA_ANSWERS__ENABLED=true and OSSA_ANSWERS__TENANTS='[\"" + again[0].tenant + "\"]'; "
        "OSSA_ANSWERS__THRESHOLD=1 for the same question alone",
    )


def compression_proposal(facts: Sequence[TaskFacts], *, input_usd_per_token: float | None) -> Proposal | None:
    """Long results of tools in tasks whose requests said `x-ossa-vortex: off`, or whose manifest never saves a token.

    The saving is what other tasks saved of theirs; without such tasks it is an experiment.
    """
    long = [one for one in facts if one.tool_tokens >= LONG_TOKENS]
    saves = {one.manifest for one in long if one.saved_tokens}
    off = [one for one in long if not one.saved_tokens and (one.vortex is False or one.manifest not in saves)]
    if len(off) < FEWEST:
        return None
    shortened = [one for one in long if one.saved_tokens]
    tokens = sum(one.tool_tokens for one in off)
    share = sum(one.saved_tokens for one in shortened) / max(1, sum(one.tool_tokens for one in shortened))
    known = len(shortened) >= FEWEST and input_usd_per_token is not None
    return Proposal(
        id="compression",
        kind="compression",
        subject="*",
        title=f"{len(off) / len(facts):.0%} of the newest tasks send long results of tools whole",
        saving_usd_month=tokens * share * input_usd_per_token / months_in(facts)
        if known and input_usd_per_token is not None
        else None,
        experiment=not known,
        evidence={
            "tasks": len(facts),
            "not_shortened": len(off),
            "tool_tokens": tokens,
            "share_of_prompt_tokens": tokens / max(1, sum(one.prompt_tokens for one in facts)),
            "saved_share_elsewhere": share if shortened else None,
            "manifests": sorted({one.manifest for one in off}),
        },
        apply="OSSA_VORTEX__ENABLED=true; drop `ossa.io/vortex: off` in manifests, `x-ossa-vortex: off` in requests",
    )


def batch_proposal(facts: Sequence[TaskFacts]) -> Proposal | None:
    """Asynchronous tasks of one model call, at batch price."""
    waiting = [one for one in facts if one.asynchronous and one.model_calls == 1 and one.cost_usd > 0]
    if len(waiting) < FEWEST:
        return None
    return Proposal(
        id="batch",
        kind="batch",
        subject="*",
        title=f"{len(waiting) / len(facts):.0%} of the newest tasks could wait for a batch",
        saving_usd_month=sum(one.cost_usd for one in waiting) * BATCH_DISCOUNT / months_in(facts),
        evidence={"tasks": len(facts), "asynchronous": len(waiting), "discount": BATCH_DISCOUNT},
        apply="send these tasks to a manifest whose tier is an endpoint that batches; answers may take a day",
    )
