"""Budgets and what tasks spent, over PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from time import monotonic
from typing import Generic, TypeVar

from ossa.contracts.budgets import (
    Approval,
    Balance,
    Budget,
    Grant,
    Recovered,
    Reservation,
    Spent,
    TaskFacts,
    period_end,
    period_key,
)
from ossa.contracts.errors import InvalidRequest, NotFound, StoreUnavailable
from ossa.contracts.origin import apart
from ossa.stores import store_facts
from ossa.stores.budget_rules import (
    CLOSED_KEPT_S,
    MARKS_KEPT_S,
    TASKS_KEPT_S,
    Account,
    cost_nanos,
    grant,
    nanos,
    reached,
    refusal,
    usd,
)
from ossa.stores.postgres.connection import Reader, Row
from ossa.stores.postgres.lists import Lists
from ossa.stores.postgres.queries import load_queries
from ossa.stores.postgres.telling import told

logger = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
    """One batch at a time, so that one caller alone waits for one round trip, and many share them.

    A caller that is cancelled leaves its item in the batch: it may take effect all the same. Of a batch that holds a
    value that cannot be kept each item is run alone; whatever else `run` raises, every caller of the batch meets.

    Args:
        run: a batch of items -> their results, in order.
        most: items in one batch.
    """

    def __init__(self, run: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, most: int) -> None:
        self._run = run
        self._most = most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._sending: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send(), name="together", context=apart())
        return await done

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                await self._send_batch(batch)
        finally:
            self._sending = None

    async def _send_batch(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._run([item for item, _ in batch])
        except InvalidRequest as error:
            if len(batch) > 1:
                for one in batch:
                    await self._send_batch([one])
                return
            self._fail(batch, error)
            return
        except Exception as error:  # noqa: BLE001 - each caller is told, and decides
            self._fail(batch, error)
            return
        for (_, done), result in zip(batch, results, strict=True):
            if not done.done():
                done.set_result(result)

    @staticmethod
    def _fail(batch: Sequence[tuple[T, asyncio.Future[R]]], error: Exception) -> None:
        for _, done in batch:
            if not done.done():
                done.set_exception(error)


RECOVERED_AT_ONCE = 500
BATCH_MAX = 64

MOST_MARKED = 10_000
"""Limits that a process remembers to have told."""

_Limit = tuple[str, str, int, bool]
"""Subject, period and hard limit of a budget, and whether it is the hard one that was met."""

TIDIED_EVERY_S = 3600.0
"""Closed reservations and old tasks' accounts are removed so often."""


class PostgresBudgets:
    """`ossa.contracts.budgets.BudgetStore`.

    Every call may be repeated when its answer was lost: reservations and settlements are known by their ids.

    Args:
        clock: for tests of periods; None: the database's own, which all replicas share.
    """

    def __init__(self, reader: Reader, clock: Callable[[], datetime] | None = None) -> None:
        self._reader = reader
        self._clock = clock
        self._tidy_at = 0.0
        self._marked: set[tuple[object, ...]] = set()
        self._reserving = Together(self._reserve_all, most=BATCH_MAX)
        self._settling = Together(self._settle_all, most=BATCH_MAX)
        self._sql = load_queries("budgets.sql")

    def _now(self) -> datetime | None:
        return self._clock() if self._clock is not None else None

    async def put(self, budget: Budget) -> None:
        await self._reader.execute(
            self._sql["put"],
            {
                "id": budget.id,
                "subject": budget.subject,
                "tenant": budget.tenant,
                "period": budget.period,
                "hard": nanos(budget.hard_usd),
                "soft": None if budget.soft_usd is None else nanos(budget.soft_usd),
                "budget": budget.model_dump_json(),
                **told(store_facts.of_budget(budget)),
            },
        )

    async def budgets(self) -> list[Balance]:
        rows = await self._reader.rows(self._sql["budgets"], {"now": self._now()})
        return [_balance(row) for row in rows]

    async def remove(self, budget_id: str) -> None:
        """Raises `NotFound`; also when the answer to a first try was lost."""
        params = {"id": budget_id, **told(store_facts.of_removed_budget(budget_id))}
        if await self._reader.row(self._sql["remove"], params) is None:
            raise NotFound(f"There is no budget {budget_id}.")

    async def reserve(self, asked: Reservation) -> Grant:
        row = await self._reserving(asked)
        accounts = _accounts(row)
        if not row["known"]:
            await self._mark(asked, accounts, row)
        if row["granted"] is None:
            raise refusal(accounts, least=nanos(asked.least_usd), now=row["at"])
        granted = grant(accounts, row["granted"], repeated=row["known"])
        return granted.model_copy(update={"counted": True}) if row["known"] else granted

    async def settle(self, reservation_id: str, usd: float | None) -> bool:
        return await self._settling((reservation_id, usd))

    async def _mark(self, asked: Reservation, accounts: Sequence[Account], row: Row) -> None:
        """Tells of limits that were met for the first time in their period. Raises nothing: the next call tries."""
        met: dict[_Limit, tuple[object, ...]] = {}
        for place, hard in reached(accounts, row["granted"], least=nanos(asked.least_usd)):
            account = accounts[place]
            period = period_key(account.period, now=row["at"], task_id=asked.task_id)
            limit = (account.subject, account.period, account.hard, hard)
            if (*limit, period) not in self._marked:
                met[limit] = (*limit, period)
        if not met:
            return
        try:
            params = {"subjects": list(asked.subjects), "tenant": asked.tenant}
            for found in await self._reader.rows(self._sql["applying"], params):
                budget = Budget.model_validate_json(found["budget"])
                for hard in (False, True):
                    if (budget.subject, budget.period, nanos(budget.hard_usd), hard) in met:
                        await self._mark_one(budget, asked, row["at"], hard=hard)
        except StoreUnavailable as error:
            logger.warning("budget_limit_not_told", extra={"reason": error.message})
            return
        if len(self._marked) > MOST_MARKED:
            self._marked.clear()
        self._marked.update(met.values())

    async def _mark_one(self, budget: Budget, asked: Reservation, now: datetime, *, hard: bool) -> None:
        key = period_key(budget.period, now=now, task_id=asked.task_id)
        params = {"id": budget.id, "period_key": key, "hard": hard, "now": self._now()}
        await self._reader.execute(self._sql["mark"], params | told(store_facts.of_limit(budget, key, hard=hard)))

    async def _reserve_all(self, batch: Sequence[Reservation]) -> Sequence[Row]:
        asked = [
            {
                **reservation.model_dump(include={"id", "tenant", "subjects", "task_id", "fence", "ttl_s"}),
                "least": nanos(reservation.least_usd),
                "most": nanos(reservation.most_usd),
            }
            for reservation in batch
        ]
        params = {"asked": json.dumps(asked), "now": self._now()}
        rows = {row["id"]: row for row in await self._reader.rows(self._sql["reserve"], params)}
        return [rows[reservation.id] for reservation in batch]

    async def _settle_all(self, batch: Sequence[tuple[str, float | None]]) -> Sequence[bool]:
        known: dict[str, float | None] = {}
        for name, cost in batch:  # the same one twice: a cost rather than a doubt, the first of two costs
            known[name] = cost if known.get(name) is None else known[name]
        costs = [None if cost is None else cost_nanos(cost) for cost in known.values()]
        row = await self._reader.row(self._sql["settle"], {"ids": list(known), "costs": costs, "now": self._now()})
        changed = set(row["changed"]) if row is not None else set()
        return [name in changed for name, _ in batch]

    async def recover(self) -> Recovered:
        now = self._now()
        settled = in_doubt = doubted = 0
        while True:
            row = await self._reader.row(self._sql["recover"], {"most": RECOVERED_AT_ONCE, "now": now})
            if row is None:
                break
            settled, in_doubt, doubted = settled + row["settled"], in_doubt + row["doubts"], doubted + row["doubted"]
            if row["settled"] + row["doubts"] < RECOVERED_AT_ONCE:
                break
        await self._tidy(now)
        return Recovered(settled=settled, in_doubt=in_doubt, in_doubt_usd=usd(doubted))

    async def _tidy(self, now: datetime | None) -> None:
        if monotonic() < self._tidy_at:
            return
        self._tidy_at = monotonic() + TIDIED_EVERY_S
        await self._reader.execute(self._sql["forget_marks"], {"kept_s": MARKS_KEPT_S, "now": now})
        await self._reader.execute(self._sql["forget_reservations"], {"kept_s": CLOSED_KEPT_S, "now": now})
        await self._reader.execute(self._sql["forget_tasks"], {"kept_s": TASKS_KEPT_S, "now": now})


def _balance(row: Row) -> Balance:
    budget = Budget.model_validate_json(row["budget"])
    return Balance(
        budget=budget,
        spent_usd=usd(row["spent"]),
        reserved_usd=usd(row["reserved"]),
        in_doubt_usd=usd(row["in_doubt"]),
        ends_at=period_end(budget.period, now=row["at"]),
    )


def _accounts(row: Row) -> list[Account]:
    if not row["subjects"]:
        return []
    columns = (row[name] for name in ("subjects", "periods", "hards", "softs", "used", "reserved"))
    return [Account(*values) for values in zip(*columns, strict=True)]


class PostgresSpending:
    """`ossa.contracts.budgets.SpendingStore`. A trigger adds each outcome to its day when it is written."""

    def __init__(self, reader: Reader, lists: Lists) -> None:
        self._reader = reader
        self._lists = lists
        self._sql = load_queries("spending.sql")

    async def spending(self, *, since: date, tenant: str | None = None) -> list[Spent]:
        rows = await self._lists.rows(self._sql["spending"], {"since": since, "tenant": tenant}, tenant=tenant)
        return [Spent(**row) for row in rows]

    async def newest(self, *, limit: int, tenant: str | None = None) -> list[TaskFacts]:
        rows = await self._lists.rows(self._sql["newest"], {"limit": limit, "tenant": tenant}, tenant=tenant)
        return [TaskFacts(**row) for row in rows]

    async def approve(self, approval: Approval) -> bool:
        """False also when the answer to a first try was lost."""
        params = {"id": approval.id, "at": approval.at, "approval": approval.model_dump_json()}
        params |= told(store_facts.of_approval(approval))
        return await self._reader.row(self._sql["approve"], params) is not None

    async def approvals(self) -> list[Approval]:
        rows = await self._reader.rows(self._sql["approvals"])
        return [Approval.model_validate_json(row["approval"]) for row in rows]
