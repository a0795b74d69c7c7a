"""What the fact log costs, carries and how fast it is, on the embedded PostgreSQL.

    python -m benchmarks.facts --out facts.json [--only cost carry lag rows] [--rows 10000000]

cost   journal steps a second without facts and with them, in turns: the ratio of the medians
carry  facts a second to three consumer groups in another process, all at once
lag    from the commit of a fact in one process to the handler in another, beside a bare loop of one query
rows   writes, a page at the end and the way to a handler over an empty log and over one of many rows

A task is an accept, two appends of one step each and a finish: four facts, four writes, two steps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
from prometheus_client import CollectorRegistry

from ossa.contracts.configuration import Database
from ossa.contracts.events import Event, LogPage
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus, Usage
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.events.consumer import Consumer
from ossa.events.host import consumer_loops
from ossa.events.log_bus import LogBus
from ossa.events.publisher import ConsumerMetrics
from ossa.gateway.api.responses import new_task_id
from ossa.stores.fact_bodies import MOST_ITEMS
from ossa.stores.postgres import PostgresStores

FACTS_A_TASK = 4
STEPS_A_TASK = 2
GROUPS = 3

COST_BAR = 0.85
CARRY_BAR = 5_000.0
LAG_BAR_S = 0.25
ROWS_BAR = 0.9

_USAGE = Usage(prompt_tokens=700, completion_tokens=120, cost_usd=0.002, model_calls=1)
_STUCK_S = 120.0


def step(seq: int) -> Step:
    payload = {"message": {"role": "assistant", "content": "word " * 60}, "finish_reason": "stop", "model": "m"}
    return Step(seq=seq, kind="model", agent_id="foundation-001", payload=payload, usage=_USAGE, at=datetime.now(UTC))


async def do_task(stores: PostgresStores) -> None:
    journal, task_id = stores.journal, new_task_id()
    request = TaskRequest(messages=[{"role": "user", "content": "word " * 80}])
    await journal.accept(NewTask(id=task_id, tenant="acme", request=request), owner="a")
    for seq in range(STEPS_A_TASK):
        await journal.append(task_id, fence=1, steps=[step(seq)])
    outcome = Outcome(
        status=TaskStatus.SUCCEEDED,
        message={"role": "assistant", "content": "done"},
        usage=_USAGE,
        agent_id="foundation-001",
        pool="foundation",
    )
    await journal.finish(task_id, fence=1, outcome=outcome, usage_subjects=("tenant:acme",))


async def write(dsn: str, *, tells: bool, callers: int, seconds: float, per_s: float = 0.0) -> tuple[int, float]:
    """Tasks done, and the seconds that they took. `per_s` bounds the tasks a second."""
    stores = PostgresStores(Database(), dsn, tells=tells)
    await stores.open()
    began = time.perf_counter()
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < began + seconds:
            if per_s and done > (time.perf_counter() - began) * per_s:
                await asyncio.sleep(callers / per_s / 2)
                continue
            done += 1
            await do_task(stores)

    await asyncio.gather(*(caller() for _ in range(callers)))
    took = time.perf_counter() - began
    await stores.close()
    return done, took


# cost


async def cost(dsn: str, options: argparse.Namespace) -> dict[str, Any]:
    rates: dict[bool, list[float]] = {False: [], True: []}
    cpus: dict[bool, list[float]] = {False: [], True: []}
    await write(dsn, tells=True, callers=options.callers, seconds=1)
    for number in range(options.rounds):
        for tells in (False, True) if number % 2 else (True, False):
            cpu = _cpu_s(dsn)
            done, took = await write(dsn, tells=tells, callers=options.callers, seconds=options.seconds)
            rates[tells].append(done * STEPS_A_TASK / took)
            cpus[tells].append((_cpu_s(dsn) - cpu) / (done * STEPS_A_TASK) * 1e6)
            print(
                f"  {'with' if tells else 'without'} facts: {rates[tells][-1]:,.0f} steps/s, "
                f"{cpus[tells][-1]:,.0f} us of CPU a step",
                flush=True,
            )
    ratios = [on / off for off, on in zip(rates[False], rates[True], strict=True)]
    return {
        "callers": options.callers,
        "steps_per_s_without": [round(rate) for rate in rates[False]],
        "steps_per_s_with": [round(rate) for rate in rates[True]],
        "ratio": round(statistics.median(rates[True]) / statistics.median(rates[False]), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "cpu_us_a_step": {
            name: round(statistics.median(cpus[tells])) for name, tells in (("without", False), ("with", True))
        },
    }


def _cpu_s(dsn: str) -> float:
    """CPU seconds of this process and of the server and all its children, the ended ones too."""
    with psycopg.connect(dsn) as conn:
        backend = psutil.Process(conn.info.backend_pid)
        server = backend.parent()
        assert server is not None
        used = sum(server.cpu_times()[:4])
        for child in server.children(recursive=True):
            try:
                used += sum(child.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
    return used + time.process_time()


# carry and lag: the consumers have a process of their own


def consume(dsn: str, stop: Any, told: Any, newest: bool) -> None:
    asyncio.run(_consume(dsn, stop, told, newest))


async def _consume(dsn: str, stop: Any, told: Any, newest: bool) -> None:
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    groups = [f"bench-{time.time_ns()}-{number}" for number in range(GROUPS)]
    handled = dict.fromkeys(groups, 0)
    lags: list[float] = []
    disorder = 0
    last: dict[str, int] = {}

    def handler(group: str) -> Callable[[Event], Awaitable[None]]:
        async def handle(event: Event) -> None:
            nonlocal disorder
            handled[group] += 1
            if group == groups[0]:
                number = _number(event)
                disorder += last.get(event.partitionkey, -2) >= number
                last[event.partitionkey] = number
                if event.data.get("status"):
                    lags.append((datetime.now(UTC) - event.time).total_seconds())

        return handle

    consumers = {group: Consumer(handler(group), newest=newest) for group in groups}
    loops = consumer_loops(LogBus(stores.facts, owner="bench"), consumers, metrics=ConsumerMetrics(CollectorRegistry()))
    running = [asyncio.ensure_future(loop()) for loop in loops.values()]
    await asyncio.sleep(1.0)
    told.put("ready")
    cpu = time.process_time()
    await asyncio.to_thread(stop.wait)
    end = time.perf_counter() + _STUCK_S
    settled = await stores.facts.settled()
    while time.perf_counter() < end:
        positions = [place for place in await stores.facts.positions() if place.group in groups]
        if len(positions) == GROUPS and all(place.offset >= settled for place in positions):
            break
        await asyncio.sleep(0.05)
    caught_up = time.time()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    told.put(
        {
            "handled": handled,
            "disorder": disorder,
            "lags": lags,
            "caught_up": caught_up,
            "cpu_s": time.process_time() - cpu,
        }
    )
    await stores.close()


def _number(event: Event) -> int:
    """A task's facts in their order."""
    name = event.id.rpartition(":")[2]
    return {"accepted": -1, "finished": 1_000_000}.get(name, int(name) if name.isdigit() else 0)


async def flow(dsn: str, *, seconds: float, per_s: float, callers: int) -> dict[str, Any]:
    """Tasks at a rate here, three groups there; what came, and when."""
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    process = context.Process(target=consume, args=(dsn, stop, told, True), daemon=True)
    process.start()
    await asyncio.to_thread(told.get, True, _STUCK_S)
    began = time.time()
    done, took = await write(dsn, tells=True, callers=callers, seconds=seconds, per_s=per_s)
    stop.set()
    seen = await asyncio.to_thread(told.get, True, 2 * _STUCK_S)
    await asyncio.to_thread(process.join)
    lags = sorted(seen["lags"])
    facts = done * FACTS_A_TASK
    return {
        "facts": facts,
        "written_per_s": round(facts / took),
        "delivered_per_s": round(facts / (seen["caught_up"] - began)),
        "lost": max(facts - count for count in seen["handled"].values()),
        "twice": sum(seen["handled"].values()) - GROUPS * facts,
        "out_of_order": seen["disorder"],
        "consumer_cpu_share": round(seen["cpu_s"] / (seen["caught_up"] - began), 2),
        "lag_s": _quantiles(lags),
    }


async def bare(dsn: str, *, seconds: float, per_s: float) -> dict[str, float]:
    """The floor: rows in a table of their own, and a loop of one query and 5 ms of rest in another process."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS public.bare (id bigserial PRIMARY KEY, at timestamptz)")
        conn.execute("TRUNCATE public.bare")
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    process = context.Process(target=_bare_reader, args=(dsn, stop, told), daemon=True)
    process.start()
    await asyncio.to_thread(told.get, True, _STUCK_S)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        began, number = time.perf_counter(), 0
        while time.perf_counter() < began + seconds:
            if number > (time.perf_counter() - began) * per_s:
                await asyncio.sleep(1 / per_s / 2)
                continue
            number += 1
            await conn.execute("INSERT INTO public.bare (at) VALUES (now())")
    stop.set()
    lags = await asyncio.to_thread(told.get, True, _STUCK_S)
    await asyncio.to_thread(process.join)
    return _quantiles(sorted(lags))


def _bare_reader(dsn: str, stop: Any, told: Any) -> None:
    lags: list[float] = []
    last = 0
    with psycopg.connect(dsn, autocommit=True) as conn:
        told.put("ready")
        while not stop.is_set():
            rows = conn.execute("SELECT id, at FROM public.bare WHERE id > %s ORDER BY id", (last,)).fetchall()
            now = datetime.now(UTC)
            for number, at in rows:
                last = max(last, number)
                lags.append((now - at).total_seconds())
            if not rows:
                time.sleep(0.005)
    told.put(lags)


async def carry(dsn: str, options: argparse.Namespace) -> dict[str, Any]:
    rate = CARRY_BAR / FACTS_A_TASK
    return {
        "at_rate": await flow(dsn, seconds=options.carry_s, per_s=rate * 1.05, callers=options.callers),
        "full_speed": await flow(dsn, seconds=options.carry_s, per_s=0, callers=options.callers),
    }


async def lag(dsn: str, options: argparse.Namespace) -> dict[str, Any]:
    rounds: dict[str, list[dict[str, float]]] = {"log": [], "bare": []}
    for _ in range(options.rounds):
        rounds["log"].append((await flow(dsn, seconds=options.seconds, per_s=100, callers=16))["lag_s"])
        rounds["bare"].append(await bare(dsn, seconds=options.seconds, per_s=100))
    return {
        name: {key: statistics.median(each[key] for each in many) for key in many[0]} for name, many in rounds.items()
    }


# rows


async def rows(dsn: str, options: argparse.Namespace) -> dict[str, Any]:
    before = await _speed(dsn, options)
    fill(dsn, options.rows)
    after = await _speed(dsn, options)
    stores = PostgresStores(Database(statement_timeout_s=60), dsn)
    await stores.open()
    began = time.perf_counter()
    parts = await stores.facts.prune(before=datetime.now(UTC))
    pruned_s = time.perf_counter() - began
    await stores.close()
    return {"rows": options.rows, "empty": before, "full": after, "pruned_parts": parts, "prune_s": round(pruned_s, 3)}


def fill(dsn: str, count: int) -> None:
    """Rows of the days before, in parts of their days, each with the facts of one task."""
    days = 7
    body = (
        """'[["task_' || md5(n::text) || '",[["accepted","ossa.task.accepted.v1",null,'"""
        """ || '{"task":"t","target":"auto","asynchronous":false}]]]]'"""
    )
    with psycopg.connect(dsn, autocommit=True) as conn:
        for day in range(days, 0, -1):
            name = conn.execute(
                "SELECT 'facts_' || to_char(now() AT TIME ZONE 'UTC' - make_interval(days => %s), 'YYYYMMDD')", (day,)
            ).fetchone()
            assert name is not None
            conn.execute(
                f"CREATE TABLE IF NOT EXISTS ossa.{name[0]} PARTITION OF ossa.facts FOR VALUES FROM "
                f"((date_trunc('day', now() AT TIME ZONE 'UTC') - interval '{day} days') AT TIME ZONE 'UTC') TO "
                f"((date_trunc('day', now() AT TIME ZONE 'UTC') - interval '{day - 1} days') AT TIME ZONE 'UTC')"
            )
            conn.execute(
                "INSERT INTO ossa.facts (at, tenant, tasks, count, body) SELECT "
                f"date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '{day} days' "
                "+ n * interval '1 millisecond', 'tenant-' || n % 20, n % 50 <> 0, 1, "
                f"{body} FROM generate_series(1, {count // days}) n"
            )
            print(f"  {(days - day + 1) * (count // days):,} rows", flush=True)
        conn.execute("VACUUM (ANALYZE) ossa.facts")
        conn.execute("CHECKPOINT")


async def _speed(dsn: str, options: argparse.Namespace) -> dict[str, Any]:
    rates = []
    for _ in range(options.rounds):
        done, took = await write(dsn, tells=True, callers=options.callers, seconds=options.seconds)
        rates.append(done * STEPS_A_TASK / took)
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    end = await stores.facts.settled()
    log = stores.facts
    pages: dict[str, Callable[[], Awaitable[LogPage]]] = {
        "last_page_ms": partial(log.read_back, end, limit=10),
        "page_of_tenant_ms": partial(log.read_back, end, limit=10, tenant="tenant-7"),
        "page_of_fleet_ms": partial(log.read_back, end, limit=10, tasks=False),
        "page_in_the_middle_ms": partial(log.read, end // MOST_ITEMS // 2 * MOST_ITEMS, limit=10),
    }
    took_ms: dict[str, Any] = {}
    for name, page in pages.items():
        times = []
        for _ in range(30):
            began = time.perf_counter()
            await page()
            times.append((time.perf_counter() - began) * 1000)
        took_ms[name] = round(statistics.median(times), 2)
    await stores.close()
    seen = await flow(dsn, seconds=options.seconds, per_s=100, callers=16)
    return {"steps_per_s": round(statistics.median(rates)), **took_ms, "lag_s": seen["lag_s"]}


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"p50": float("nan"), "p99": float("nan"), "n": 0}
    return {
        "p50": round(values[len(values) // 2], 4),
        "p99": round(values[min(len(values) - 1, int(len(values) * 0.99))], 4),
        "n": len(values),
    }


def aims_of(results: dict[str, Any]) -> list[dict[str, Any]]:
    aims: list[dict[str, Any]] = []

    def aim(name: str, value: float, bar: float, met: bool) -> None:
        aims.append({"name": name, "value": value, "bar": bar, "met": met})

    if "cost" in results:
        ratio = results["cost"]["ratio"]
        aim("steps/s with facts, of those without", ratio, COST_BAR, ratio >= COST_BAR)
    if "carry" in results:
        found = results["carry"]["full_speed"]
        aim("facts/s to three groups", found["delivered_per_s"], CARRY_BAR, found["delivered_per_s"] >= CARRY_BAR)
        for name in ("lost", "out_of_order"):
            value = max(each[name] for each in results["carry"].values())
            aim(name.replace("_", " "), value, 0, value == 0)
    if "lag" in results:
        p99 = results["lag"]["log"]["p99"]
        aim("commit to handler, p99 in s", p99, LAG_BAR_S, p99 <= LAG_BAR_S)
    if "rows" in results:
        found = results["rows"]
        ratio = round(found["full"]["steps_per_s"] / found["empty"]["steps_per_s"], 3)
        aim(f"steps/s over {found['rows']:,} rows, of those over none", ratio, ROWS_BAR, ratio >= ROWS_BAR)
        p99 = found["full"]["lag_s"]["p99"]
        aim("commit to handler over them, p99 in s", p99, LAG_BAR_S, p99 <= LAG_BAR_S)
    return aims


PARTS: dict[str, Callable[[str, argparse.Namespace], Coroutine[Any, Any, dict[str, Any]]]] = {
    "cost": cost,
    "carry": carry,
    "lag": lag,
    "rows": rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="not needed: nothing is read")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--carry-s", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            dsn = server.start()
            for name in options.only:
                print(name, flush=True)
                results[name] = asyncio.run(PARTS[name](dsn, options))
                print(json.dumps(results[name], indent=2), flush=True)
        finally:
            server.erase()
    aims = aims_of(results)
    for each in aims:
        print(f"{'met' if each['met'] else 'MISSED':>7}  {each['name']}: {each['value']:,} (bar {each['bar']:,})")
    if options.out is not None:
        options.out.write_text(json.dumps({"results": results, "aims": aims}, indent=2) + "\n", "utf-8")
    sys.exit(0 if all(each["met"] for each in aims) else 1)


if __name__ == "__main__":
    main()
