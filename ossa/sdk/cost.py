"""`client.budgets` and `client.cost`, blocking and asyncio. They need a key with the scope `admin`."""

from __future__ import annotations

from ossa.sdk.async_sender import AsyncSender
from ossa.sdk.calls import cost as calls
from ossa.sdk.sender import Sender
from ossa.sdk.values.cost import Budget, Budgets, CostReport, Proposal, Proposals


class BudgetCalls:
    """A budget's kind is `tenant`, `pool`, `agent` (a manifest's name) or `task` (`*` for every task)."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def list(self) -> Budgets:
        return self._sender.send(calls.budgets())

    def set(
        self,
        kind: str,
        name: str,
        hard_usd: float,
        *,
        soft_usd: float | None = None,
        period: str | None = None,
        tenant: str | None = None,
    ) -> Budget:
        """Set or replace. `period`: `day`, `month` (the default), or `task` for tasks."""
        return self._sender.send(
            calls.set_budget(kind, name, hard_usd, soft_usd=soft_usd, period=period, tenant=tenant)
        )

    def remove(self, kind: str, name: str, *, period: str | None = None, tenant: str | None = None) -> Budget:
        """As it was when it was removed."""
        return self._sender.send(calls.remove_budget(kind, name, period=period, tenant=tenant))


class CostCalls:
    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def report(self, by: str = "tenant", *, days: int = 7) -> CostReport:
        """By `tenant`, `pool`, `agent`, `model` or `tier`; of the last UTC days, today included."""
        return self._sender.send(calls.report(by, days))

    def proposals(self) -> Proposals:
        """What would make the fleet cheaper; needs the scope `fleet:write`, as `approve` does."""
        return self._sender.send(calls.proposals())

    def approve(self, proposal_id: str) -> Proposal:
        """Have it applied, where the fleet can; it is measured from then on."""
        return self._sender.send(calls.approve(proposal_id))


class AsyncBudgetCalls:
    """A budget's kind is `tenant`, `pool`, `agent` (a manifest's name) or `task` (`*` for every task)."""

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def list(self) -> Budgets:
        return await self._sender.send(calls.budgets())

    async def set(
        self,
        kind: str,
        name: str,
        hard_usd: float,
        *,
        soft_usd: float | None = None,
        period: str | None = None,
        tenant: str | None = None,
    ) -> Budget:
        """Set or replace. `period`: `day`, `month` (the default), or `task` for tasks."""
        return await self._sender.send(
            calls.set_budget(kind, name, hard_usd, soft_usd=soft_usd, period=period, tenant=tenant)
        )

    async def remove(self, kind: str, name: str, *, period: str | None = None, tenant: str | None = None) -> Budget:
        """As it was when it was removed."""
        return await self._sender.send(calls.remove_budget(kind, name, period=period, tenant=tenant))


class AsyncCostCalls:
    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender

    async def report(self, by: str = "tenant", *, days: int = 7) -> CostReport:
        """By `tenant`, `pool`, `agent`, `model` or `tier`; of the last UTC days, today included."""
        return await self._sender.send(calls.report(by, days))

    async def proposals(self) -> Proposals:
        """What would make the fleet cheaper; needs the scope `fleet:write`, as `approve` does."""
        return await self._sender.send(calls.proposals())

    async def approve(self, proposal_id: str) -> Proposal:
        """Have it applied, where the fleet can; it is measured from then on."""
        return await self._sender.send(calls.approve(proposal_id))
