"""Starts, assigns, drains, kills and watches the fleet's processes. It decides nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from ossa.contracts.configuration import FleetSettings
from ossa.contracts.fleet import AgentInfo, AgentState
from ossa.contracts.task import Assignment
from ossa.fleet.agent_facts import AgentFacts
from ossa.fleet.cluster import AgentReport, Cluster, LaunchSpec, ProcessGone, ProcessHandle
from ossa.fleet.meters import FleetMeters
from ossa.fleet.naming import STANDBY_POOL, new_incarnation
from ossa.fleet.state import AssignStandby, Drain, Failure, Kill, ProcessState, ProcessView, StartAgent, StartStandby

log = logging.getLogger(__name__)


@dataclass(eq=False)
class AgentProcess:
    """One process as the supervisor sees it.

    `handle` is None until Ray knows the actor, `info` until the process has reported it. `assignment` is set for agents
    that this controller started or assigned. `expected_end` is set when the controller ends the process itself, for the
    reason in `ending`.
    """

    incarnation: str
    block: str
    state: ProcessState
    since: float
    handle: ProcessHandle | None = None
    assignment: Assignment | None = None
    info: AgentInfo | None = None
    ready_at: float | None = None
    replace: bool = False
    expected_end: bool = False
    ending: str = ""
    missed_probes: int = 0
    watch: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def agent_id(self) -> str | None:
        if self.assignment is not None:
            return self.assignment.agent_id
        return self.info.agent_id if self.info is not None else None

    def enter(self, state: ProcessState, now: float) -> None:
        self.state, self.since = state, now

    def view(self) -> ProcessView:
        who = self.assignment or self.info
        if isinstance(who, Assignment):
            pool, tenant, digest = who.pool, who.tenant, who.spec.digest
        elif who is not None:
            pool, tenant, digest = who.pool, who.tenant, who.digest
        else:
            pool, tenant, digest = "", None, ""
        return ProcessView(
            incarnation=self.incarnation,
            block=self.block,
            state=self.state,
            since=self.since,
            agent_id=self.agent_id,
            pool=pool,
            tenant=tenant,
            digest=digest,
            replace=self.replace,
        )

    def public(self) -> AgentInfo | None:
        """Returns what the snapshot shows of it; None for a standby."""
        state = AgentState(self.state.value)
        if self.info is not None and (self.assignment is None or self.info.agent_id == self.assignment.agent_id):
            return self.info if self.info.state is state else self.info.model_copy(update={"state": state})
        if self.assignment is None:
            return None
        return AgentInfo.of(
            self.assignment,
            incarnation=self.incarnation,
            state=AgentState.STARTING if self.state is not ProcessState.DRAINING else AgentState.DRAINING,
        )


ADOPT_TIMEOUT_S = 20.0
"""Longer than a process takes to notice that its former controller vanished with its host."""

ASSIGN_TIMEOUT_S = 15.0
PROBE_TIMEOUT_S = 5.0
MISSED_PROBES = 3
MAX_BACKOFF_S = 60.0
"""Between tries to start an agent that does not start."""

SHORT_LIFE_S = 3.0
SHORT_LIFE_BACKOFF_S = 5.0
"""An agent that dies this soon after it was ready is restarted after this long at most; at once the first time."""

ProcessDecision = StartAgent | StartStandby | AssignStandby | Drain | Kill


class ProcessSupervisor:
    """Makes every change of a process, and calls `changed` after it.

    Args:
        now: wall-clock seconds; the clock that reconciling uses.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: FleetSettings,
        token: SecretStr,
        meters: FleetMeters,
        facts: AgentFacts,
        changed: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._token = token
        self._meters = meters
        self._facts = facts
        self._changed = changed
        self._now = now
        self._jobs: set[asyncio.Task[None]] = set()
        self._unknown: set[str] = set()
        self.processes: dict[str, AgentProcess] = {}
        self.failures: dict[str, Failure] = {}

    async def adopt(self) -> None:
        """Takes over live processes. Those that do not answer are killed."""
        handles = await self._cluster.processes()
        answers = await asyncio.gather(
            *(handle.describe(ADOPT_TIMEOUT_S) for handle in handles), return_exceptions=True
        )
        for handle, answer in zip(handles, answers, strict=True):
            if isinstance(answer, AgentReport):
                self._adopt(handle, answer)
            else:
                log.warning("agent_not_adopted", extra={"place": handle.place, "reason": str(answer)[:200]})
                await handle.kill()

    def carry_out(self, decision: ProcessDecision) -> None:
        """Starts to carry out a decision. `processes` shows the change when this returns."""
        match decision:
            case StartAgent(block=block, assignment=assignment):
                self._begin_start(block, assignment)
            case StartStandby(block=block):
                self._begin_start(block, None)
            case AssignStandby(incarnation=incarnation, assignment=assignment):
                self._begin_assign(self.processes[incarnation], assignment)
            case Drain(incarnation=incarnation, reason=reason):
                self.drain(self.processes[incarnation], reason)
            case Kill(incarnation=incarnation, reason=reason):
                self.kill(self.processes[incarnation], reason)

    def drain(self, process: AgentProcess, reason: str) -> None:
        """Lets its turns end, for at most the drain timeout, then ends it."""
        log.info("agent_draining", extra=_about(process, reason=reason))
        self._leave(process, reason)
        self._spawn(self._drain(process))

    def kill(self, process: AgentProcess, reason: str) -> None:
        log.info("agent_killed", extra=_about(process, reason=reason))
        self._leave(process, reason)
        self._spawn(self._kill(process))

    def holder(self, agent_id: str) -> AgentProcess | None:
        """Returns the process that serves that agent or is about to; None if there is none."""
        live = [m for m in self.processes.values() if m.agent_id == agent_id and m.state is not ProcessState.DRAINING]
        return min(live, key=lambda process: process.state is not ProcessState.READY, default=None)

    async def probe(self, process: AgentProcess, *, at_once: bool = False) -> None:
        """Checks that a serving process answers. Kills one that is silent three times, or once with `at_once`."""
        if process.handle is None or process.state is not ProcessState.READY:
            return
        try:
            report = await process.handle.describe(PROBE_TIMEOUT_S)
            await _connect_once(report.address)
        except ProcessGone as gone:
            self._closed(process, str(gone))
        except (TimeoutError, OSError) as error:
            process.missed_probes += 1
            if at_once or process.missed_probes >= MISSED_PROBES:
                self._closed(process, f"no sign of life: {type(error).__name__}")
                self._spawn(self._kill(process))
        else:
            process.missed_probes = 0

    async def sweep(self) -> None:
        """Probes all processes, and kills unknown ones of this fleet that it sees twice (one may be starting)."""
        handles = {handle.incarnation: handle for handle in await self._cluster.processes()}
        unknown = {incarnation for incarnation in handles if incarnation not in self.processes}
        for incarnation in unknown & self._unknown:
            log.warning("orphan_killed", extra={"place": handles[incarnation].place, "incarnation": incarnation})
            await handles[incarnation].kill()
        self._unknown = unknown
        for process in tuple(self.processes.values()):
            await self.probe(process)

    def forget_failures(self, keep: Callable[[str], bool]) -> None:
        """Drops failures that `keep` rejects: desired agents among them are started again at once."""
        self.failures = {who: failure for who, failure in self.failures.items() if keep(who)}

    async def settle(self) -> None:
        """Returns when all started work has ended. For stopping, and for tests."""
        while self._jobs:
            await asyncio.wait(set(self._jobs))

    def close(self) -> None:
        """Stops watching. The processes live on."""
        for process in self.processes.values():
            if process.watch is not None:
                process.watch.cancel()
        for job in self._jobs:
            job.cancel()

    def _adopt(self, handle: ProcessHandle, report: AgentReport) -> None:
        process = AgentProcess(
            incarnation=handle.incarnation,
            block=report.block,
            state=ProcessState.READY,
            since=report.started_at.timestamp(),
            handle=handle,
            info=report.info,
            ready_at=report.started_at.timestamp(),
        )
        self.processes[process.incarnation] = process
        self._watch(process)
        if report.draining:
            self.drain(process, "was draining")

    def _begin_start(self, block: str, assignment: Assignment | None) -> None:
        launch = LaunchSpec(
            incarnation=new_incarnation(),
            block=block,
            token=self._token,
            slots=self._settings.slots_per_agent,
            assignment=assignment,
        )
        process = AgentProcess(
            incarnation=launch.incarnation,
            block=block,
            state=ProcessState.STARTING,
            since=self._now(),
            assignment=assignment,
        )
        self.processes[process.incarnation] = process
        self._spawn(self._start(process, launch))

    async def _start(self, process: AgentProcess, launch: LaunchSpec) -> None:
        began = time.monotonic()
        try:
            process.handle = await self._cluster.start(launch)
            if process.state is ProcessState.DRAINING:  # drained in the meantime
                await self._kill(process)
                return
            self._watch(process)
            report = await process.handle.describe(self._settings.start_timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever it raises is a failed start, and is shown
            reason = str(error) or type(error).__name__
            if process.state is ProcessState.DRAINING:
                self._closed(process, reason)
            elif self._forget(process):
                self._failed(process, reason)
                await self._kill(process)
            return
        if process.state is ProcessState.STARTING:
            process.info = report.info
            self._up(process)
            self._meters.started(time.monotonic() - began)

    def _begin_assign(self, process: AgentProcess, assignment: Assignment) -> None:
        process.assignment = assignment
        process.enter(ProcessState.STARTING, self._now())
        self._spawn(self._assign(process, assignment))

    async def _assign(self, process: AgentProcess, assignment: Assignment) -> None:
        began = time.monotonic()
        assert process.handle is not None
        try:
            process.info = await process.handle.assign(assignment, ASSIGN_TIMEOUT_S)
        except ProcessGone as gone:
            self._closed(process, str(gone))
        except Exception as error:  # noqa: BLE001 - what building an agent raises is the manifest's or a tool's fault
            if process.state is not ProcessState.DRAINING:
                self._failed(process, str(error) or type(error).__name__)
                self.kill(process, "could not become the agent")
        else:
            if process.state is ProcessState.STARTING:
                self._up(process)
            self._meters.assigned((time.monotonic() - began) * 1000)

    def _up(self, process: AgentProcess) -> None:
        now = self._now()
        process.enter(ProcessState.READY, now)
        process.ready_at = now
        log.info("agent_ready", extra=_about(process))
        old = self._elder(process)
        self._facts.ready(process, old, _why_replaced(process, old))
        self._changed()

    def _elder(self, process: AgentProcess) -> AgentProcess | None:
        """Returns the other process that is the same agent, if there is one."""
        agent_id = process.agent_id
        others = [other for other in self.processes.values() if other is not process and other.agent_id == agent_id]
        return next((other for other in others if agent_id is not None and other.ready_at is not None), None)

    def _leave(self, process: AgentProcess, reason: str) -> None:
        process.expected_end = True
        process.ending = process.ending or reason
        process.enter(ProcessState.DRAINING, self._now())
        self._changed()

    async def _drain(self, process: AgentProcess) -> None:
        try:
            if process.handle is not None:
                await process.handle.drain(self._settings.drain_timeout_s)
        except ProcessGone:
            pass
        except TimeoutError:
            log.warning("drain_timed_out", extra=_about(process))
        await self._kill(process)

    async def _kill(self, process: AgentProcess) -> None:
        """Kills the process. Its watch notices the end; without a watch it is forgotten here."""
        if process.handle is not None:
            await process.handle.kill()
        if process.watch is None and self._forget(process):
            self._changed()

    def _watch(self, process: AgentProcess) -> None:
        process.watch = asyncio.create_task(self._await_end(process))

    async def _await_end(self, process: AgentProcess) -> None:
        assert process.handle is not None
        reason = await process.handle.wait_closed()
        # A failed start has a better reason: what its creation raised.
        if process.state is ProcessState.STARTING and process.ready_at is None:
            return
        self._closed(process, reason)

    def _closed(self, process: AgentProcess, reason: str) -> None:
        if not self._forget(process):
            return
        if not process.expected_end:
            log.warning("agent_lost", extra=_about(process, reason=reason))
            self._meters.lost(process.view().pool or STANDBY_POOL)
            self._facts.lost(process, reason)
            if process.ready_at is not None and self._now() - process.ready_at < SHORT_LIFE_S:
                self._failed(process, reason, started=True)
            else:
                self.failures.pop(_key(process), None)
        self._changed()

    def _forget(self, process: AgentProcess) -> bool:
        if self.processes.pop(process.incarnation, None) is None:
            return False
        if process.expected_end:
            self._facts.ended(process, process.ending)
        return True

    def _failed(self, process: AgentProcess, reason: str, *, started: bool = False) -> None:
        key = _key(process)
        before = self.failures.get(key)
        # The count starts again after a long time without a failure.
        count = 1 if before is None or self._now() - before.retry_at > MAX_BACKOFF_S else before.count + 1
        backoff = min(MAX_BACKOFF_S, 2.0 ** (count - 1))
        if started:
            backoff = 0.0 if count == 1 else min(SHORT_LIFE_BACKOFF_S, backoff)
        self.failures[key] = Failure(count=count, reason=reason[:300], retry_at=self._now() + backoff)
        log.warning("agent_failed", extra=_about(process, reason=reason[:300], count=count, backoff_s=backoff))
        self._meters.failed()
        if not started:
            self._facts.failed(process, reason)
        self._changed()

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


def _key(process: AgentProcess) -> str:
    return process.agent_id or STANDBY_POOL


def _why_replaced(process: AgentProcess, old: AgentProcess | None) -> str:
    if old is None:
        return ""
    if old.ending:
        return old.ending
    if old.replace:
        return "it was drained"
    if old.view().digest != process.view().digest:
        return "its manifest changed"
    return "its block is removed"


def _about(process: AgentProcess, **fields: object) -> dict[str, object]:
    return {"agent": _key(process), "incarnation": process.incarnation, "block": process.block, **fields}


async def _connect_once(address: str) -> None:
    """Checks that it accepts callers, which its own line does not show. Raises `OSError`, `TimeoutError`."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(PROBE_TIMEOUT_S):
        _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
