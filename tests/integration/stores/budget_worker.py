"""A process that spends a budget until it is used up. Arguments: DSN, its name, a file for what was billed, lease in s.

Each line of the file is what a provider billed for one call, in billionths of a dollar, written before it is settled.
"""

from __future__ import annotations

import asyncio
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from ossa.contracts.budgets import Reservation, subjects_of
from ossa.contracts.configuration import Database
from ossa.contracts.errors import BudgetExceeded
from ossa.contracts.task import NewTask, Step, TaskRequest, Usage
from ossa.stores.budget_rules import SOON_S, nanos
from ossa.stores.postgres import PostgresStores

CALLERS = 6


class Worker:
    def __init__(self, stores: PostgresStores, name: str, bills: Path) -> None:
        self.stores, self.name = stores, name
        self.bills = bills.open("a", buffering=1)
        self.rng = random.Random(name)

    async def call(self, number: int) -> None:
        """One task, one call after the other."""
        request = TaskRequest(messages=[{"role": "user", "content": "hi"}])
        task_id = f"task_{self.name}_{number}"
        new = NewTask(id=task_id, tenant="acme", request=request)
        await self.stores.journal.accept(new, owner=self.name)
        seq = count = 0
        while True:
            count += 1
            asked = Reservation(
                id=f"{task_id}:1:{count}",
                tenant="acme",
                subjects=subjects_of(tenant="acme", pool="security", manifest="m", task_id=task_id),
                least_usd=0.002,
                most_usd=0.02,
                task_id=task_id,
                fence=1,
            )
            try:
                grant = await self.stores.budgets.reserve(asked)
            except BudgetExceeded as refused:
                if refused.retry_after_s == SOON_S:  # others' reservations are in the way
                    await asyncio.sleep(0.02)
                    continue
                return
            await asyncio.sleep(self.rng.uniform(0.005, 0.03))
            cost = grant.usd * self.rng.uniform(0.3, 1.0)
            self.bills.write(f"{nanos(cost)}\n")
            await asyncio.sleep(self.rng.uniform(0, 0.01))
            if self.rng.random() < 0.5:
                usage = Usage(prompt_tokens=1, completion_tokens=1, cost_usd=cost, model_calls=1)
                payload = {"message": {"role": "assistant", "content": "x"}, "reservation": asked.id}
                step = Step(seq=seq, kind="model", agent_id="a", payload=payload, usage=usage, at=datetime.now(UTC))
                await self.stores.journal.append(task_id, fence=1, steps=[step])
                seq += 1
                await asyncio.sleep(self.rng.uniform(0, 0.01))
            await self.stores.budgets.settle(asked.id, cost)

    async def keep_lease(self, ttl_s: float) -> None:
        while True:
            await self.stores.journal.renew(self.name, ttl_s=ttl_s)
            await asyncio.sleep(ttl_s / 5)


async def main(dsn: str, name: str, bills: str, lease_s: str) -> None:
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    worker = Worker(stores, name, Path(bills))
    await stores.journal.renew(name, ttl_s=float(lease_s))
    lease = asyncio.create_task(worker.keep_lease(float(lease_s)))
    await asyncio.gather(*(worker.call(number) for number in range(CALLERS)))
    lease.cancel()
    await stores.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
