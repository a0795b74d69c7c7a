"""The leader of three PostgreSQL is killed while clients write through the journal."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import psycopg

from ossa.contracts.configuration import Database
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.task import NewTask, Step, TaskRequest
from ossa.stores.postgres import PostgresStores
from scripts.services import Address, Services

NAME = "postgres-ha"
OWNER = "bench"
LEASE_S = 3600.0
STATEMENT_S = 30.0
SETTLE_S = 5.0
WELL_S = 180.0


class _Book:
    """What was acknowledged, and when."""

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}
        self.at: list[float] = []
        self.refused = 0
        self.ended = False

    def longest_gap(self, since: float) -> float:
        times = [since, *(at for at in self.at if at >= since)]
        return max((later - earlier for earlier, later in pairwise(times)), default=float("nan"))


async def kill_leader(made: Services, *, clients: int, kills: int) -> dict[str, Any]:
    address = made.address(NAME)
    stores = PostgresStores(Database(statement_timeout_s=STATEMENT_S), address.dsn)
    await stores.open()
    await stores.journal.renew(OWNER, ttl_s=LEASE_S)
    book = _Book()
    work = [asyncio.create_task(_write(stores, book)) for _ in range(clients)]
    gaps = []
    try:
        for _ in range(kills):
            await asyncio.sleep(SETTLE_S)
            killed_at = time.perf_counter()
            await asyncio.to_thread(made.kill, NAME, await asyncio.to_thread(_leader, made, address))
            await asyncio.sleep(SETTLE_S * 2)
            while book.at[-1] < killed_at:  # noqa: ASYNC110 - nothing was acknowledged since
                await asyncio.sleep(0.1)
            gaps.append(book.longest_gap(killed_at))
            await asyncio.to_thread(_well, made)
    finally:
        book.ended = True
        await asyncio.gather(*work, return_exceptions=True)
        await stores.close()
    kept, twice = await asyncio.to_thread(_kept, address)
    acknowledged = sum(book.steps.values())
    there = sum(min(many, kept.get(task_id, 0)) for task_id, many in book.steps.items())
    return {
        **{"kills": kills, "clients": clients, "acknowledged": acknowledged, "lost": acknowledged - there},
        **{"twice": twice, "refused": book.refused},
        "seconds_without_a_write": [round(gap, 2) for gap in gaps],
        "median_seconds_without_a_write": round(statistics.median(gaps), 2),
    }


async def _write(stores: PostgresStores, book: _Book) -> None:
    """Tasks of eight steps; each step that was acknowledged is written down."""
    request = TaskRequest(messages=[{"role": "user", "content": "hi"}])
    while not book.ended:
        task_id = f"task_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
        try:
            await stores.journal.accept(NewTask(id=task_id, tenant="acme", request=request), owner=OWNER)
            book.steps[task_id] = 0
            for seq in range(8):
                step = Step(seq=seq, kind="model", agent_id="a", payload={}, at=datetime.now(UTC))
                await stores.journal.append(task_id, fence=1, steps=[step])
                book.steps[task_id] = seq + 1
                book.at.append(time.perf_counter())
        except StoreUnavailable:
            book.refused += 1


def _leader(made: Services, address: Address) -> str:
    with psycopg.connect(address.admin or address.dsn, connect_timeout=3) as conn:
        port = conn.info.port
    return next(
        member.name
        for member in made.status(NAME).members
        if member.ports.get("sql") == port and member.name.startswith("postgres-")
    )


def _well(made: Services) -> None:
    deadline = time.monotonic() + WELL_S
    while made.problem(NAME) is not None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{NAME}: {made.problem(NAME)}")
        time.sleep(0.5)


def _kept(address: Address) -> tuple[dict[str, int], int]:
    """Steps by task, and how many tasks have a step twice or a hole."""
    with psycopg.connect(address.admin or address.dsn) as conn:
        rows = conn.execute("SELECT task_id, array_agg(seq ORDER BY seq) FROM ossa.steps GROUP BY task_id").fetchall()
    return {task_id: len(seqs) for task_id, seqs in rows}, sum(seqs != list(range(len(seqs))) for _, seqs in rows)
