"""The cost optimiser at work: gathers what was seen, applies what is approved, measures what it brought."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from ossa.contracts.agent_spec import Tier
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import NotFound, NotReady, OssaError
from ossa.contracts.fleet import FleetPort, PoolInfo
from ossa.contracts.routing import EVERY_TENANT, RoutingPolicy, TierInfo
from ossa.contracts.spending import Approval
from ossa.contracts.stores import Stores
from ossa.cost.optimiser import Measured, Proposal, Seen, measure, propose
from ossa.cost.report import SHORTEST_DAYS

logger = logging.getLogger(__name__)

SEEN_DAYS = 30
EXAMPLES_MAX = 5_000
FACTS_MAX = 2_000
"""The newest tasks that are looked at closely: a bounded read, however long the journal is."""

AGAIN_AFTER = timedelta(days=30)
"""An approved proposal may come up again after it."""

LOOK_EVERY_S = 3600.0


class Optimiser:
    """One a replica; any of them may approve, and the same twice is once.

    Args:
        tiers: endpoints and prices.
    """

    def __init__(
        self,
        stores: Stores,
        fleet: FleetPort,
        settings: GatewaySettings,
        *,
        tiers: Mapping[Tier, TierInfo],
        operator_tenant: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._stores = stores
        self._fleet = fleet
        self._settings = settings
        self._tiers = tiers
        self._operator_tenant = operator_tenant
        self._now = now

    async def proposals(self) -> list[Proposal]:
        """Without those approved lately."""
        since = self._now() - AGAIN_AFTER
        known = {one.id for one in await self._stores.spending.approvals() if one.at > since}
        return [one for one in propose(await self._seen()) if one.id not in known]

    async def measured(self) -> list[Measured]:
        """Returns what approved proposals brought, newest first."""
        approvals = await self._stores.spending.approvals()
        if not approvals:
            return []
        first = min(one.at for one in approvals).astimezone(UTC).date() - timedelta(days=SEEN_DAYS)
        spent = await self._stores.spending.spending(since=first)
        return [measure(one, spent) for one in approvals]

    async def approve(self, proposal_id: str, *, by: str) -> Proposal:
        """Apply it, as far as the runtime can, and write it down. Raises `NotFound`, and what applying it raises."""
        found = next((one for one in await self.proposals() if one.id == proposal_id), None)
        if found is None:
            raise NotFound(f"There is no open proposal {proposal_id[:128]!r}.", param="proposal_id")
        await self._apply(found)
        approval = Approval(
            id=found.id,
            kind=found.kind,
            subject=found.subject,
            by=by,
            at=self._now(),
            proposal=found.model_dump(mode="json"),
        )
        await self._stores.spending.approve(approval)
        logger.info("proposal_approved", extra={"proposal": found.id, "approved_by": by})
        return found

    async def run_forever(self) -> None:
        """Approve what settings say, for ever."""
        while True:
            if self._settings.approve:
                await self.approve_by_policy()
            await asyncio.sleep(LOOK_EVERY_S)

    async def approve_by_policy(self) -> list[Proposal]:
        """Those of the kinds that settings name, with evidence, which the runtime can apply."""
        wanted = [
            one
            for one in await self.proposals()
            if one.kind in self._settings.approve and one.change and not one.experiment
        ]
        done = []
        for one in wanted:
            try:
                done.append(await self.approve(one.id, by="policy"))
            except OssaError as error:
                logger.warning("proposal_not_applied", extra={"proposal": one.id, "code": error.code})
        return done

    async def _apply(self, proposal: Proposal) -> None:
        change = proposal.change
        if "tier" in change:
            await self._set_tier(change["manifest"], change["tier"])
        elif "pool" in change:
            order = {"pool_type": change["pool"], "agent_count": change["agents"]}
            await self._fleet.submit("spawn-pool", order, tenant=self._operator_tenant)

    async def _set_tier(self, manifest: str, tier: Tier) -> None:
        """In everybody's policy. Tenants with a policy of their own keep it."""
        policies = await self._stores.routing.policies()
        policy = policies.get(EVERY_TENANT, RoutingPolicy())
        tiers = {**policy.tiers, manifest: tier}
        await self._stores.routing.save_policy(EVERY_TENANT, policy.model_copy(update={"tiers": tiers}))

    async def _seen(self) -> Seen:
        now = self._now()
        since = now - timedelta(days=SEEN_DAYS)
        examples = await self._stores.routing.examples(since=since, limit=EXAMPLES_MAX)
        oldest = min((one.at for one in examples), default=now)
        return Seen(
            examples=tuple(examples),
            facts=tuple(await self._stores.spending.newest(limit=FACTS_MAX)),
            spent=tuple(await self._stores.spending.spending(since=since.date())),
            pools=self._pools(),
            tiers=dict(self._tiers),
            days=max(SHORTEST_DAYS, (now - oldest).total_seconds() / 86_400),
            today=now.date(),
            agent_month_usd=self._settings.agent_month_usd,
        )

    def _pools(self) -> tuple[PoolInfo, ...]:
        try:
            return self._fleet.snapshot().pools
        except NotReady:
            return ()
