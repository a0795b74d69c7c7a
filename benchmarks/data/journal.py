"""Committed steps of tasks: the journal beside psycopg doing the same, fsync on, in turns."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from benchmarks.data.waits import told
from ossa.contracts.configuration import Database
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus, Usage
from ossa.stores.postgres import PostgresStores

STEPS = 8
"""Of one task, committed one by one, as a turn does."""

TEXT = "The pod was restarted because its liveness probe timed out three times in a row. " * 6
LEASE_S = 600.0

BARE = """
CREATE SCHEMA IF NOT EXISTS bare;
CREATE TABLE IF NOT EXISTS bare.tasks (id text COLLATE "C" PRIMARY KEY, tenant text, request text, at timestamptz);
CREATE TABLE IF NOT EXISTS bare.open_tasks (
    task_id text COLLATE "C" PRIMARY KEY, next_seq integer NOT NULL, fence integer NOT NULL, owner text
) WITH (fillfactor = 60);
CREATE TABLE IF NOT EXISTS bare.steps (
    task_id text COLLATE "C", seq integer, fence integer, kind text, body text, PRIMARY KEY (task_id, seq)
);
CREATE TABLE IF NOT EXISTS bare.outcomes (task_id text COLLATE "C" PRIMARY KEY, outcome text, at timestamptz);
"""
ACCEPT = (
    "WITH task AS (INSERT INTO bare.tasks VALUES (%s, 'acme', %s, now()) RETURNING id) "
    "INSERT INTO bare.open_tasks SELECT id, 0, 1, 'me' FROM task"
)
APPEND = (
    "WITH moved AS (UPDATE bare.open_tasks SET next_seq = next_seq + 1 "
    "WHERE task_id = %s AND fence = 1 AND next_seq = %s RETURNING task_id) "
    "INSERT INTO bare.steps SELECT task_id, %s, 1, 'model', %s FROM moved"
)
FINISH = (
    "WITH gone AS (DELETE FROM bare.open_tasks WHERE task_id = %s AND fence = 1 RETURNING task_id) "
    "INSERT INTO bare.outcomes SELECT task_id, %s, now() FROM gone"
)
"""What the journal writes, a statement and a commit each; psycopg prepares them."""

Client = Callable[[float, list[float]], Awaitable[None]]
"""Works until then, and notes the seconds of each step's commit."""


async def compare(dsn: str, *, clients: int, seconds: float, rounds: int) -> dict[str, Any]:
    """Three arms in turns: ours, the bare driver with as many connections, the bare driver with one a client."""
    stores = PostgresStores(Database(pool_max=8), dsn)
    await stores.open()
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute(BARE)
        await conn.execute("CHECKPOINT" if await _may_checkpoint(conn) else "SELECT 1")
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for _ in range(rounds):
            found.setdefault("ossa", []).append(await _ours(stores, clients, seconds))
            found.setdefault("bare_2", []).append(await _bare(dsn, clients, seconds, connections=2))
            found.setdefault("bare", []).append(await _bare(dsn, clients, seconds, connections=clients))
    finally:
        await stores.close()
    arms = {arm: _median(runs) for arm, runs in found.items()}
    best = max(arms["bare"]["steps_per_s"], arms["bare_2"]["steps_per_s"])
    ratios = [
        one["steps_per_s"] / max(two["steps_per_s"], three["steps_per_s"])
        for one, two, three in zip(found["ossa"], found["bare_2"], found["bare"], strict=True)
    ]
    return {
        "clients": clients,
        "rounds": rounds,
        **{f"{arm}_{name}": value for arm, told_ in arms.items() for name, value in told_.items()},
        "ratio": round(arms["ossa"]["steps_per_s"] / best, 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
    }


async def _may_checkpoint(conn: Any) -> bool:
    cursor = await conn.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    return bool((await cursor.fetchone())[0])


async def _ours(stores: PostgresStores, clients: int, seconds: float) -> dict[str, Any]:
    owner = f"bench-{secrets.token_hex(4)}"
    await stores.journal.renew(owner, ttl_s=LEASE_S)
    request = TaskRequest(messages=[{"role": "user", "content": TEXT}])
    payload = {"message": {"role": "assistant", "content": TEXT}}
    usage = Usage(prompt_tokens=700, completion_tokens=90, cost_usd=0.001, model_calls=1)

    async def client(until: float, waits: list[float]) -> None:
        while time.perf_counter() < until:
            task_id = _task_id()
            await stores.journal.accept(NewTask(id=task_id, tenant="acme", request=request), owner=owner)
            for seq in range(STEPS):
                step = Step(
                    **{"seq": seq, "kind": "model", "agent_id": "security-001", "payload": payload},
                    **{"usage": usage, "at": datetime.now(UTC)},
                )
                began = time.perf_counter()
                await stores.journal.append(task_id, fence=1, steps=[step], agent_id="security-001")
                waits.append(time.perf_counter() - began)
            outcome = Outcome(status=TaskStatus.SUCCEEDED, message=payload["message"], usage=usage)
            await stores.journal.finish(task_id, fence=1, outcome=outcome, steps=[])

    return await _run(client, clients, seconds)


async def _bare(dsn: str, clients: int, seconds: float, *, connections: int) -> dict[str, Any]:
    """Clients share the connections evenly, each waiting for its turn."""
    conns = [
        await psycopg.AsyncConnection.connect(dsn, autocommit=True, row_factory=dict_row, prepare_threshold=1)
        for _ in range(connections)
    ]
    turns = [asyncio.Lock() for _ in conns]
    numbers = iter(range(clients))

    async def client(until: float, waits: list[float]) -> None:
        mine = next(numbers) % connections

        async def do(query: Any, *params: Any) -> None:
            async with turns[mine]:
                await conns[mine].execute(query, params)

        while time.perf_counter() < until:
            task_id = _task_id()
            await do(ACCEPT, task_id, TEXT)
            for seq in range(STEPS):
                began = time.perf_counter()
                await do(APPEND, task_id, seq, seq, TEXT)
                waits.append(time.perf_counter() - began)
            await do(FINISH, task_id, TEXT)

    try:
        return await _run(client, clients, seconds)
    finally:
        for conn in conns:
            await conn.close()


async def _run(client: Client, clients: int, seconds: float) -> dict[str, Any]:
    waits: list[float] = []
    began = time.perf_counter()
    await asyncio.gather(*(client(began + seconds, waits) for _ in range(clients)))
    return {"steps_per_s": round(len(waits) / (time.perf_counter() - began), 1), **told(waits)}


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}


def _task_id() -> str:
    return f"task_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
