"""A fleet whose PostgreSQL, Redis and Kafka all stop, and come back."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from typing import Any

from pydantic import SecretStr

from benchmarks.bench_fleet import BenchFleet
from ossa.contracts.configuration import CacheSettings, Database, EventSettings
from ossa.contracts.errors import OssaError, StoreUnavailable
from ossa.sdk.client import Client
from ossa.testing.models.server import ScriptedProcess
from scripts.services import Services

CLIENTS = 6
BEFORE_S = 10.0
RECOVERS_S = 120.0
ANSWER_S = 180.0


class _Users:
    """Each asks for a task, waits for its end, and again. What is refused is asked for again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.over = threading.Event()
        self.accepted: list[str] = []
        self.accepted_at: list[float] = []
        self.refusals: Counter[str] = Counter()
        self.unclear: list[str] = []
        self.read_while_away = 0
        self._threads = [threading.Thread(target=self._keep, args=(number,), daemon=True) for number in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join(ANSWER_S)

    def _keep(self, number: int) -> None:
        while not self.over.is_set():
            try:
                task = self._client.tasks.create(f"[[delay:0.2]] {number}")
                self.accepted.append(task.id)
                self.accepted_at.append(time.perf_counter())
            except StoreUnavailable as error:
                self.refusals[error.code] += 1
                self.over.wait(1.0)
            except OssaError as error:
                self.refusals[error.code] += 1
                if "PostgreSQL" not in error.message and error.retry_after_s is None:
                    self.unclear.append(f"{error.code}: {error.message}"[:200])
                self.over.wait(1.0)
            self.over.wait(0.1)


def all_away(made: Services, brokers: Services, *, agents: int, away_s: float) -> dict[str, Any]:
    events = EventSettings(
        bootstrap_servers=brokers.address("kafka").dsn, replication=1, min_insync=1, create_topics=True
    )
    others = {
        "database": Database(dsn=SecretStr(made.address("postgres").dsn)),
        "cache": CacheSettings(dsn=SecretStr(made.address("redis").dsn)),
        "events": events,
    }
    with (
        tempfile.TemporaryDirectory() as home,
        ScriptedProcess() as upstream,
        BenchFleet(home, upstream, agents=agents, others=others) as fleet,
        fleet.client() as client,
    ):
        fleet.deploy()
        users = _Users(client)
        users.start()
        time.sleep(BEFORE_S)
        before = len(users.accepted)
        stopped_at = time.perf_counter()
        for where, name in ((made, "postgres"), (made, "redis"), (brokers, "kafka")):
            where.stop(name)
        live = _lives(client)
        time.sleep(max(0.0, away_s - (time.perf_counter() - stopped_at)))
        back_at = time.perf_counter()
        made.start("postgres")
        serves_at = time.perf_counter()
        for where, name in ((made, "redis"), (brokers, "kafka")):
            where.start(name)
        again = _first_after(users, serves_at)
        time.sleep(BEFORE_S)
        users.end()
        ends = Counter(str(client.tasks.wait(task_id, timeout_s=ANSWER_S).status) for task_id in users.accepted)
        return {
            **{"agents": agents, "away_s": round(back_at - stopped_at, 1), "accepted": len(users.accepted)},
            **{"accepted_before": before, "completed": ends["succeeded"]},
            "lost": len(users.accepted) - ends["succeeded"],
            "refused": dict(users.refusals),
            "unclear": users.unclear[:5],
            "live_while_away": live,
            "answers_again_s": again,
        }


def _lives(client: Client) -> bool:
    """Whether the gateway still says how it is."""
    try:
        return bool(client.health())
    except OssaError:
        return False


def _first_after(users: _Users, since: float) -> float | None:
    deadline = time.monotonic() + RECOVERS_S
    while time.monotonic() < deadline:
        first = next((at for at in users.accepted_at if at > since), None)
        if first is not None:
            return round(first - since, 2)
        time.sleep(0.1)
    return None
