"""Kill processes at random while the fleet works: nothing accepted is lost, no effect happens twice.

    python -m benchmarks.kill_anywhere --kills 200 --seed 7 --out FILE.json

A scripted OpenAI-compatible server is the upstream. Each task calls a tool with
a countable side effect a few times. Agents, the controller, the gateway's Serve
replicas and whole nodes are killed with SIGKILL at random moments (also right
after a task was accepted, before its first step), while tasks come in. Then
everything accepted must end well, by the journal's own word.

`accepted`: tasks acknowledged to a client (202, or a chat's answer; a chat
whose connection broke is asked again under its idempotency key), and those the
journal has besides. `lost`: accepted and not succeeded at the end.
`duplicated_effects`: effects applied more than once. `missing_effects`: effects of succeeded
tasks never applied.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bench_fleet import BenchFleet
from benchmarks.effects import ENVIRONMENT, count_effects
from benchmarks.ray_node import RayNode
from ossa.contracts.errors import OssaError
from ossa.contracts.task import TaskStatus
from ossa.manifest import catalogue, dump
from ossa.sdk.async_client import AsyncClient
from ossa.sdk.connecting import connect_async
from ossa.stores.postgres import PostgresStores
from ossa.testing.models.server import ScriptedProcess

EFFECTS_A_TASK = 3
SETTLE_POLL_S = 0.5
KINDS = {"agent": 0.72, "replica": 0.10, "controller": 0.10, "node": 0.08}
ACTOR_CLASSES = {"agent": "AgentActor", "controller": "ControllerActor"}
REPLICA_MARK = "ServeReplica:ossa:"


@dataclass(frozen=True)
class Plan:
    """`pause_s`: mean seconds between two kills."""

    kills: int
    seed: int
    agents: int = 10
    nodes: int = 2
    replicas: int = 2
    clients: int = 6
    pause_s: float = 1.5
    settle_s: float = 300.0


@dataclass
class Tally:
    """What happened so far."""

    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    done: bool = False


def prompt(name: str) -> str:
    calls = "".join(f"[[tool:record_effect {json.dumps({'task': name, 'n': n})}]]" for n in range(EFFECTS_A_TASK))
    return f"task {name} [[delay:0.05]] {calls}"


async def submit_for_ever(number: int, client: AsyncClient, rng: random.Random, tally: Tally) -> None:
    """One user: asynchronous tasks and chats, one after the other, until the killing is over."""
    count = 0
    while not tally.done:
        count += 1
        name = f"u{number}-{count}"
        try:
            if rng.random() < 0.6:
                task = await client.tasks.create(prompt(name), idempotency_key=name)
                tally.acknowledged.add(task.id)
                tally.names[task.id] = name
                await asyncio.sleep(rng.uniform(0.1, 0.6))
            else:
                await _chat(client, name, tally)
        except OssaError as error:
            tally.refused[error.code] += 1
            await asyncio.sleep(0.5)


async def _chat(client: AsyncClient, name: str, tally: Tally) -> None:
    """Ask again under the same key until there is an answer."""
    while True:
        try:
            answer = await client.chat(prompt(name), model="auto", idempotency_key=name)
        except OssaError as error:
            tally.refused[error.code] += 1
            await asyncio.sleep(0.5)
            continue
        tally.acknowledged.add(answer.task_id)
        tally.names[answer.task_id] = name
        return


class Killer:
    """Kills one process (or one node) at a time, as the seed says."""

    def __init__(self, plan: Plan, rng: random.Random, nodes: list[RayNode], tally: Tally, dashboard_url: str) -> None:
        self._plan = plan
        self._dashboard_url = dashboard_url
        self._rng = rng
        self._nodes = nodes
        self._tally = tally

    async def run(self) -> None:
        while self._tally.kills.total() < self._plan.kills:
            await asyncio.sleep(self._rng.expovariate(1 / self._plan.pause_s))
            kinds = [kind for kind in KINDS if kind != "node" or self._nodes]
            kind = self._rng.choices(kinds, [KINDS[kind] for kind in kinds])[0]
            if await asyncio.to_thread(self._kill, kind):
                self._tally.kills[kind] += 1
                print(f"  kill {self._tally.kills.total():>3}/{self._plan.kills} {kind}", file=sys.stderr)

    def _kill(self, kind: str) -> bool:
        """False when there is nothing of the kind to kill now."""
        if kind == "node":
            node = self._rng.choice(self._nodes)
            node.kill()
            node.start()
            return True
        pids = actor_pids(kind, self._dashboard_url)
        if not pids or (kind == "replica" and len(pids) < self._plan.replicas):
            return False
        try:
            os.kill(self._rng.choice(pids), signal.SIGKILL)
        except ProcessLookupError:  # it ended since it was listed
            return False
        return True


def actor_pids(kind: str, dashboard_url: str) -> list[int]:
    """The processes of a fleet's agents, controller or replicas."""
    # Ray reads its environment when it is imported, which the fleet sets first.
    from ray.util.state import list_actors

    alive: list[Any] = [("state", "=", "ALIVE")]
    actors = list_actors(address=dashboard_url, filters=alive, limit=1000, raise_on_missing_output=False)
    wanted = ACTOR_CLASSES.get(kind)
    return sorted(
        actor.pid
        for actor in actors
        if actor.pid and (actor.class_name == wanted if wanted else actor.class_name.startswith(REPLICA_MARK))
    )


async def kill_and_count(plan: Plan, fleet: BenchFleet, nodes: list[RayNode], effects: Path) -> dict[str, Any]:
    rng = random.Random(plan.seed)
    tally = Tally()
    async with connect_async(fleet.url, fleet.api_key, timeout_s=120) as client:
        users = [
            asyncio.create_task(submit_for_ever(number, client, random.Random(rng.random()), tally))
            for number in range(plan.clients)
        ]
        await Killer(plan, rng, nodes, tally, fleet.dashboard_url).run()
        tally.done = True
        await asyncio.wait_for(asyncio.gather(*users), plan.settle_s)
    stores = PostgresStores(fleet.settings.database, fleet.dsn)
    await stores.open()
    try:
        return await _verdict(plan, stores, tally, effects)
    finally:
        await stores.close()


async def _verdict(plan: Plan, stores: PostgresStores, tally: Tally, effects: Path) -> dict[str, Any]:
    """Wait until nothing is open, then count."""
    await _until_nothing_is_open(plan, stores)
    tasks = {task_id: await stores.journal.get(task_id) for task_id in tally.acknowledged}
    ended = Counter(task.status for task in tasks.values())
    still_open = await stores.journal.count_open()
    applied, tries = count_effects(effects)
    expected = {
        (tally.names[task_id], n)
        for task_id, task in tasks.items()
        if task.status is TaskStatus.SUCCEEDED
        for n in range(EFFECTS_A_TASK)
    }
    lost = [task for task in tasks.values() if task.status is not TaskStatus.SUCCEEDED]
    return {
        "seed": plan.seed,
        "kills": tally.kills.total(),
        "kills_by_kind": dict(tally.kills),
        "accepted": len(tasks),
        "completed": ended[TaskStatus.SUCCEEDED],
        "lost": len(lost),
        "lost_reasons": [f"{task.id} {task.status} {task.outcome and task.outcome.error}" for task in lost][:10],
        "open_at_the_end": still_open,
        "effects": applied.total(),
        "duplicated_effects": sum(count - 1 for count in applied.values()),
        "missing_effects": len(expected - set(applied)),
        "repeated_calls_suppressed": tries - applied.total(),
        "taken_over": sum(task.attempts > 1 for task in tasks.values()),
        "refused_before_acceptance": dict(tally.refused),
    }


async def _until_nothing_is_open(plan: Plan, stores: PostgresStores) -> None:
    deadline = time.monotonic() + plan.settle_s
    for _ in range(int(plan.settle_s / SETTLE_POLL_S)):
        if not await stores.journal.count_open() or time.monotonic() > deadline:
            return
        await asyncio.sleep(SETTLE_POLL_S)


def add_tool_everywhere(fleet: BenchFleet) -> None:
    """Give every manifest of the five pools the counting tool, by applying them again with it."""
    with fleet.client() as client:
        for pool, specs in catalogue().items():
            for spec in specs:
                document = json.loads(json.dumps(spec.document))
                document["spec"]["tools"] = [*document["spec"].get("tools", []), {"name": "record_effect"}]
                for limit in ("constraints", "max_steps"):
                    document["spec"].pop(limit, None)
                client.pools.apply(pool, dump(spec.model_copy(update={"document": document})))


def run(plan: Plan) -> dict[str, Any]:
    """Start a fleet, kill, count, stop the fleet."""
    with tempfile.TemporaryDirectory(prefix="ossa-kill-") as folder, ScriptedProcess() as upstream:
        effects = Path(folder) / "effects"
        effects.mkdir(mode=0o777)
        os.environ[ENVIRONMENT] = str(effects)
        began = time.monotonic()
        nodes: list[RayNode] = []
        with BenchFleet(
            f"{folder}/home",
            upstream,
            agents=plan.agents,
            replicas=plan.replicas,
            standby=2,
            fleet={"tool_modules": ("benchmarks.effects",), "block_agents": 2},
        ) as fleet:
            try:
                for number in range(plan.nodes):
                    node = RayNode(fleet.ray_address, cpus=4, log=Path(folder) / f"node-{number}.log")
                    node.start()
                    nodes.append(node)
                add_tool_everywhere(fleet)
                fleet.deploy()
                result = asyncio.run(kill_and_count(plan, fleet, nodes, effects))
            finally:
                for node in nodes:
                    node.kill()
        return {**result, "seconds": round(time.monotonic() - began, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--pause-s", type=float, default=1.5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    plan = Plan(
        kills=options.kills,
        seed=options.seed,
        agents=options.agents,
        nodes=options.nodes,
        clients=options.clients,
        pause_s=options.pause_s,
    )
    result = run(plan)
    width = max(map(len, result))
    for name, value in result.items():
        print(f"{name:<{width}}  {value}")
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if result["lost"] or result["duplicated_effects"] or result["missing_effects"] else 0


if __name__ == "__main__":
    sys.exit(main())
