"""A cheaper tier for a manifest: where its answers are as good, or where nobody knows yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ossa.contracts.agent_spec import Tier
from ossa.contracts.routing import Example, TierInfo
from ossa.cost.optimiser.intervals import share_difference
from ossa.cost.optimiser.proposal import Proposal
from ossa.cost.report import MONTH_DAYS

MARGIN = 0.05
"""By so much of all answers a cheaper tier may be worse at the far end of the interval."""

FEWEST = 30
"""Tasks of a tier, below which nothing is concluded."""


def tier_proposals(examples: Sequence[Example], tiers: Mapping[Tier, TierInfo], *, days: float) -> list[Proposal]:
    """One for each manifest that has a cheaper tier, at most.

    An answer is as good as its rating; without one, 1 when the task succeeded. What a task costs at a tier: the mean
    cost there, else its mean tokens at the tier's prices. Where enough tasks were explored (sent there by chance),
    those alone are compared: routing gives the easier ones to cheaper tiers.
    """
    found: dict[str, list[Example]] = {}
    for example in examples:
        if example.manifest and example.tier is not None:
            found.setdefault(example.manifest, []).append(example)
    made = (_proposal(manifest, its, tiers, days) for manifest, its in sorted(found.items()))
    return [one for one in made if one is not None]


def _proposal(
    manifest: str, examples: Sequence[Example], tiers: Mapping[Tier, TierInfo], days: float
) -> Proposal | None:
    by_tier: dict[Tier, list[Example]] = {}
    for example in examples:
        if example.tier is not None:
            by_tier.setdefault(example.tier, []).append(example)
    found = [
        proposal
        for now, its in by_tier.items()
        if len(its) >= FEWEST
        for tier, info in tiers.items()
        if (proposal := _cheaper(manifest, now, its, tier, info, by_tier.get(tier, []), days)) is not None
    ]
    return max(found, key=_worth, default=None)


def _cheaper(
    manifest: str,
    now: Tier,
    its: Sequence[Example],
    tier: Tier,
    info: TierInfo,
    others: Sequence[Example],
    days: float,
) -> Proposal | None:
    """None where the tier is not cheaper, or known to be worse."""
    by_chance = [one for one in others if one.explored]
    others = by_chance if len(by_chance) >= FEWEST else others
    gain = _mean_cost(its) - (_mean_cost(others) if len(others) >= FEWEST else _cost_at(info, its))
    if tier == now or gain <= 0:
        return None
    return _judged(manifest, now, its, tier, others, gain * len(its) / days * MONTH_DAYS)


def _judged(
    manifest: str, now: Tier, its: Sequence[Example], tier: Tier, others: Sequence[Example], saving: float
) -> Proposal | None:
    """None where the cheaper tier is known to be worse."""
    low, high = share_difference(_quality(others), len(others), _quality(its), len(its))
    evidence = {
        "tasks": {now: len(its), tier: len(others)},
        "explored": sum(example.explored for example in others),
        "rated": {now: _rated(its), tier: _rated(others)},
        "quality": {now: _quality(its) / len(its), tier: _quality(others) / len(others) if others else None},
        "quality_difference_low": low,
        "quality_difference_high": high,
        "margin": MARGIN,
    }
    if len(others) >= FEWEST and low >= -MARGIN:
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
        f"{FEWEST} tasks and more have an outcome at {tier}",
    )


def _worth(proposal: Proposal) -> tuple[bool, float]:
    return not proposal.experiment, proposal.saving_usd_month or 0.0


def _quality(examples: Sequence[Example]) -> float:
    return sum(float(one.succeeded) if one.rating is None else one.rating for one in examples)


def _rated(examples: Sequence[Example]) -> int:
    return sum(example.rating is not None for example in examples)


def _mean_cost(examples: Sequence[Example]) -> float:
    return sum(example.cost_usd for example in examples) / len(examples)


def _cost_at(info: TierInfo, examples: Sequence[Example]) -> float:
    return sum(info.cost_usd(one.prompt_tokens, one.completion_tokens) for one in examples) / len(examples)
