"""How a cluster is: its processes as the run folder has them, its nodes as Ray has them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from ossa.contracts.value import Value
from ossa.nodes.run_folder import ClusterRun, NodeRecord

ASK_S = 10


class NodeStatus(Value):
    """`state`: idle, running or draining by Ray's word; starting; dead when its processes have ended."""

    node_id: str
    state: str
    pid: int
    cpus: float = 0.0
    cpus_used: float = 0.0
    memory_bytes: int = 0
    idle_s: float = 0.0


class ClusterStatus(Value):
    """`nodes_up`: nodes that Ray can place on, without the head. `trouble`: why Ray could not be asked."""

    address: str
    dashboard_url: str
    head_alive: bool
    nodes_up: int = 0
    nodes_starting: int = 0
    nodes: tuple[NodeStatus, ...] = ()
    waiting: int = Field(0, description="placement groups, tasks and actors that no node has room for")
    trouble: str = ""

    @property
    def well(self) -> bool:
        return self.head_alive and not self.trouble and self.nodes_up > 0


def cluster_status(run: ClusterRun, records: Sequence[NodeRecord]) -> ClusterStatus:
    """Asks the head for `ASK_S` seconds at most. Never raises."""
    alive = run.head.alive()
    known: dict[str, Any] = {}
    waiting = 0
    trouble = "" if alive else "the head is gone: `ossa cluster down` ends what is left"
    if alive:
        try:
            known, waiting = _ask(run.address)
        except Exception as error:  # noqa: BLE001 - whatever Ray raises: it cannot be asked
            trouble = f"the head does not answer: {error}"
    nodes = tuple(_node(record, known.get(record.node_id)) for record in records)
    return ClusterStatus(
        address=run.address,
        dashboard_url=run.dashboard_url,
        head_alive=alive,
        nodes_up=sum(node.state in ("idle", "running") for node in nodes),
        nodes_starting=sum(node.state == "starting" for node in nodes),
        nodes=nodes,
        waiting=waiting,
        trouble=trouble,
    )


def _ask(address: str) -> tuple[dict[str, Any], int]:
    """Ray's nodes by the provider's id, and how many placement groups, tasks and actors wait for room."""
    # Ray reads it when it is imported; every process of the cluster has it.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    from ray.autoscaler.v2.sdk import get_cluster_status

    status = get_cluster_status(address, timeout=ASK_S)
    nodes = {node.instance_id: node for node in (*status.active_nodes, *status.idle_nodes)}
    demands = (*status.resource_demands.ray_task_actor_demand, *status.resource_demands.placement_group_demand)
    return nodes, sum(bundle.count for demand in demands for bundle in demand.bundles_by_count)


def _node(record: NodeRecord, found: Any) -> NodeStatus:
    if found is None or not record.process.alive():
        state = "starting" if record.process.alive() else "dead"
        return NodeStatus(node_id=record.node_id, state=state, pid=record.process.pid)
    cpus = found.total_resources().get("CPU", 0.0)
    return NodeStatus(
        node_id=record.node_id,
        state=found.node_status.lower(),
        pid=record.process.pid,
        cpus=cpus,
        cpus_used=round(found.used_resources().get("CPU", 0.0), 3),
        memory_bytes=int(found.total_resources().get("memory", 0)),
        idle_s=round(found.resource_usage.idle_time_ms / 1000, 1),
    )
