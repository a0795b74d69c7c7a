"""What Ray's autoscaler is promised of `RayletProvider`, over a starter in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_NODE_STATUS, TAG_RAY_USER_NODE_TYPE

from ossa.nodes.provider import RayletProvider
from ossa.nodes.run_folder import HEAD_ID, NodeRecord, ProcessRecord, RunFolder

TAGS = {TAG_RAY_NODE_KIND: "worker", TAG_RAY_USER_NODE_TYPE: "worker"}
WAIT_S = 10.0


class MemoryStarter:
    """Nodes that are names. `die` ends one as a crash does; cleared, `hold` keeps those in start that are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._living: set[str] = set()
        self.ended: list[str] = []
        self.starting = 0
        self.most_starting = 0
        self.hold = threading.Event()
        self.hold.set()

    def start(
        self, node_id: str, *, resources: Mapping[str, float], labels: Mapping[str, str], tags: Mapping[str, str]
    ) -> NodeRecord:
        with self._lock:
            self._living.add(node_id)
            self.starting += 1
            self.most_starting = max(self.most_starting, self.starting)
        return NodeRecord(node_id=node_id, process=ProcessRecord(pid=1, started=0.0), tags=dict(tags), temp_dir="")

    def wait(self, record: NodeRecord) -> None:
        self.hold.wait(WAIT_S)
        with self._lock:
            self.starting -= 1

    def alive(self, record: NodeRecord) -> bool:
        return record.node_id in self._living

    def end(self, records: Sequence[NodeRecord]) -> None:
        with self._lock:
            for record in records:
                self._living.discard(record.node_id)
                self.ended.append(record.node_id)

    def die(self, node_id: str) -> None:
        self._living.discard(node_id)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path)
    made.make()
    return made


@pytest.fixture
def starter() -> Iterator[MemoryStarter]:
    made = MemoryStarter()
    yield made
    made.hold.set()


def provider(folder: RunFolder, starter: MemoryStarter, *, at_once: int = 2) -> RayletProvider:
    said = {
        **{"run_folder": str(folder.path), "address": "127.0.0.1:1", "temp_dir": str(folder.path)},
        **{"head_node_type": "head", "starts_at_once": at_once},
    }
    return RayletProvider(said, "local", starter)


def workers(of: RayletProvider) -> list[str]:
    return of.non_terminated_nodes({TAG_RAY_NODE_KIND: "worker"})


def create(of: RayletProvider, count: int = 1) -> list[str]:
    return list(of.create_node_with_resources_and_labels({}, TAGS, count, {"CPU": 8.0}, {}))


def until(reached: object, *, what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not reached():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_the_head_is_listed_and_cannot_be_ended(folder: RunFolder, starter: MemoryStarter) -> None:
    of = provider(folder, starter)
    assert of.non_terminated_nodes({}) == [HEAD_ID]
    of.terminate_node(HEAD_ID)
    assert of.is_running(HEAD_ID)
    assert of.node_tags(HEAD_ID)[TAG_RAY_USER_NODE_TYPE] == "head"


def test_a_created_node_is_listed_until_it_is_ended(folder: RunFolder, starter: MemoryStarter) -> None:
    of = provider(folder, starter)
    (node,) = create(of)
    assert workers(of) == [node]
    of.terminate_node(node)
    assert workers(of) == []
    assert of.is_terminated(node)
    assert starter.ended == [node]
    assert folder.nodes() == []


def test_a_node_that_died_is_listed_no_more_and_what_it_left_is_ended(
    folder: RunFolder, starter: MemoryStarter
) -> None:
    of = provider(folder, starter)
    dead, living = create(of, 2)
    starter.die(dead)
    assert workers(of) == [living]
    until(lambda: starter.ended == [dead], what="what a dead node left is ended")
    until(lambda: [record.node_id for record in folder.nodes()] == [living], what="its file goes")


def test_no_more_nodes_start_at_the_same_time_than_the_plan_says(folder: RunFolder, starter: MemoryStarter) -> None:
    of = provider(folder, starter, at_once=2)
    starter.hold.clear()
    threads = [threading.Thread(target=create, args=(of,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: starter.starting == 2, what="two are in start")
    starter.hold.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert starter.most_starting == 2
    assert len(workers(of)) == 6


def test_a_new_provider_takes_over_the_nodes_of_the_one_before(folder: RunFolder, starter: MemoryStarter) -> None:
    first = provider(folder, starter)
    (node,) = create(first)
    first.set_node_tags(node, {TAG_RAY_NODE_STATUS: "up-to-date"})
    second = provider(folder, starter)
    assert workers(second) == [node]
    assert second.node_tags(node) == {**TAGS, TAG_RAY_NODE_STATUS: "up-to-date"}
    second.terminate_node(node)
    assert starter.ended == [node]


def test_ending_a_node_twice_ends_it_once(folder: RunFolder, starter: MemoryStarter) -> None:
    of = provider(folder, starter)
    (node,) = create(of)
    of.terminate_nodes([node, "node-unknown"])
    of.terminate_node(node)
    assert starter.ended == [node]


def test_nodes_are_found_by_their_tags(folder: RunFolder, starter: MemoryStarter) -> None:
    of = provider(folder, starter)
    (node,) = create(of)
    assert of.non_terminated_nodes({TAG_RAY_USER_NODE_TYPE: "worker"}) == [node]
    assert of.non_terminated_nodes({TAG_RAY_USER_NODE_TYPE: "head"}) == [HEAD_ID]
    assert of.non_terminated_nodes({TAG_RAY_USER_NODE_TYPE: "gpu"}) == []
