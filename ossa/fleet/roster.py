"""The fleet's processes: starts, assigns, drains, kills and watches them. Decides nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from pydantic import SecretStr

from ossa.contracts.configuration import FleetSettings
from ossa.contracts.task import Assignment
from ossa.fleet.cluster import AgentProcess, AgentReport, Birth, Cluster, ProcessGone
from ossa.fleet.decisions import AssignStandby, Drain, Kill, StartAgent, StartStandby
from ossa.fleet.member import Member
from ossa.fleet.meters import FleetMeters
from ossa.fleet.naming import STANDBY_POOL, new_incarnation
from ossa.fleet.view import Failure, ProcessState

log = logging.getLogger(__name__)

ADOPT_TIMEOUT_S = 20.0
"""Longer than a process takes to notice that its controller before vanished with its host."""

ASSIGN_TIMEOUT_S = 15.0
PROBE_TIMEOUT_S = 5.0
MISSED_PROBES = 3
MAX_BACKOFF_S = 60.0
"""Between tries to start an agent that does not start."""

SHORT_LIFE_S = 3.0
SHORT_LIFE_BACKOFF_S = 5.0
"""An agent that dies so soon after it was ready waits so long at most, and not at all the first time."""

ProcessDecision = StartAgent | StartStandby | AssignStandby | Drain | Kill


class Roster:
    """Every change of a member is made here, and `changed` is called after it.

    Args:
        now: wall-clock seconds; the same clock that reconciling gets.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: FleetSettings,
        token: SecretStr,
        meters: FleetMeters,
        changed: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._token = token
        self._meters = meters
        self._changed = changed
        self._now = now
        self._jobs: set[asyncio.Task[None]] = set()
        self._strangers: set[str] = set()
        self.members: dict[str, Member] = {}
        self.failures: dict[str, Failure] = {}

    async def adopt(self) -> None:
        """Take over what lives: processes that answer are members, the others are killed."""
        processes = await self._cluster.processes()
        answers = await asyncio.gather(
            *(process.describe(ADOPT_TIMEOUT_S) for process in processes), return_exceptions=True
        )
        for process, answer in zip(processes, answers, strict=True):
            if isinstance(answer, AgentReport):
                self._adopt(process, answer)
            else:
                log.warning("agent_not_adopted", extra={"place": process.place, "reason": str(answer)[:200]})
                await process.kill()

    def carry_out(self, decision: ProcessDecision) -> None:
        """Begin; what is begun shows in `members` when this returns."""
        match decision:
            case StartAgent(block=block, assignment=assignment):
                self._begin_start(block, assignment)
            case StartStandby(block=block):
                self._begin_start(block, None)
            case AssignStandby(incarnation=incarnation, assignment=assignment):
                self._begin_assign(self.members[incarnation], assignment)
            case Drain(incarnation=incarnation, reason=reason):
                self.drain(self.members[incarnation], reason)
            case Kill(incarnation=incarnation, reason=reason):
                self.kill(self.members[incarnation], reason)

    def drain(self, member: Member, reason: str) -> None:
        """Let its turns end, for at most the drain timeout, then end it."""
        log.info("agent_draining", extra=_about(member, reason=reason))
        self._leave(member)
        self._spawn(self._drain(member))

    def kill(self, member: Member, reason: str) -> None:
        log.info("agent_killed", extra=_about(member, reason=reason))
        self._leave(member)
        self._spawn(self._kill(member))

    def holder(self, agent_id: str) -> Member | None:
        """The process that serves that agent, or is about to."""
        live = [m for m in self.members.values() if m.agent_id == agent_id and m.state is not ProcessState.DRAINING]
        return min(live, key=lambda member: member.state is not ProcessState.READY, default=None)

    async def probe(self, member: Member, *, at_once: bool = False) -> None:
        """Ask a serving process for a sign of life; one that is silent (thrice, or `at_once`) is killed."""
        if member.process is None or member.state is not ProcessState.READY:
            return
        try:
            report = await member.process.describe(PROBE_TIMEOUT_S)
            await _knock(report.address)
        except ProcessGone as gone:
            self._closed(member, str(gone))
        except (TimeoutError, OSError) as error:
            member.missed_probes += 1
            if at_once or member.missed_probes >= MISSED_PROBES:
                self.kill(member, f"no sign of life: {type(error).__name__}")
                self._closed(member, "no sign of life")
        else:
            member.missed_probes = 0

    async def sweep(self) -> None:
        """Probe all, and kill processes of this fleet that are nobody's (seen twice: one may be starting)."""
        known = {process.incarnation: process for process in await self._cluster.processes()}
        strangers = {incarnation for incarnation in known if incarnation not in self.members}
        for incarnation in strangers & self._strangers:
            log.warning("orphan_killed", extra={"place": known[incarnation].place, "incarnation": incarnation})
            await known[incarnation].kill()
        self._strangers = strangers
        for member in tuple(self.members.values()):
            await self.probe(member)

    def forget_failures(self, keep: Callable[[str], bool]) -> None:
        """What is not kept is started again at once, if it is wanted."""
        self.failures = {who: failure for who, failure in self.failures.items() if keep(who)}

    async def settle(self) -> None:
        """Returns when everything that was begun has ended. For stopping, and for tests."""
        while self._jobs:
            await asyncio.wait(set(self._jobs))

    def close(self) -> None:
        """Stop watching. The processes live on."""
        for member in self.members.values():
            if member.watch is not None:
                member.watch.cancel()
        for job in self._jobs:
            job.cancel()

    def _adopt(self, process: AgentProcess, report: AgentReport) -> None:
        member = Member(
            incarnation=process.incarnation,
            block=report.block,
            state=ProcessState.READY,
            since=report.started_at.timestamp(),
            process=process,
            info=report.info,
            ready_at=report.started_at.timestamp(),
        )
        self.members[member.incarnation] = member
        self._watch(member)
        if report.draining:
            self.drain(member, "was draining")

    def _begin_start(self, block: str, assignment: Assignment | None) -> None:
        birth = Birth(
            incarnation=new_incarnation(),
            block=block,
            token=self._token,
            slots=self._settings.slots_per_agent,
            assignment=assignment,
        )
        member = Member(
            incarnation=birth.incarnation,
            block=block,
            state=ProcessState.STARTING,
            since=self._now(),
            assignment=assignment,
        )
        self.members[member.incarnation] = member
        self._spawn(self._start(member, birth))

    async def _start(self, member: Member, birth: Birth) -> None:
        began = time.monotonic()
        try:
            member.process = await self._cluster.start(birth)
            if member.state is ProcessState.DRAINING:  # dismissed meanwhile
                await self._kill(member)
                return
            self._watch(member)
            report = await member.process.describe(self._settings.start_timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever a start raises counts as a failed one, and is shown
            reason = str(error) or type(error).__name__
            if member.state is ProcessState.DRAINING:
                self._closed(member, reason)
            elif self._forget(member):
                self._failed(member, reason)
                await self._kill(member)
            return
        if member.state is ProcessState.STARTING:
            member.info = report.info
            self._up(member)
            self._meters.started(time.monotonic() - began)

    def _begin_assign(self, member: Member, assignment: Assignment) -> None:
        member.assignment = assignment
        member.enter(ProcessState.STARTING, self._now())
        self._spawn(self._assign(member, assignment))

    async def _assign(self, member: Member, assignment: Assignment) -> None:
        began = time.monotonic()
        assert member.process is not None
        try:
            member.info = await member.process.assign(assignment, ASSIGN_TIMEOUT_S)
        except ProcessGone as gone:
            self._closed(member, str(gone))
        except Exception as error:  # noqa: BLE001 - what building an agent raises is the manifest's or a tool's fault
            if member.state is not ProcessState.DRAINING:
                self._failed(member, str(error) or type(error).__name__)
                self.kill(member, "could not become the agent")
        else:
            if member.state is ProcessState.STARTING:
                self._up(member)
            self._meters.assigned((time.monotonic() - began) * 1000)

    def _up(self, member: Member) -> None:
        now = self._now()
        member.enter(ProcessState.READY, now)
        member.ready_at = now
        log.info("agent_ready", extra=_about(member))
        self._changed()

    def _leave(self, member: Member) -> None:
        member.expected_end = True
        member.enter(ProcessState.DRAINING, self._now())
        self._changed()

    async def _drain(self, member: Member) -> None:
        try:
            if member.process is not None:
                await member.process.drain(self._settings.drain_timeout_s)
        except ProcessGone:
            pass
        except TimeoutError:
            log.warning("drain_timed_out", extra=_about(member))
        await self._kill(member)

    async def _kill(self, member: Member) -> None:
        """The watch says when it is gone; without one there is nothing to wait for."""
        if member.process is not None:
            await member.process.kill()
        if member.watch is None and self._forget(member):
            self._changed()

    def _watch(self, member: Member) -> None:
        member.watch = asyncio.create_task(self._await_end(member))

    async def _await_end(self, member: Member) -> None:
        assert member.process is not None
        reason = await member.process.wait_closed()
        # A start that failed has the better reason: what its creation raised.
        if member.state is ProcessState.STARTING and member.ready_at is None:
            return
        self._closed(member, reason)

    def _closed(self, member: Member, reason: str) -> None:
        if not self._forget(member):
            return
        if not member.expected_end:
            log.warning("agent_lost", extra=_about(member, reason=reason))
            self._meters.lost(member.view().pool or STANDBY_POOL)
            if member.ready_at is not None and self._now() - member.ready_at < SHORT_LIFE_S:
                self._failed(member, reason, started=True)
            else:
                self.failures.pop(_key(member), None)
        self._changed()

    def _forget(self, member: Member) -> bool:
        return self.members.pop(member.incarnation, None) is not None

    def _failed(self, member: Member, reason: str, *, started: bool = False) -> None:
        key = _key(member)
        known = self.failures.get(key)
        # An agent that was up for long between two failures starts counting anew.
        count = 1 if known is None or self._now() - known.retry_at > MAX_BACKOFF_S else known.count + 1
        backoff = min(MAX_BACKOFF_S, 2.0 ** (count - 1))
        if started:
            backoff = 0.0 if count == 1 else min(SHORT_LIFE_BACKOFF_S, backoff)
        self.failures[key] = Failure(count=count, reason=reason[:300], retry_at=self._now() + backoff)
        log.warning("agent_failed", extra=_about(member, reason=reason[:300], count=count, backoff_s=backoff))
        self._meters.failed()
        self._changed()

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)


def _key(member: Member) -> str:
    return member.agent_id or STANDBY_POOL


def _about(member: Member, **fields: object) -> dict[str, object]:
    return {"agent": _key(member), "incarnation": member.incarnation, "block": member.block, **fields}


async def _knock(address: str) -> None:
    """The process may answer on its line while it listens to nobody new. Raises `OSError`, `TimeoutError`."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(PROBE_TIMEOUT_S):
        _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
