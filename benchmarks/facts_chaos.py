"""The fact log under kills: `python -m benchmarks.facts_chaos --kills 1000 --seed N --out FILE.json [--resume]`.

Three writers, two publishers, and consumers of two groups (two candidates for one share; three members for four
shares) are processes, over an embedded PostgreSQL. Seeded SIGKILLs hit any of them, PostgreSQL's postmaster and its
backends; what was killed is started again. Kills come in rounds, each in a fresh database, which is counted afterwards.

Counted: facts of acknowledged writes that are missing in the log, facts that are missing in a group's effects or among
what was published; keys whose facts came first in another order than in the log; writes without their fact and facts
without their write; and facts that a group's position has passed without their effect, looked for all the time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.data import fact_roles
from ossa.contracts.configuration import Database, EventSettings
from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import Event, LogItem
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.events.log_bus import shard_of
from ossa.stores import fact_bodies
from ossa.stores.postgres.connection import Server
from ossa.stores.postgres.schema import migrate

ROLES = (
    *(f"writer-{number}" for number in range(3)),
    *(f"publisher-{number}" for number in range(2)),
    *(f"audit-{number}" for number in range(2)),
    *(f"costs-{number}" for number in range(3)),
)
KINDS = {"writer": 30, "publisher": 15, "audit": 17, "costs": 21, "backend": 12, "postmaster": 5}
"""How often each is hit, of a hundred."""

ROUND = 100
PAUSE_S = (0.05, 0.8)
LOOK_EVERY = 5
SETTLE_S = 120.0
_STARTS = 20
FAULTS = ("lost", "out_of_order", "writes_without_fact", "facts_without_write", "passed_over", "not_settled")


@dataclass
class Fleet:
    """The processes of a round."""

    server: EmbeddedPostgres
    dsn: str
    folder: Path
    kafka: dict[str, Any] | None = None
    processes: dict[str, BaseProcess] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    def start(self, role: str) -> None:
        arguments = (role, self.dsn, str(self.folder), self.kafka)
        process = multiprocessing.get_context("fork").Process(target=fact_roles.run, args=arguments, daemon=True)
        process.start()
        self.processes[role] = process

    def kill(self, kind: str, chance: random.Random) -> None:
        if kind == "postmaster":
            pid = self.server.pid
            assert pid is not None, "nobody but this program ends PostgreSQL"
            os.kill(pid, signal.SIGKILL)
            self._restart()
        elif kind == "backend":
            self._kill_backend(chance)
        else:
            role = chance.choice([role for role in ROLES if role.startswith(kind)])
            self._end(role, signal.SIGKILL)
            self.start(role)
        self.kills[kind] += 1

    def _restart(self) -> None:
        for _ in range(_STARTS):
            with suppress(StoreUnavailable):  # it may have been about to recover from another kill
                self.server.start()
                return
            time.sleep(0.2)
        self.server.start()

    def _kill_backend(self, chance: random.Random) -> None:
        """PostgreSQL ends all its processes then, and recovers as after a crash."""
        with self.connect() as conn:
            rows = conn.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
                "ORDER BY pid"
            ).fetchall()
        if rows:
            os.kill(chance.choice(rows)[0], signal.SIGKILL)

    def _end(self, role: str, how: signal.Signals) -> None:
        process = self.processes.pop(role)
        assert process.pid is not None
        os.kill(process.pid, how)
        process.join(fact_roles.PATIENCE_S)

    def stop(self, roles: Iterable[str], how: signal.Signals) -> None:
        for role in [role for role in self.processes if role in roles]:
            self._end(role, how)

    def dead(self) -> list[str]:
        """Those that ended though nobody killed them."""
        return [role for role, process in self.processes.items() if not process.is_alive()]

    def connect(self) -> psycopg.Connection[Any]:
        """Waits for PostgreSQL to recover."""
        end = time.monotonic() + fact_roles.PATIENCE_S
        while True:
            try:
                return psycopg.connect(self.dsn, autocommit=True, connect_timeout=5)
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.05)


@contextmanager
def fleet(folder: Path, kafka: dict[str, Any] | None) -> Iterator[Fleet]:
    server = EmbeddedPostgres(folder / "postgres")
    made = Fleet(server, server.start(), folder, kafka)
    asyncio.run(_migrate(made.dsn))
    with made.connect() as conn:
        conn.execute(fact_roles.SCHEMA)
    try:
        for role in ROLES:
            made.start(role)
        yield made
    finally:
        made.stop(ROLES, signal.SIGKILL)
        server.erase()


async def _migrate(dsn: str) -> None:
    await migrate(Server(dsn, Database()))


def kill_and_count(kills: int, seed: int, *, kafka: dict[str, Any] | None = None) -> dict[str, Any]:
    """One round."""
    chance, began, passed = random.Random(seed), time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="ossa-chaos-") as path:
        Path(path).chmod(0o711)
        with fleet(Path(path), kafka) as made:
            time.sleep(2)
            for number in range(kills):
                (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
                made.kill(kind, chance)
                time.sleep(chance.uniform(*PAUSE_S))
                if number % LOOK_EVERY == 0:
                    passed += passed_over(made)
            died = made.dead()
            made.stop([role for role in ROLES if role.startswith("writer")], signal.SIGTERM)
            late = _settle(made)
            found = _count(made)
        return {
            **{"seed": seed, "kills": made.kills.total(), "kills_by_kind": dict(made.kills), **found},
            **{"passed_over": passed, "not_settled": late, "died_by_themselves": died},
            "seconds": round(time.monotonic() - began, 1),
        }


def _log(conn: psycopg.Connection[Any], last: int = 2**62) -> list[LogItem]:
    rows = conn.execute(
        "SELECT position, tenant, at, body FROM ossa.facts WHERE position <= %s ORDER BY position", (last,)
    )
    return [
        item
        for position, tenant, at, body in rows
        for item in fact_bodies.items_of(body, position=position, tenant=tenant, at=at, source="/", topic="t")
    ]


def passed_over(made: Fleet) -> int:
    """Facts before a group's position whose effect is not there, in one snapshot."""
    for _ in range(5):
        try:
            with made.connect() as conn, conn.transaction():
                conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                shares = conn.execute("SELECT name, shard, shards, position FROM ossa.fact_shards").fetchall()
                done = {(who, id) for who, id in conn.execute("SELECT who, id FROM chaos.effects")}
                done |= {("kafka", id) for (id,) in conn.execute("SELECT id FROM chaos.published")}
                items = _log(conn)
        except psycopg.OperationalError:
            time.sleep(0.2)
            continue
        return sum(
            item.offset < position and shard_of(item.key, shards) == shard and (name, _id(item)) not in done
            for name, shard, shards, position in shares
            if made.kafka is None or name != "kafka"
            for item in items
        )
    return 0


def _settle(made: Fleet) -> int:
    """Waits until every group has come to the end; how many shares have not."""
    left = -1
    end = time.monotonic() + SETTLE_S
    while left and time.monotonic() < end:
        time.sleep(0.2)
        with made.connect() as conn:
            (last,) = conn.execute("SELECT coalesce(max(position), 0) FROM ossa.facts").fetchone() or (0,)
            rows = conn.execute("SELECT position FROM ossa.fact_shards").fetchall()
        missing = sum(fact_roles.GROUPS.values()) + 1 - len(rows)
        left = missing + sum(position <= last * fact_bodies.MOST_ITEMS for (position,) in rows)
    return left


def _count(made: Fleet) -> dict[str, Any]:
    with made.connect() as conn:
        items = _log(conn)
        came: dict[str, list[str]] = defaultdict(list)
        for who, id in conn.execute("SELECT who, id FROM chaos.effects ORDER BY came"):
            came[who].append(id)
        came["kafka"] = [id for (id,) in conn.execute("SELECT id FROM chaos.published ORDER BY came")]
        written = {f"{key}:{number}" for key, number in conn.execute("SELECT key, number FROM chaos.writes")}
    if made.kafka is not None:
        came["kafka"] = asyncio.run(_exported(made.kafka))
    told = [_id(item) for item in items]
    acknowledged = [id for role in ROLES[:3] for id in _lines(made.folder / role)]
    by_log = _orders(told)
    counted = {id for id in told if id.startswith("written/")}
    return {
        "acknowledged": len(acknowledged),
        "facts": len(set(told)),
        "told_twice": len(told) - len(set(told)),
        "lost": {
            "log": len(set(acknowledged) - set(told)),
            **{who: len(set(told) - set(came[who])) for who in (*fact_roles.GROUPS, "kafka")},
        },
        "out_of_order": {
            "log": sum(order != sorted(order, key=_rank) for order in by_log.values()),
            **{who: _differing(by_log, _orders(came[who])) for who in (*fact_roles.GROUPS, "kafka")},
        },
        "exported_twice": len(came["kafka"]) - len(set(came["kafka"])),
        "writes_without_fact": len(written - counted),
        "facts_without_write": len(counted - written),
    }


def _id(item: LogItem) -> str:
    assert isinstance(item.content, Event)
    return item.content.id


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _orders(ids: Sequence[str]) -> dict[str, list[str]]:
    """By key, the names in the order of their first coming."""
    orders: dict[str, list[str]] = defaultdict(list)
    for id in dict.fromkeys(ids):
        key, _, name = id.rpartition(":")
        orders[key].append(name)
    return orders


def _rank(name: str) -> int:
    return {"accepted": -1, "finished": 2**31}.get(name) or int(name)


def _differing(these: dict[str, list[str]], those: dict[str, list[str]]) -> int:
    return sum(order != those.get(key, []) for key, order in these.items())


async def _exported(kafka: dict[str, Any]) -> list[str]:
    """All that lies on the topic, by partition in its order."""
    from ossa.stores.kafka import KafkaBus

    bus = KafkaBus(EventSettings(**kafka))
    left = sum(one.end for one in await bus.lag("nobody"))
    subscription = await bus.read(bus.status.topic)
    found: list[str] = []
    async with asyncio.timeout(SETTLE_S):
        while len(found) < left:
            found += [json.loads(one.value)["id"] for one in await subscription.take(limit=500, wait_s=0.5)]
    await subscription.close()
    await bus.close()
    return found


def total(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All rounds as one."""
    found: dict[str, Any] = {"rounds": len(rounds)}
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        if isinstance(values[0], dict):
            found[name] = dict(sum((Counter(value) for value in values), Counter()))
            found[name] = {key: found[name].get(key, 0) for value in values for key in value}
        elif isinstance(values[0], list):
            found[name] = [entry for value in values for entry in value]
        elif name != "seed":
            found[name] = round(sum(values), 1)
    return found


def faults(found: dict[str, Any]) -> dict[str, int]:
    return {name: sum(found[name].values()) if isinstance(found[name], dict) else int(found[name]) for name in FAULTS}


def run(kills: int, seed: int, out: Path | None, *, resume: bool, kafka: dict[str, Any] | None) -> int:
    rounds: list[dict[str, Any]] = []
    if resume and out is not None and out.exists():
        rounds = json.loads(out.read_text())["rounds"]
    while (done := sum(each["kills"] for each in rounds)) < kills:
        topic = {} if kafka is None else {"topic": f"chaos-{time.time_ns()}", "dead_topic": f"dead-{time.time_ns()}"}
        settings = None if kafka is None else {**kafka, **topic}
        rounds.append(kill_and_count(min(ROUND, kills - done), seed + len(rounds), kafka=settings))
        print(json.dumps(rounds[-1]), flush=True)
        results = {**total(rounds), "bus": "a table" if kafka is None else "Kafka"}
        aims = [{"name": name, "value": value, "bar": 0, "met": not value} for name, value in faults(results).items()]
        if out is not None:
            out.write_text(json.dumps({"results": results, "aims": aims, "rounds": rounds}, indent=1) + "\n")
    width = max(map(len, results))
    for name, value in results.items():
        print(f"{name:<{width}}  {value}")
    return 0 if all(aim["met"] for aim in aims) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resume", action="store_true", help="go on after the rounds that are in FILE.json")
    parser.add_argument("--kafka", action="store_true", help="export to three Kafka brokers, not to a table")
    options = parser.parse_args()
    if not options.kafka:
        return run(options.kills, options.seed, options.out, resume=options.resume, kafka=None)
    from benchmarks.data.servers import services

    with services("kafka", members=3) as made:
        settings = {"bootstrap_servers": made.address("kafka").dsn, "create_topics": True, "partitions": 6}
        return run(options.kills, options.seed, options.out, resume=options.resume, kafka=settings)


if __name__ == "__main__":
    sys.exit(main())
