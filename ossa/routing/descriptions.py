"""What the agents of a fleet say of themselves, arranged for scoring beside the decisions that use it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.routing.index import AgentGroup, FleetIndex
from ossa.routing.learned.agents import AgentMatcher, AgentTable, Told
from ossa.routing.learned.reading import Reading

logger = logging.getLogger(__name__)

Key = tuple[str, str, str | None]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Arranged:
    """One fleet's. `texts`: by group, in the order of the table's rows."""

    index: FleetIndex
    texts: dict[Key, str]
    table: AgentTable

    def rows(self, index: FleetIndex) -> NDArray[np.int64]:
        """The row of each group of another index; -1: not in the table."""
        row_of = {key: row for row, key in enumerate(self.texts)}
        return np.asarray([row_of.get(_key(group), -1) for group in index.groups], dtype=np.int64)


def in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="agent-descriptions").start()


class Descriptions:
    """The latest fleet's, for any number of threads.

    To arrange a fleet takes tens of milliseconds for hundreds of manifests, and an index is made anew whenever an
    agent comes or goes. So it is done by `run`, what was read of a description is kept, and no decision waits: until
    the new table is there, the one before it scores the groups that it has.

    Args:
        run: calls what it is given, once, at any time.
    """

    def __init__(self, run: Callable[[Callable[[], None]], None] = in_a_thread) -> None:
        self._run = run
        self._latest: Arranged | None = None
        self._stand_in: tuple[FleetIndex, Arranged, NDArray[np.int64]] | None = None
        self._told: dict[str, Told] = {}
        self._wanted: tuple[FleetIndex, AgentMatcher] | None = None
        self._busy = False
        self._hand_over = threading.Lock()
        self._one_at_a_time = threading.Lock()

    def likely(self, index: FleetIndex, matcher: AgentMatcher, reading: Reading) -> Floats | None:
        """How likely each group is the one meant; shape (groups,), sums to 1. Returns at once.

        0 for a group that is not in the table yet; None where none is.
        """
        latest = self._latest
        if latest is not None and latest.index is index and latest.table.matcher is matcher:
            return latest.table.likely(reading)
        self._want(index, matcher)
        if latest is None or latest.table.matcher is not matcher:
            return None
        rows = self._rows(latest, index)
        known = rows >= 0
        if not known.any():
            return None
        found: Floats = np.where(known, latest.table.likely(reading)[rows], np.float32(0))
        return found / max(float(found.sum()), 1e-9)

    def arrange(self, index: FleetIndex, matcher: AgentMatcher) -> None:
        """Now, in the caller's thread. Equal descriptions keep their table."""
        with self._one_at_a_time:
            latest = self._latest
            before = {} if latest is None else latest.texts
            texts = {_key(group): _text(group, before) for group in index.groups}
            if latest is None or latest.table.matcher is not matcher or latest.texts != texts or [*before] != [*texts]:
                self._told = {text: self._told.get(text) or Told.of(text) for text in texts.values()}
                table = AgentTable.of_told([self._told[text] for text in texts.values()], matcher)
            else:
                table = latest.table
            self._latest = Arranged(index, texts, table)

    def _rows(self, latest: Arranged, index: FleetIndex) -> NDArray[np.int64]:
        known = self._stand_in
        if known is None or known[0] is not index or known[1] is not latest:
            known = self._stand_in = (index, latest, latest.rows(index))
        return known[2]

    def _want(self, index: FleetIndex, matcher: AgentMatcher) -> None:
        wanted = self._wanted
        if wanted is not None and wanted[0] is index and wanted[1] is matcher:
            return
        with self._hand_over:
            self._wanted = (index, matcher)
            if self._busy:
                return
            self._busy = True
        self._run(self._work)

    def _work(self) -> None:
        """Until nothing newer is wanted. What failed stays wanted, so that it is not tried at every decision."""
        done: tuple[FleetIndex, AgentMatcher] | None = None
        while True:
            with self._hand_over:
                if self._wanted is None or self._wanted is done:
                    self._busy = False
                    return
                done = self._wanted
            try:
                self.arrange(*done)
            except Exception:  # the thread's boundary: the table before goes on
                logger.exception("agent_descriptions_not_arranged", extra={"groups": len(done[0].groups)})
                continue
            with self._hand_over:
                if self._wanted is done:
                    self._wanted = None


def _text(group: AgentGroup, before: dict[Key, str]) -> str:
    """While none of the group is ready, what was known of it: none is then asked."""
    if not group.seats:
        return before.get(_key(group), "")
    agent = group.seats[0][0]
    words = (group.pool, group.manifest, agent.description, *agent.capabilities, *agent.tools)
    return " ".join(words).replace("_", " ").replace("-", " ").replace(".", " ")


def _key(group: AgentGroup) -> Key:
    return group.pool, group.manifest, group.tenant
