"""Tables of agents' descriptions, built in the background so that no decision waits for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.routing.index import AgentGroup, FleetIndex, plain_words
from ossa.routing.learned.agents import AgentMatcher, AgentTable, AgentText
from ossa.routing.learned.reading import Reading

logger = logging.getLogger(__name__)

GroupKey = tuple[str, str, str | None]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DescribedFleet:
    """`texts`: descriptions by group, in the order of the table's rows."""

    index: FleetIndex
    texts: dict[GroupKey, str]
    table: AgentTable

    def rows(self, index: FleetIndex) -> NDArray[np.int64]:
        """Returns the row of each group of another index; -1 for a group that is not in the table."""
        row_of = {key: row for row, key in enumerate(self.texts)}
        return np.asarray([row_of.get(_key(group), -1) for group in index.groups], dtype=np.int64)


def in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="agent-descriptions").start()


class Descriptions:
    """The table of the latest fleet. Thread-safe.

    Building a table takes tens of milliseconds for hundreds of manifests, and a new index comes whenever an agent
    comes or goes. So `run` builds it, descriptions that were read before are reused, and no decision waits: until the
    new table is there, the previous one scores the groups it has.

    Args:
        run: calls its argument once, at any time.
    """

    def __init__(self, run: Callable[[Callable[[], None]], None] = in_a_thread) -> None:
        self._run = run
        self._latest: DescribedFleet | None = None
        self._rows: tuple[FleetIndex, DescribedFleet, NDArray[np.int64]] | None = None
        self._read: dict[str, AgentText] = {}
        self._requested: tuple[FleetIndex, AgentMatcher] | None = None
        self._busy = False
        self._request_lock = threading.Lock()
        self._build_lock = threading.Lock()

    def likely(self, index: FleetIndex, matcher: AgentMatcher, reading: Reading) -> Floats | None:
        """Returns at once how likely each group is meant; shape (groups,), sums to 1.

        0 for a group that is not in the table yet; None if no group is.
        """
        latest = self._latest
        if latest is not None and latest.index is index and latest.table.matcher is matcher:
            return latest.table.likely(reading)
        self._request(index, matcher)
        if latest is None or latest.table.matcher is not matcher:
            return None
        rows = self._rows_of(latest, index)
        has_row = rows >= 0
        if not has_row.any():
            return None
        likely: Floats = np.where(has_row, latest.table.likely(reading)[rows], np.float32(0))
        return likely / max(float(likely.sum()), 1e-9)

    def arrange(self, index: FleetIndex, matcher: AgentMatcher) -> None:
        """Builds the table in the caller's thread. Equal descriptions keep their table."""
        with self._build_lock:
            latest = self._latest
            before = {} if latest is None else latest.texts
            texts = {_key(group): _text(group, before) for group in index.groups}
            if latest is None or latest.table.matcher is not matcher or [*before.items()] != [*texts.items()]:
                self._read = {text: self._read.get(text) or AgentText.of(text) for text in texts.values()}
                table = AgentTable.of_texts([self._read[text] for text in texts.values()], matcher)
            else:
                table = latest.table
            self._latest = DescribedFleet(index, texts, table)

    def _rows_of(self, latest: DescribedFleet, index: FleetIndex) -> NDArray[np.int64]:
        cached = self._rows
        if cached is None or cached[0] is not index or cached[1] is not latest:
            cached = self._rows = (index, latest, latest.rows(index))
        return cached[2]

    def _request(self, index: FleetIndex, matcher: AgentMatcher) -> None:
        requested = self._requested
        if requested is not None and requested[0] is index and requested[1] is matcher:
            return
        with self._request_lock:
            self._requested = (index, matcher)
            if self._busy:
                return
            self._busy = True
        self._run(self._build_requested)

    def _build_requested(self) -> None:
        """Builds until the latest request is served. A request that failed stays, so that it is not retried at every
        decision."""
        done: tuple[FleetIndex, AgentMatcher] | None = None
        while True:
            with self._request_lock:
                if self._requested is None or self._requested is done:
                    self._busy = False
                    return
                done = self._requested
            try:
                self.arrange(*done)
            except Exception:  # the thread's boundary: the previous table stays in use
                logger.exception("agent_descriptions_not_arranged", extra={"groups": len(done[0].groups)})
                continue
            with self._request_lock:
                if self._requested is done:
                    self._requested = None


def _text(group: AgentGroup, before: dict[GroupKey, str]) -> str:
    """Keeps the earlier text while no agent of the group is ready: none is asked then."""
    if not group.ready:
        return before.get(_key(group), "")
    agent = group.ready[0][0]
    return plain_words(group.pool, group.manifest, agent.description, *agent.capabilities, *agent.tools)


def _key(group: AgentGroup) -> GroupKey:
    return group.pool, group.manifest, group.tenant
