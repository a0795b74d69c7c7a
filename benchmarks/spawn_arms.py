"""One arm of `benchmarks.spawn`, in a process of its own: a fresh cluster, a fleet or bare actors, JSON on stdout."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

from ossa.agent import RunnerFactory
from ossa.channel import ChannelLink
from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.configuration import Database, FleetSettings, Models
from ossa.contracts.fleet import AgentInfo, DesiredAgent, FleetSnapshot
from ossa.contracts.task import TaskRequest, TaskStatus, Turn
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.fleet import ControllerConfig, FleetClient, start_controller, stop_fleet
from ossa.manifest import catalogue
from ossa.stores.postgres import PostgresStores
from ossa.testing.models.server import ScriptedModelServer

NAMESPACE = "spawn-benchmark"
PHASE = "phase4-enterprise-analytics"
GET_THERE_S = 1800.0
DASHBOARD_LOOK_MS = "60000"
"""Between a dashboard agent's looks at its node's processes, in every arm: the looks of all nodes fall on one machine
here, and take half a core at 200 processes and Ray's 5 s."""

ASK_AT_ONCE = 16
SETTLE_S = 10.0
REST_S = 20.0
"""When all are up and nobody asks anything, so long until, and while, their use of the CPU is measured."""


class BareActor:
    """What Ray itself costs: an actor that does nothing."""

    def ping(self) -> int:
        return os.getpid()


@contextmanager
def nodes_up(nodes: int, cpus: int) -> Iterator[Cluster]:
    """Nodes of that many logical CPUs, the first being the head.

    Workers are not started in advance: a process starts when it is asked for, in every arm.
    """
    os.environ.setdefault("REPORTER_UPDATE_INTERVAL_MS", DASHBOARD_LOOK_MS)
    plain = {"enable_worker_prestart": False, "prestart_worker_first_driver": False}
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False, "_system_config": plain}
    )
    try:
        for _ in range(nodes - 1):
            made.add_node(num_cpus=cpus)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def cluster(nodes: int, cpus: int) -> Iterator[None]:
    """The same, with this process connected."""
    with nodes_up(nodes, cpus) as made:
        ray.init(address=made.address, namespace="benchmark", log_to_driver=False, configure_logging=False)
        yield


def pss_mib(pids: Iterable[int]) -> dict[str, float]:
    """Proportional set size: a page that n processes share counts 1/n in each."""
    sizes = [psutil.Process(pid).memory_full_info().pss / 2**20 for pid in pids]
    return {"mean": round(statistics.fmean(sizes), 2), "max": round(max(sizes), 2)}


def at_rest(pids: Iterable[int]) -> float:
    """Milliseconds of a core that each process uses a second, mean."""
    processes = [psutil.Process(pid) for pid in pids]
    time.sleep(SETTLE_S)
    began, before = time.perf_counter(), [sum(process.cpu_times()[:2]) for process in processes]
    time.sleep(REST_S)
    after = [sum(process.cpu_times()[:2]) for process in processes]
    seconds = time.perf_counter() - began
    return round(1000 * statistics.fmean(b - a for a, b in zip(before, after, strict=True)) / seconds, 2)


def run_bare(agents: int, cpus_per_agent: float, at_once: int, *, rest: bool = False) -> dict[str, Any]:
    """As many in start at once as the fleet starts; up when every one has answered.

    Without that bound some hundred processes start together, and on few cores take several times as long.
    """
    actor_class = ray.remote(BareActor).options(num_cpus=cpus_per_agent)
    actors: list[Any] = []
    pids: list[int] = []
    starting: list[Any] = []
    began = time.perf_counter()
    while len(pids) < agents:
        while len(starting) < at_once and len(actors) < agents:
            actors.append(actor_class.remote())
            starting.append(actors[-1].ping.remote())
        answered, starting = ray.wait(starting, num_returns=1, timeout=GET_THERE_S)
        pids += ray.get(answered)
    seconds = time.perf_counter() - began
    found = {"agents_up": len(set(pids)), "seconds": round(seconds, 2), "pss_mib_per_agent": pss_mib(pids)}
    return {**found, "rest_ms_per_s": at_rest(pids)} if rest else found


@contextmanager
def database() -> Iterator[str]:
    """Yields the DSN of a PostgreSQL server of this arm's own."""
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            yield server.start()
        finally:
            server.erase()


async def run_fleet(agents: int, settings: FleetSettings, samples: int, out: Path) -> dict[str, Any]:
    """From the submitted operation until every agent has answered a turn over its channel.

    What is known by then is written to `out` before standbys are sampled, which takes as long again.
    """
    async with ScriptedModelServer() as model:
        endpoint = {"base_url": model.base_url, "model": "scripted"}
        runners = RunnerFactory(Models.model_validate({"tiers": {"standard": endpoint}, "embedded": False}))
        with database() as dsn:
            began = time.perf_counter()
            config = ControllerConfig(settings, runners, partial(PostgresStores, Database(), dsn), catalogue())
            await asyncio.to_thread(start_controller, config)
            client = FleetClient(NAMESPACE)
            await client.start()
            controller_s = time.perf_counter() - began
            try:
                report = await _spawn(client, agents)
                report["controller_start_s"] = round(controller_s, 2)
                out.write_text(json.dumps(report))  # noqa: ASYNC240 - nothing else runs now
                if samples:
                    report["standby_assign_ms"] = await _assign_standbys(client, samples)
                    report["kill_to_ready_ms"] = await _kill_agents(client, samples // 5)
            finally:
                await client.close()
                await asyncio.to_thread(stop_fleet, NAMESPACE)
            return report


async def _spawn(client: FleetClient, agents: int) -> dict[str, Any]:
    began = time.perf_counter()
    await client.submit("deploy-phase", {"phase": PHASE, "target_agents": agents}, tenant="benchmark")
    snapshot = await client.wait_until(lambda s: sum(pool.ready for pool in s.pools) == agents, GET_THERE_S)
    ready_s = time.perf_counter() - began
    link = ChannelLink(lambda: client.snapshot().channel_token)
    gate = asyncio.Semaphore(ASK_AT_ONCE)
    answered = await asyncio.gather(*(_answers(link, agent, gate) for agent in snapshot.agents))
    seconds = time.perf_counter() - began
    await link.close()
    settled = await client.wait_until(lambda s: s.standby == 1, GET_THERE_S)
    return {
        "agents_up": answered.count(""),
        "errors": sorted({error for error in answered if error})[:5],
        "seconds": round(seconds, 2),
        "ready_s": round(ready_s, 2),
        "pss_mib_per_agent": pss_mib(agent.pid for agent in settled.agents),
        "rest_ms_per_s": await asyncio.to_thread(at_rest, [agent.pid for agent in settled.agents]),
        "pools": {pool.name: pool.ready for pool in settled.pools},
        "agents_per_node": sorted(Counter(agent.node_id for agent in settled.agents).values()),
    }


async def _answers(link: ChannelLink, agent: AgentInfo, gate: asyncio.Semaphore) -> str:
    """One real turn: over the channel, through the runner, to the model and back. Returns what went wrong, if so."""
    request = TaskRequest(messages=[{"role": "user", "content": f"are you {agent.agent_id}?"}])
    turn = Turn(task_id=f"task_{agent.agent_id}", tenant="benchmark", request=request)

    async def nothing(_: object) -> None: ...

    async with gate:
        outcome = (await link.run(agent, turn, on_delta=nothing, on_steps=nothing)).outcome
    return "" if outcome.status is TaskStatus.SUCCEEDED else str(outcome.error)


async def _assign_standbys(client: FleetClient, samples: int) -> dict[str, Any]:
    """From the call that wants an agent to the snapshot that has it, for a client; a standby is there each time."""
    took: list[float] = []
    for number in range(samples):
        await client.wait_until(lambda s: s.standby == 1, GET_THERE_S)
        spec = AgentSpec(name=f"sample-{number}", dialect="ossa/v0.5.0", digest=str(number))
        own = DesiredAgent(agent_id=f"sample-{number}", pool="community", tenant="benchmark", spec=spec)
        began = time.perf_counter()
        await client.spawn_agent(own)
        await client.wait_until(lambda s, own=own: _serves(s, own.agent_id), GET_THERE_S)  # type: ignore[misc]
        took.append((time.perf_counter() - began) * 1000)
        await client.remove_agent(own.agent_id, tenant="benchmark")
    return _percentiles(took)


async def _kill_agents(client: FleetClient, samples: int) -> dict[str, Any]:
    """From SIGKILL of an agent's process to the snapshot in which a standby has its place."""
    took: list[float] = []
    for number in range(samples):
        snapshot = await client.wait_until(lambda s: s.standby == 1, GET_THERE_S)
        pool_agents = [agent for agent in snapshot.agents if agent.tenant is None]
        victim = pool_agents[number * 7 % len(pool_agents)]
        began = time.perf_counter()
        os.kill(victim.pid, 9)
        await client.wait_until(lambda s, v=victim: _serves(s, v.agent_id, v.incarnation), GET_THERE_S)  # type: ignore[misc]
        took.append((time.perf_counter() - began) * 1000)
    return _percentiles(took)


def _serves(snapshot: FleetSnapshot, agent_id: str, other_than: str = "") -> bool:
    return any(
        agent.agent_id == agent_id and agent.state == "ready" and agent.incarnation != other_than
        for agent in snapshot.agents
    )


def _percentiles(values: list[float]) -> dict[str, Any]:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {
        "n": len(values),
        "p50": round(statistics.median(ordered), 2),
        "p99": round(p99, 2),
        "max": round(ordered[-1], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arm", choices=["fleet", "bare"])
    parser.add_argument("--agents", type=int, required=True)
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--cpus-per-node", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    settings = FleetSettings(namespace=NAMESPACE, standby=1, start_timeout_s=600)
    with cluster(args.nodes, args.cpus_per_node):
        if args.arm == "bare":
            report = run_bare(args.agents, settings.cpus_per_agent, settings.start_parallelism, rest=True)
        else:
            report = asyncio.run(run_fleet(args.agents, settings, args.samples, args.out))
    args.out.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
