"""A small Ray cluster of three nodes and one fleet on it, shared by the tests of this folder."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray import cloudpickle
from ray.cluster_utils import Cluster

from ossa.channel import ChannelLink
from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.configuration import Database, FleetSettings
from ossa.contracts.fleet import POOLS, AgentInfo, AgentState, FleetSnapshot, Operation
from ossa.contracts.task import Assignment, Outcome, TaskRequest, TaskStatus, Turn
from ossa.contracts.turn import TurnResult, TurnSink
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.fleet import ControllerConfig, FleetClient, start_controller, stop_fleet
from ossa.stores.postgres import PostgresStores

NAMESPACE = "fleet-tests"
GET_THERE_S = 90.0

# Agents do not import tests: what they need of this file travels with the call.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class EchoRunner:
    """Says who it is. A message that is a path holds the turn until a file is there."""

    def __init__(self, assignment: Assignment) -> None:
        self._name = f"{assignment.agent_id} v{assignment.spec.version}"

    async def run(self, turn: Turn, sink: TurnSink) -> TurnResult:
        content = turn.request.messages[-1]["content"]
        # A file is all that a test and an agent's process have in common.
        while content.startswith("/") and not Path(content).exists():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)
        message = {"role": "assistant", "content": self._name}
        return TurnResult(outcome=Outcome(status=TaskStatus.SUCCEEDED, message=message))


def build_echo(assignment: Assignment) -> EchoRunner:
    if assignment.spec.name == "broken":
        raise ValueError("this manifest names a tool that is not there")
    return EchoRunner(assignment)


def manifest(name: str = "echo", version: str = "1.0.0") -> AgentSpec:
    return AgentSpec(name=name, version=version, dialect="ossa/v0.5.0", digest=f"{name}-{version}")


@dataclass
class Fleet:
    """The fleet under test, with what a test does to it."""

    client: FleetClient
    stores: PostgresStores
    cluster: Cluster
    link: ChannelLink = field(init=False)

    def __post_init__(self) -> None:
        self.link = ChannelLink(lambda: self.client.snapshot().channel_token)

    async def until(self, holds: Callable[[FleetSnapshot], bool]) -> FleetSnapshot:
        return await self.client.wait_until(holds, GET_THERE_S)

    async def do(self, kind: Any, request: dict[str, Any]) -> Operation:
        """Submit and wait for the end."""
        operation = await self.client.submit(kind, request, tenant="acme")
        async with asyncio.timeout(GET_THERE_S):
            while operation.status in ("pending", "running"):
                await asyncio.sleep(0.05)
                operation = await self.stores.fleet.operation(operation.id)
        return operation

    async def has(self, count: int, pool: str = "security") -> FleetSnapshot:
        operation = await self.do("spawn-pool", {"pool_type": pool, "agent_count": count})
        assert operation.status == "succeeded", operation
        return await self.until(lambda snapshot: self.settled(snapshot, pool, count))

    def settled(self, snapshot: FleetSnapshot, pool: str, count: int) -> bool:
        states = [agent.state for agent in snapshot.agents if agent.pool == pool]
        return states == [AgentState.READY] * count and snapshot.standby == 1

    async def ask(self, agent: AgentInfo, content: str = "who are you?") -> str:
        turn = Turn(
            task_id="task_1", tenant="acme", request=TaskRequest(messages=[{"role": "user", "content": content}])
        )

        async def nothing(_: Any) -> None: ...

        result = await self.link.run(agent, turn, on_delta=nothing, on_steps=nothing)
        assert result.outcome.message is not None
        return str(result.outcome.message["content"])

    def actors(self) -> list[str]:
        rows = ray.util.list_named_actors(all_namespaces=True)
        return sorted(row["name"] for row in rows if row["namespace"] == NAMESPACE)

    def blocks(self) -> list[dict[str, Any]]:
        table = ray.util.placement_group_table().values()
        return [row for row in table if row["name"].startswith(f"ossa:{NAMESPACE}:") and row["state"] != "REMOVED"]


def controller_pid() -> int:
    return actor_pid("ControllerActor")


def actor_pid(kind: str) -> int:
    """Of this test's actor: a child of this cluster's raylets, told by the title Ray gives it."""
    mine = {child.pid for child in psutil.Process().children(recursive=True)}
    for process in psutil.process_iter(["pid", "ppid", "cmdline"]):
        if process.info["ppid"] in mine and (process.info["cmdline"] or [""])[0].startswith(f"ray::{kind}"):
            return int(process.info["pid"])
    raise AssertionError(f"no {kind} is running")


def start_head() -> Cluster:
    """Ray gives its own processes half a minute; on a machine that never ran it the second try finds them warm."""
    # No workers in advance: they cost more than a second of a core each.
    quick = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    quiet = {"enable_worker_prestart": False, "prestart_worker_first_driver": False}
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": {**quick, **quiet}}
    try:
        return Cluster(initialize_head=True, head_node_args=head)
    except RuntimeError:
        return Cluster(initialize_head=True, head_node_args=head)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = start_head()
    for _ in range(2):
        made.add_node(num_cpus=3)
    ray.init(address=made.address, namespace="driver", log_to_driver=False, configure_logging=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def make_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], PostgresStores]]:
    """Builds stores over a database of this module's own, also in the controller's process."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("fleet") / "postgres")
    yield partial(PostgresStores, Database(), server.start())
    server.erase()


@pytest.fixture(scope="module")
async def fleet(cluster: Cluster, make_stores: Callable[[], PostgresStores]) -> AsyncIterator[Fleet]:
    settings = FleetSettings(namespace=NAMESPACE, standby=1, block_agents=2, reconcile_interval_s=0.5)
    catalogue = {pool: (manifest(),) for pool in POOLS}
    start_controller(ControllerConfig(settings, build_echo, make_stores, catalogue))
    client = FleetClient(NAMESPACE)
    await client.start()
    stores = make_stores()
    await stores.open()
    made = Fleet(client, stores, cluster)
    yield made
    await made.link.close()
    await stores.close()
    await client.close()
    stop_fleet(NAMESPACE)
