"""Tells what becomes of each agent: ready, failed, lost, replaced, removed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.events import SYSTEM_TENANT, Event, Fact, FactLog
from ossa.contracts.facts import AgentFailed, AgentLost, AgentReady, AgentRemoved, AgentReplaced, FactData
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.origin import current_origin
from ossa.contracts.task import Assignment
from ossa.events.fact_queue import FactQueue
from ossa.fleet.naming import STANDBY_POOL

log = logging.getLogger(__name__)

ACTOR = "system/controller"

KEY = "agent/"
"""Start of the key of an agent's facts; its id follows."""

LOOKED_BACK_ROWS = 2_000
"""Rows of the log in which a controller that starts looks for what its predecessor has told."""

_PAGE_ROWS = 500


class Process(Protocol):
    """What is told of a process."""

    @property
    def incarnation(self) -> str: ...
    @property
    def assignment(self) -> Assignment | None: ...
    @property
    def info(self) -> AgentInfo | None: ...
    @property
    def agent_id(self) -> str | None: ...
    @property
    def since(self) -> float: ...


class Causes(Protocol):
    """Why the fleet changes."""

    def wanted(self, agent_id: str) -> bool:
        """Whether the agent belongs to the desired fleet."""

    def cause(self, pool: str, incarnation: str = "") -> str:
        """Returns what changed the pool last, or asked for that process to be replaced; empty if unknown."""


@dataclass(slots=True)
class _Holder:
    """The last process that was an agent, with the fields of its facts. `ended` says why it ended; empty: it lives."""

    incarnation: str
    about: dict[str, Any]
    ended: str = ""
    lost: bool = False


class AgentFacts:
    """One controller's. An agent's facts have its id as their key, and come in the order in which things happened.

    Args:
        now: wall-clock seconds.
    """

    def __init__(self, queue: FactQueue, causes: Causes, now: Callable[[], float]) -> None:
        self._queue = queue
        self._causes = causes
        self._now = now
        self._holders: dict[str, _Holder] = {}
        self._failures: dict[str, str] = {}

    async def adopt(self, facts: FactLog, processes: Iterable[Process]) -> None:
        """Tells what a predecessor could not: agents that became ready or were lost while no controller ran.

        What was told before keeps its id. While the log is away nothing is known to be lost.
        """
        live = {process.agent_id: process for process in processes if process.agent_id is not None}
        try:
            last = await _last_facts(facts)
        except StoreUnavailable as error:
            log.warning("agent_facts_not_read", extra={"reason": error.message[:200]})
            last = {}
        for agent_id, event in last.items():
            if event.type not in (AgentReady.TYPE, AgentReplaced.TYPE):
                continue
            incarnation = str(event.data.get("successor") or event.data["incarnation"])
            held = live.get(agent_id)
            if held is None or held.incarnation != incarnation:
                about = {"agent": agent_id, "pool": "", "tenant": None}
                about |= {name: event.data[name] for name in _KEPT if name in event.data}
                self._holders[agent_id] = _Holder(incarnation, about)
                self._lose(agent_id, self._holders[agent_id], "it was gone when the controller came back")
        for agent_id, process in live.items():
            told = last.get(agent_id)
            known = told is not None and process.incarnation in (told.data["incarnation"], told.data.get("successor"))
            if known:
                self._holders[agent_id] = _Holder(process.incarnation, _about(process))
            else:
                self.ready(process)

    def ready(self, process: Process, old: Process | None = None, why: str = "") -> None:
        """Tells that a process serves as an agent.

        Args:
            old: the live process that it takes over from, and `why`.
        """
        agent_id, about = process.agent_id, _about(process)
        if agent_id is None:
            return
        before = self._holders.get(agent_id)
        if before is None and old is not None:
            before = _Holder(old.incarnation, _about(old))
        if before is not None and before.incarnation == process.incarnation:
            before = None
        self._failures.pop(agent_id, None)
        self._holders[agent_id] = _Holder(process.incarnation, about)
        cause = ""
        if before is None or not before.lost:
            cause = self._cause(about, before.incarnation if before is not None else "")
        predecessor = before.incarnation if before is not None else ""
        ready = AgentReady(**about, incarnation=process.incarnation, predecessor=predecessor, cause=cause)
        self._tell(ready, about, f"{process.incarnation}:ready", at=process.since)
        if before is not None:
            gone = {**about, "node": before.about.get("node", ""), "pid": before.about.get("pid", 0)}
            replaced = AgentReplaced(
                **gone,
                incarnation=before.incarnation,
                successor=process.incarnation,
                reason=before.ended or why or "another process became ready",
                cause=cause,
            )
            self._tell(replaced, about, f"{before.incarnation}:replaced", at=process.since)

    def failed(self, process: Process, reason: str) -> None:
        """Tells that a process could not become an agent; the same reason again and again is told once."""
        about = _about(process)
        if process.agent_id is None or self._failures.get(process.agent_id) == reason:
            return
        self._failures[process.agent_id] = reason
        fact = AgentFailed(
            **about, incarnation=process.incarnation, outcome="failed", reason=reason, cause=self._cause(about)
        )
        self._tell(fact, about, f"{process.incarnation}:failed")

    def lost(self, process: Process, reason: str) -> None:
        """Tells that a process ended unasked; also one of a standby, whose key is `agent/standby`."""
        agent_id = process.agent_id or STANDBY_POOL
        holder = self._holders.get(agent_id)
        if holder is None or holder.incarnation != process.incarnation:
            holder = _Holder(process.incarnation, _about(process))  # an old one that was draining, or a standby
        self._lose(agent_id, holder, reason)

    def ended(self, process: Process, reason: str) -> None:
        """Tells that an agent left the fleet, when the process that ended as asked was the last of it."""
        agent_id = process.agent_id
        holder = self._holders.get(agent_id or "")
        if agent_id is None or holder is None or holder.incarnation != process.incarnation:
            return
        holder.ended = reason
        if self._causes.wanted(agent_id):
            return  # its successor tells that it was replaced
        self._remove(agent_id)

    def tidy(self) -> None:
        """Tells of agents that ended to be replaced, and that nobody wants any more."""
        for agent_id in [agent_id for agent_id, holder in self._holders.items() if holder.ended]:
            if not self._causes.wanted(agent_id):
                self._remove(agent_id)

    def _remove(self, agent_id: str) -> None:
        holder = self._holders.pop(agent_id)
        about = holder.about
        fact = AgentRemoved(**about, incarnation=holder.incarnation, reason=holder.ended, cause=self._cause(about))
        self._tell(fact, about, f"{holder.incarnation}:removed")

    def _lose(self, agent_id: str, holder: _Holder, reason: str) -> None:
        holder.ended, holder.lost = reason, True
        fact = AgentLost(**holder.about, incarnation=holder.incarnation, outcome="failed", reason=reason)
        self._tell(fact, holder.about, f"{holder.incarnation}:lost")

    def _cause(self, about: dict[str, Any], incarnation: str = "") -> str:
        return "" if about["tenant"] is not None else self._causes.cause(about["pool"], incarnation)

    def _tell(self, data: FactData, about: dict[str, Any], name: str, at: float | None = None) -> None:
        self._queue.put(
            Fact(
                data,
                key=KEY + about["agent"],
                tenant=about["tenant"] or SYSTEM_TENANT,
                name=name,
                time=datetime.fromtimestamp(self._now() if at is None else at, UTC),
                origin=current_origin().by(ACTOR),
            )
        )


_KEPT = ("pool", "tenant", "manifest", "version", "node", "pid")


def _about(process: Process) -> dict[str, Any]:
    info, assignment = process.info, process.assignment
    about: dict[str, Any] = {"agent": process.agent_id or STANDBY_POOL, "pool": STANDBY_POOL, "tenant": None}
    if assignment is not None:
        about |= {"pool": assignment.pool, "tenant": assignment.tenant}
        about |= {"manifest": assignment.spec.name, "version": assignment.spec.version}
    elif info is not None:
        about |= {"pool": info.pool, "tenant": info.tenant, "manifest": info.manifest, "version": info.version}
    if info is not None:
        about |= {"node": info.node_id, "pid": info.pid}
    return about


async def _last_facts(facts: FactLog) -> dict[str, Event]:
    """Returns the last fact that says who is each agent, as far back as `LOOKED_BACK_ROWS` rows."""
    kinds = {kind.TYPE for kind in (AgentReady, AgentLost, AgentReplaced, AgentRemoved)}
    last: dict[str, Event] = {}
    end, left = await facts.settled(), LOOKED_BACK_ROWS
    while end > 0 and left > 0:
        page = await facts.read_back(end, limit=_PAGE_ROWS, tasks=False)
        for item in page.items:
            event = item.content
            if isinstance(event, Event) and event.type in kinds and event.subject.startswith(KEY):
                last.setdefault(event.subject.removeprefix(KEY), event)
        end, left = page.end, left - _PAGE_ROWS
    last.pop(STANDBY_POOL, None)
    return last
