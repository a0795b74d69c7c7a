"""All proposals together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from ossa.contracts.agent_spec import Tier
from ossa.contracts.fleet import PoolInfo
from ossa.contracts.routing import Example, TierInfo
from ossa.contracts.spending import Spent, TaskFacts
from ossa.contracts.value import Value
from ossa.cost.optimiser.idle import idle_proposals
from ossa.cost.optimiser.journal import batch_proposal, cache_proposal, compression_proposal
from ossa.cost.optimiser.proposal import Proposal
from ossa.cost.optimiser.tiers import tier_proposals


class Seen(Value):
    """What the journal and the fleet show. `days`: that the examples are from."""

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
    found = [
        *tier_proposals(seen.examples, seen.tiers, days=seen.days),
        cache_proposal(seen.facts),
        compression_proposal(seen.facts, input_usd_per_token=_input_price(seen.facts, seen.tiers)),
        batch_proposal(seen.facts),
        *idle_proposals(seen.spent, seen.pools, today=seen.today, agent_month_usd=seen.agent_month_usd),
    ]
    known = [one for one in found if one is not None]
    return sorted(known, key=lambda one: (one.saving_usd_month is None, -(one.saving_usd_month or 0.0), one.id))


def _input_price(facts: Sequence[TaskFacts], tiers: Mapping[Tier, TierInfo]) -> float | None:
    """USD of a prompt token, as the tiers were used; None where a used tier has no price."""
    prices = {name: info.input_usd_per_mtok for name, info in tiers.items()}
    used = [(one.prompt_tokens, prices.get(one.tier)) for one in facts if one.prompt_tokens]  # type: ignore[call-overload]
    total = sum(tokens for tokens, _ in used)
    if not total or any(price is None for _, price in used):
        return None
    return sum(tokens * (price or 0.0) for tokens, price in used) / total / 1e6
