"""Proposals that make the fleet cheaper, each with its saving and its evidence, and what approved ones brought.

Pure: aggregates in, proposals out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Any, Literal

from pydantic import Field

from ossa.contracts.agent_spec import Tier
from ossa.contracts.budgets import Approval, Spent, TaskFacts
from ossa.contracts.fleet import PoolInfo
from ossa.contracts.routing import Example, TierInfo
from ossa.contracts.value import Value
from ossa.cost.report import MONTH_DAYS, SHORTEST_DAYS

ProposalKind = Literal["tier", "cache", "compression", "batch", "idle"]


class Proposal(Value):
    """One change. `experiment`: there is no evidence yet that it does no harm; the proposal is to find out.

    `change` is what the runtime does itself once the proposal is approved: {"manifest", "tier"} or {"pool", "agents"}.
    It is empty where `apply` tells a person what to set.
    """

    id: str = Field(description="the same as long as the same is proposed")
    kind: ProposalKind
    subject: str = Field(description="the manifest or pool it is about; * for the fleet")
    title: str
    saving_usd_month: float | None = Field(description="expected; null where no price is known")
    experiment: bool = False
    evidence: dict[str, Any] = Field(default_factory=dict)
    apply: str
    change: dict[str, Any] = Field(default_factory=dict)


class Seen(Value):
    """The figures of the journal and the fleet. The examples are from `days` days."""

    examples: tuple[Example, ...] = ()
    facts: tuple[TaskFacts, ...] = ()
    spent: tuple[Spent, ...] = ()
    pools: tuple[PoolInfo, ...] = ()
    tiers: dict[Tier, TierInfo] = {}
    days: float
    today: date
    agent_month_usd: float | None = None


def propose(seen: Seen) -> list[Proposal]:
    """The largest saving first; those without a figure last."""
    proposals = [
        *tier_proposals(seen.examples, seen.tiers, days=seen.days),
        cache_proposal(seen.facts),
        compression_proposal(seen.facts, input_usd_per_token=_input_price(seen.facts, seen.tiers)),
        batch_proposal(seen.facts),
        *idle_proposals(seen.spent, seen.pools, today=seen.today, agent_month_usd=seen.agent_month_usd),
    ]
    given = [proposal for proposal in proposals if proposal is not None]
    return sorted(
        given,
        key=lambda proposal: (proposal.saving_usd_month is None, -(proposal.saving_usd_month or 0.0), proposal.id),
    )


def _input_price(facts: Sequence[TaskFacts], tiers: Mapping[Tier, TierInfo]) -> float | None:
    """USD of a prompt token, as the tiers were used; None where a used tier has no price."""
    prices = {name: info.input_usd_per_mtok for name, info in tiers.items()}
    used = [(task.prompt_tokens, prices.get(task.tier)) for task in facts if task.prompt_tokens]  # type: ignore[call-overload]
    total = sum(tokens for tokens, _ in used)
    if not total or any(price is None for _, price in used):
        return None
    return sum(tokens * (price or 0.0) for tokens, price in used) / total / 1e6


MARGIN = 0.05
"""A cheaper tier may be worse by this share of all answers at the far end of the interval."""

FEWEST_OF_TIER = 30
"""Tasks of a tier, below which nothing is concluded."""


def tier_proposals(examples: Sequence[Example], tiers: Mapping[Tier, TierInfo], *, days: float) -> list[Proposal]:
    """One for each manifest that has a cheaper tier, at most.

    An answer is as good as its rating; without one, 1 when the task succeeded. What a task costs at a tier: the mean
    cost there, else its mean tokens at the tier's prices. Where enough tasks were explored (sent there by chance),
    those alone are compared: routing gives the easier ones to cheaper tiers.
    """
    by_manifest: dict[str, dict[Tier, list[Example]]] = {}
    for example in examples:
        if example.manifest and example.tier is not None:
            by_manifest.setdefault(example.manifest, {}).setdefault(example.tier, []).append(example)
    proposals = (_proposal(manifest, by_tier, tiers, days) for manifest, by_tier in sorted(by_manifest.items()))
    return [proposal for proposal in proposals if proposal is not None]


def _proposal(
    manifest: str, by_tier: Mapping[Tier, Sequence[Example]], tiers: Mapping[Tier, TierInfo], days: float
) -> Proposal | None:
    proposals = [
        proposal
        for now, ours in by_tier.items()
        if len(ours) >= FEWEST_OF_TIER
        for tier, info in tiers.items()
        if (proposal := _cheaper(manifest, now, ours, tier, info, by_tier.get(tier, []), days)) is not None
    ]
    return max(proposals, key=_worth, default=None)


def _cheaper(
    manifest: str,
    now: Tier,
    ours: Sequence[Example],
    tier: Tier,
    info: TierInfo,
    others: Sequence[Example],
    days: float,
) -> Proposal | None:
    """None where the tier is not cheaper, or known to be worse."""
    by_chance = [example for example in others if example.explored]
    others = by_chance if len(by_chance) >= FEWEST_OF_TIER else others
    gain = _mean_cost(ours) - (_mean_cost(others) if len(others) >= FEWEST_OF_TIER else _cost_at(info, ours))
    if tier == now or gain <= 0:
        return None
    return _judged(manifest, now, ours, tier, others, gain * len(ours) / days * MONTH_DAYS)


def _judged(
    manifest: str, now: Tier, ours: Sequence[Example], tier: Tier, others: Sequence[Example], saving: float
) -> Proposal | None:
    """None where the cheaper tier is known to be worse."""
    low, high = share_difference(_quality(others), len(others), _quality(ours), len(ours))
    evidence = {
        "tasks": {now: len(ours), tier: len(others)},
        "explored": sum(example.explored for example in others),
        "rated": {now: _rated(ours), tier: _rated(others)},
        "quality": {now: _quality(ours) / len(ours), tier: _quality(others) / len(others) if others else None},
        "quality_difference_low": low,
        "quality_difference_high": high,
        "margin": MARGIN,
    }
    if len(others) >= FEWEST_OF_TIER and low >= -MARGIN:
        return Proposal(
            id=f"tier:{manifest}:{tier}",
            kind="tier",
            subject=manifest,
            title=f"{manifest} at tier {tier} in place of {now}: its answers there are as good",
            saving_usd_month=saving,
            evidence=evidence,
            apply=f"the routing policy of everybody gets tiers.{manifest} = {tier}",
            change={"manifest": manifest, "tier": tier},
        )
    if high < 0:
        return None
    return Proposal(
        id=f"tier-experiment:{manifest}:{tier}",
        kind="tier",
        subject=manifest,
        title=f"Try {manifest} at tier {tier}: nobody knows yet whether {now} is needed",
        saving_usd_month=saving,
        experiment=True,
        evidence=evidence,
        apply='set "explore" (at most 0.1) or "cascade" in the routing policy, and look again when '
        f"{FEWEST_OF_TIER} tasks and more have an outcome at {tier}",
    )


def _worth(proposal: Proposal) -> tuple[bool, float]:
    return not proposal.experiment, proposal.saving_usd_month or 0.0


def _quality(examples: Sequence[Example]) -> float:
    return sum(float(example.succeeded) if example.rating is None else example.rating for example in examples)


def _rated(examples: Sequence[Example]) -> int:
    return sum(example.rating is not None for example in examples)


def _mean_cost(examples: Sequence[Example]) -> float:
    return sum(example.cost_usd for example in examples) / len(examples)


def _cost_at(info: TierInfo, examples: Sequence[Example]) -> float:
    return sum(info.cost_usd(example.prompt_tokens, example.completion_tokens) for example in examples) / len(examples)


FEWEST = 20
"""Tasks that show it, below which nothing is proposed."""

LONG_TOKENS = 400
"""Tokens of tool results in a task from which on shortening is worth a look; as `vortex.min_tokens`."""

BATCH_DISCOUNT = 0.5
"""Discount of providers for batches that may wait a day (OpenAI's and Anthropic's price lists)."""


def months_in(facts: Sequence[TaskFacts]) -> float:
    """The time between the first and the last of them, in months of 30 days; an hour at least."""
    if not facts:
        return SHORTEST_DAYS / MONTH_DAYS
    seconds = (max(task.at for task in facts) - min(task.at for task in facts)).total_seconds()
    return max(SHORTEST_DAYS, seconds / 86_400) / MONTH_DAYS


def cache_proposal(facts: Sequence[TaskFacts]) -> Proposal | None:
    """Identical questions. Answers that tools had a part in are left out: the cache does not keep those."""
    asked: set[str] = set()
    again: list[TaskFacts] = []
    for task in sorted(facts, key=lambda task: task.at):
        if task.succeeded and not task.tool_tokens:
            if task.question in asked and not task.given_earlier:
                again.append(task)
            asked.add(task.question)
    saving = sum(task.cost_usd for task in again)
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
    long = [task for task in facts if task.tool_tokens >= LONG_TOKENS]
    saves = {task.manifest for task in long if task.saved_tokens}
    off = [task for task in long if not task.saved_tokens and (task.vortex is False or task.manifest not in saves)]
    if len(off) < FEWEST:
        return None
    shortened = [task for task in long if task.saved_tokens]
    tokens = sum(task.tool_tokens for task in off)
    share = sum(task.saved_tokens for task in shortened) / max(1, sum(task.tool_tokens for task in shortened))
    known = len(shortened) >= FEWEST and input_usd_per_token is not None
    return Proposal(
        id="compression",
        kind="compression",
        subject="*",
        title=f"{len(off) / len(facts):.0%} of the newest tasks send long results of tools whole",
        saving_usd_month=tokens * share * (input_usd_per_token or 0.0) / months_in(facts) if known else None,
        experiment=not known,
        evidence={
            "tasks": len(facts),
            "not_shortened": len(off),
            "tool_tokens": tokens,
            "share_of_prompt_tokens": tokens / max(1, sum(task.prompt_tokens for task in facts)),
            "saved_share_elsewhere": share if shortened else None,
            "manifests": sorted({task.manifest for task in off}),
        },
        apply="OSSA_VORTEX__ENABLED=true; drop `ossa.io/vortex: off` in manifests, `x-ossa-vortex: off` in requests",
    )


def batch_proposal(facts: Sequence[TaskFacts]) -> Proposal | None:
    """Asynchronous tasks of one model call, at batch price."""
    waiting = [task for task in facts if task.asynchronous and task.model_calls == 1 and task.cost_usd > 0]
    if len(waiting) < FEWEST:
        return None
    return Proposal(
        id="batch",
        kind="batch",
        subject="*",
        title=f"{len(waiting) / len(facts):.0%} of the newest tasks could wait for a batch",
        saving_usd_month=sum(task.cost_usd for task in waiting) * BATCH_DISCOUNT / months_in(facts),
        evidence={"tasks": len(facts), "asynchronous": len(waiting), "discount": BATCH_DISCOUNT},
        apply="send these tasks to a manifest whose tier is an endpoint that batches; answers may take a day",
    )


IDLE_DAYS = 3
"""Whole days without a task."""

KEPT = 1
"""Agents that stay, so that the pool still answers."""


def idle_proposals(
    spent: Sequence[Spent], pools: Sequence[PoolInfo], *, today: date, agent_month_usd: float | None
) -> list[Proposal]:
    """Only when others worked in those days: a fleet that nobody uses is nobody's saving.

    Args:
        agent_month_usd: of the machine under one agent; None: not known.
    """
    since = today - timedelta(days=IDLE_DAYS)
    known_before = any(row.day < since and row.tasks for row in spent)
    used = {row.pool for row in spent if row.day >= since and row.tasks}
    if not used or not known_before:
        return []
    return [
        Proposal(
            id=f"idle:{pool.name}:{since.isoformat()}",
            kind="idle",
            subject=pool.name,
            title=f"{pool.ready} agents of pool {pool.name} had no task for {IDLE_DAYS} days",
            saving_usd_month=None if agent_month_usd is None else (pool.ready - KEPT) * agent_month_usd,
            evidence={"agents": pool.ready, "tasks": 0, "since": since.isoformat()},
            apply=f"the pool is scaled to {KEPT}",
            change={"pool": pool.name, "agents": KEPT},
        )
        for pool in pools
        if pool.ready > KEPT and pool.desired > KEPT and pool.name not in used
    ]


DAYS = 14
"""Whole days looked at on each side; the day of the approval is on neither."""


class Measured(Value):
    """Cost a task of the proposal's manifest in USD. The difference is after minus before; null with fewer than two
    tasks on a side. Below 0 at its high end: it is cheaper."""

    approval: Approval
    tasks_before: int
    tasks_after: int
    before_usd: float | None
    after_usd: float | None
    difference_low_usd: float | None = Field(description="of the interval at 95%")
    difference_high_usd: float | None


def measure(approval: Approval, spent: Sequence[Spent]) -> Measured:
    """Measures an approved proposal. `spent` has the days around the approval, of all manifests."""
    day = approval.at.astimezone(UTC).date()
    rows = [row for row in spent if approval.kind != "tier" or row.manifest == approval.subject]
    before = [row for row in rows if day - timedelta(days=DAYS) <= row.day < day]
    after = [row for row in rows if day < row.day <= day + timedelta(days=DAYS)]
    difference = mean_difference(*_sums(after), *_sums(before))
    return Measured(
        approval=approval,
        tasks_before=_sums(before)[2],
        tasks_after=_sums(after)[2],
        before_usd=_mean(before),
        after_usd=_mean(after),
        difference_low_usd=difference[0] if difference else None,
        difference_high_usd=difference[1] if difference else None,
    )


def _sums(spent: Sequence[Spent]) -> tuple[float, float, int]:
    return (
        sum(row.cost_usd for row in spent),
        sum(row.cost_squared for row in spent),
        sum(row.tasks for row in spent),
    )


def _mean(spent: Sequence[Spent]) -> float | None:
    cost, _, tasks = _sums(spent)
    return cost / tasks if tasks else None


Z = 1.959964
"""Quantile .975 of the normal distribution: all intervals are at 95%."""


def share_interval(successes: float, n: int) -> tuple[float, float]:
    """Returns the interval of a share, by Wilson (1927); (0, 1) for no values.

    `successes` may be a sum of ratings in [0, 1], whose variance is never larger than a share's.
    """
    if n == 0:
        return 0.0, 1.0
    share, z2 = successes / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def share_difference(first: float, n_first: int, second: float, n_second: int) -> tuple[float, float]:
    """Returns the interval of share 1 minus share 2, by Newcombe's hybrid score (1998, method 10)."""
    if not n_first or not n_second:
        return -1.0, 1.0
    p1, p2 = first / n_first, second / n_second
    low1, high1 = share_interval(first, n_first)
    low2, high2 = share_interval(second, n_second)
    low = p1 - p2 - math.hypot(p1 - low1, high2 - p2)
    high = p1 - p2 + math.hypot(high1 - p1, p2 - low2)
    return low, high


def mean_difference(
    sum1: float, squares1: float, n1: int, sum2: float, squares2: float, n2: int
) -> tuple[float, float] | None:
    """Returns the interval of mean 1 minus mean 2, by Welch with the normal quantile; None below two values a side."""
    if n1 < 2 or n2 < 2:
        return None
    mean1, mean2 = sum1 / n1, sum2 / n2
    variance1 = max(0.0, (squares1 - n1 * mean1**2) / (n1 - 1))
    variance2 = max(0.0, (squares2 - n2 * mean2**2) / (n2 - 1))
    half = Z * math.sqrt(variance1 / n1 + variance2 / n2)
    return mean1 - mean2 - half, mean1 - mean2 + half
