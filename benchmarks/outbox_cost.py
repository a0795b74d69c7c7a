"""What the outbox costs the journal: writes a second with and without it, on the embedded PostgreSQL.

    python -m benchmarks.outbox_cost [--callers 64] [--seconds 4] [--rounds 3]

A caller's task is an accept, two appends of one step each and a finish: four writes. The outbox is emptied between
rounds, not during them. With and without take turns, and the ratio is of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus, Usage
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.gateway.ids import new_task_id
from ossa.stores.postgres import PostgresStores

_USAGE = Usage(prompt_tokens=700, completion_tokens=120, cost_usd=0.002, model_calls=1)


def _step(seq: int) -> Step:
    payload = {"message": {"role": "assistant", "content": "word " * 60}, "finish_reason": "stop", "model": "m"}
    return Step(seq=seq, kind="model", agent_id="foundation-001", payload=payload, usage=_USAGE, at=datetime.now(UTC))


async def _task(stores: PostgresStores) -> None:
    journal, task_id = stores.journal, new_task_id()
    request = TaskRequest(messages=[{"role": "user", "content": "word " * 80}])
    await journal.accept(NewTask(id=task_id, tenant="acme", request=request), owner="a")
    for seq in range(2):
        await journal.append(task_id, fence=1, steps=[_step(seq)])
    outcome = Outcome(
        status=TaskStatus.SUCCEEDED, message={"role": "assistant", "content": "done"}, usage=_USAGE,
        agent_id="foundation-001", pool="foundation",
    )  # fmt: skip
    await journal.finish(task_id, fence=1, outcome=outcome, usage_subjects=("tenant:acme",))


async def _round(dsn: str, *, telling: bool, callers: int, seconds: float) -> float:
    """Writes a second."""
    stores = PostgresStores(Database(), dsn, events=EventSettings(mock=telling))
    await stores.open()
    end = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await _task(stores)
            done += 4

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    rate = done / (time.perf_counter() - began)
    lead = await stores.outbox.lead()
    if lead is not None:
        await lead.prune(before=datetime.max.replace(tzinfo=UTC))
        await lead.close()
    await stores.close()
    return rate


async def _measure(dsn: str, options: argparse.Namespace) -> None:
    rates: dict[bool, list[float]] = {False: [], True: []}
    await _round(dsn, telling=False, callers=options.callers, seconds=1)
    for _ in range(options.rounds):
        for telling in (False, True):
            found = await _round(dsn, telling=telling, callers=options.callers, seconds=options.seconds)
            rates[telling].append(found)
            print(f"{'with' if telling else 'without'} outbox: {found:,.0f} journal writes/s")
    without, with_ = (statistics.median(rates[telling]) for telling in (False, True))
    print(f"median without {without:,.0f}/s, with {with_:,.0f}/s: {with_ / without:.2f} of it")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            asyncio.run(_measure(server.start(), options))
        finally:
            server.erase()


if __name__ == "__main__":
    main()
