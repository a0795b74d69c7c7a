"""What work costs, and the optimiser that proposes and applies savings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from ossa.contracts.access import Scope
from ossa.contracts.agent_spec import Tier
from ossa.contracts.budgets import Approval
from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import NotFound, NotReady, OssaError
from ossa.contracts.fleet import AgentState, FleetPort, PoolInfo
from ossa.contracts.routing import EVERY_TENANT, RoutingPolicy, TierInfo
from ossa.contracts.stores import Stores
from ossa.cost.optimiser import Measured, Proposal, Seen, measure, propose
from ossa.cost.report import SHORTEST_DAYS, By, CostReport, report
from ossa.gateway.api.document import describe
from ossa.gateway.api.request import Admin, FleetWriter
from ossa.gateway.api.responses import json_response
from ossa.gateway.context import GatewayContext, context_of
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Extension
from ossa.routing.registry import LiveRouter


class ProposalList(BaseModel):
    """The largest saving first; `approved`: cost a task before and after, newest first."""

    data: list[Proposal]
    approved: list[Measured]


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


router = APIRouter(tags=["Cost"])

MOST_DAYS = 400


@router.get(
    "/api/v1/cost/report",
    **describe(
        "What tasks cost",
        "Ended tasks of the last UTC days, today included. The operator's admins see all tenants, others their own.",
        scope=Scope.ADMIN,
        answer=CostReport,
    ),
)
async def cost_report(
    request: Request, caller: Admin, by: By = "tenant", days: Annotated[int, Query(ge=1, le=MOST_DAYS)] = 7
) -> Response:
    context = context_of(request)
    everything = caller.tenant == context.core.operator_tenant
    now = datetime.now(UTC)
    since = (now - timedelta(days=days - 1)).date()
    spent = await context.core.stores.spending.spending(since=since, tenant=None if everything else caller.tenant)
    agents = live_agents(context) if everything else None
    return json_response(report(spent, by=by, since=since, now=now, live_agents=agents))


@router.get(
    "/api/v1/cost/proposals",
    **describe(
        "What would make the fleet cheaper",
        "Each with its expected saving and its evidence; and what approved ones brought.",
        scope=Scope.FLEET_WRITE,
        answer=ProposalList,
    ),
)
async def cost_proposals(request: Request, caller: FleetWriter) -> Response:
    optimiser = context_of(request).service(Optimiser, "optimiser")
    return json_response(ProposalList(data=await optimiser.proposals(), approved=await optimiser.measured()))


@router.post(
    "/api/v1/cost/proposals/{proposal_id}/approve",
    **describe(
        "Approve a proposal",
        "Applied at once where it has a `change`; else `apply` says what to set. Afterwards it is measured.",
        scope=Scope.FLEET_WRITE,
        answer=Proposal,
        errors=(404, 409, 429),
    ),
)
async def approve_proposal(request: Request, proposal_id: str, caller: FleetWriter) -> Response:
    context = context_of(request)
    approved = await context.service(Optimiser, "optimiser").approve(proposal_id, by=caller.key_id)
    await context.service(LiveRouter, "routing").refresh()
    return json_response(approved)


def live_agents(context: GatewayContext) -> int:
    try:
        return sum(agent.state is AgentState.READY for agent in context.core.fleet.snapshot().agents)
    except NotReady:
        return 0


NAME = "optimiser"


def extension(core: GatewayCore) -> Extension:
    """Cost reports, and proposals that settings or an admin approve."""
    optimiser = Optimiser(
        core.stores, core.fleet, core.settings, tiers=core.tiers, operator_tenant=core.operator_tenant
    )
    return Extension(
        NAME,
        routers=[router],
        service=optimiser,
        loops={"optimiser": optimiser.run_forever},
    )
