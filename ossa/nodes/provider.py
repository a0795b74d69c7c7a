"""The node provider that Ray's autoscaler calls: `provider.module` of `cluster/ray-local.yaml`.

Ray creates it in the autoscaler's process and calls it from several threads. Autoscaler v2 adapts it
(`NodeProviderAdapter`): an id that is no longer listed is a lost node, which the autoscaler replaces.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import NODE_KIND_HEAD, TAG_RAY_NODE_KIND, TAG_RAY_USER_NODE_TYPE

from ossa.nodes.raylet import NodeStarter, RayletStarter
from ossa.nodes.run_folder import HEAD_ID, NodeRecord, RunFolder

log = logging.getLogger(__name__)


class RayletProvider(NodeProvider):
    """Nodes are raylets on this machine. Its state is in the run folder, from which a new provider takes over.

    Args:
        provider_config: `provider` of the plan, with `run_folder`, `address`, `temp_dir` and `head_node_type`.
        starter: starts and ends nodes; tests pass another.
    """

    def __init__(self, provider_config: dict[str, Any], cluster_name: str, starter: NodeStarter | None = None) -> None:
        super().__init__(provider_config, cluster_name)
        self._folder = RunFolder(Path(provider_config["run_folder"]))
        self._starter = starter or RayletStarter(
            provider_config["address"],
            temp_dir=Path(provider_config["temp_dir"]),
            logs=self._folder.logs,
            node_type_tag=TAG_RAY_USER_NODE_TYPE,
        )
        self._head_tags = {
            TAG_RAY_NODE_KIND: NODE_KIND_HEAD,
            TAG_RAY_USER_NODE_TYPE: provider_config["head_node_type"],
        }
        self._lock = threading.Lock()
        self._nodes = {record.node_id: record for record in self._folder.nodes()}
        self._starts = threading.BoundedSemaphore(int(provider_config.get("starts_at_once", 2)))
        self._enders = ThreadPoolExecutor(max_workers=2, thread_name_prefix="ender")

    def non_terminated_nodes(self, tag_filters: Mapping[str, str]) -> list[str]:
        """Returns the head and every node whose process lives. Remains of other nodes are ended."""
        with self._lock:
            dead = [record for record in self._nodes.values() if not self._starter.alive(record)]
            for record in dead:
                del self._nodes[record.node_id]
            tags = {HEAD_ID: self._head_tags} | {node_id: record.tags for node_id, record in self._nodes.items()}
        for record in dead:
            log.warning("node_died", extra={"node": record.node_id})
        if dead:
            # This takes seconds and the autoscaler waits for the list, so it happens in the background.
            self._enders.submit(self._end, dead)
        return [node_id for node_id, node_tags in tags.items() if _match(node_tags, tag_filters)]

    def is_running(self, node_id: str) -> bool:
        record = self._nodes.get(node_id)
        return node_id == HEAD_ID or (record is not None and self._starter.alive(record))

    def is_terminated(self, node_id: str) -> bool:
        return not self.is_running(node_id)

    def node_tags(self, node_id: str) -> dict[str, str]:
        """Returns a node's tags; none for a node that has gone since it was listed."""
        record = self._nodes.get(node_id)
        return dict(self._head_tags if node_id == HEAD_ID else record.tags if record else {})

    def set_node_tags(self, node_id: str, tags: Mapping[str, str]) -> None:
        with self._lock:
            record = self._nodes.get(node_id)
            if record is not None:
                self._nodes[node_id] = record.model_copy(update={"tags": {**record.tags, **tags}})
                self._folder.write_node(self._nodes[node_id])

    def internal_ip(self, node_id: str) -> str:
        """Returns the id: all nodes share the machine's address."""
        return node_id

    def external_ip(self, node_id: str) -> str:
        return node_id

    def create_node_with_resources_and_labels(
        self,
        node_config: dict[str, Any],
        tags: dict[str, str],
        count: int,
        resources: dict[str, float],
        labels: dict[str, str],
    ) -> dict[str, Any]:
        """Starts nodes, `starts_at_once` over all calls; returns when they are up or have failed.

        A failed node is no longer listed, and the autoscaler asks again. Raises `OSError` if none starts.
        """
        made: dict[str, Any] = {}
        for _ in range(count):
            with self._starts:
                record = self._start(resources, labels, tags)
                made[record.node_id] = {"pid": record.process.pid}
                self._starter.wait(record)
        return made

    def terminate_node(self, node_id: str) -> None:
        self.terminate_nodes([node_id])

    def terminate_nodes(self, node_ids: Sequence[str]) -> None:
        """Returns when the nodes' processes have ended. Nodes that are gone and the head are skipped."""
        with self._lock:
            taken = [self._nodes.pop(node_id) for node_id in node_ids if node_id in self._nodes]
        self._end(taken)

    def _start(self, resources: dict[str, float], labels: dict[str, str], tags: dict[str, str]) -> NodeRecord:
        with self._lock:
            record = self._starter.start(f"node-{secrets.token_hex(4)}", resources=resources, labels=labels, tags=tags)
            self._folder.write_node(record)
            self._nodes[record.node_id] = record
        log.info("node_started", extra={"node": record.node_id})
        return record

    def _end(self, records: Sequence[NodeRecord]) -> None:
        """Ends nodes. Their records go last, so that what could not be ended can still be found."""
        self._starter.end(records)
        for record in records:
            self._folder.remove_node(record.node_id)


def _match(tags: Mapping[str, str], filters: Mapping[str, str]) -> bool:
    return all(tags.get(name) == value for name, value in filters.items())
