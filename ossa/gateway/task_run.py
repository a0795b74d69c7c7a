"""One owned task, from a seat at an agent to the outcome in the journal."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import AgentLost, Cancelled, Fenced, FleetBusy, NotFound, NotReady, OssaError, TimedOut
from ossa.contracts.fleet import AgentInfo, FleetPort
from ossa.contracts.task import ErrorInfo, Outcome, Step, Task, TaskStatus, Turn, Usage, UsageToday
from ossa.contracts.turn import AgentLink, TurnCall, TurnCallResult, TurnResult
from ossa.gateway.daily_usage import DailyUsage
from ossa.gateway.desk import LOOK_AGAIN_S, Desk, Seat, Wish
from ossa.gateway.durable import DurableJournal
from ossa.gateway.earlier_answers import EarlierAnswers
from ossa.gateway.lease import Lease
from ossa.gateway.listener import Listener
from ossa.gateway.metrics import GatewayMetrics
from ossa.gateway.routes import Routes
from ossa.gateway.spending import Spending
from ossa.gateway.traffic import TrafficMeter
from ossa.gateway.turn_help import TurnHelp
from ossa.routing import TierChoice

logger = logging.getLogger(__name__)

MISSING_GRACE_S = 30.0
"""How long an accepted task waits for a pool or agent that is not there: it may be being replaced."""

TIMEOUT_GRACE_S = 2.0
"""The agent ends a turn at its limit itself; the owner's own clock runs a little longer."""

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0

Ending = Literal["ended", "lost", "released"]


@dataclass(frozen=True)
class RunParts:
    """What all runs of a replica share."""

    journal: DurableJournal
    daily: DailyUsage
    desk: Desk
    link: AgentLink
    fleet: FleetPort
    settings: GatewaySettings
    metrics: GatewayMetrics
    clock: Callable[[], float]
    report_lost: Callable[[AgentInfo, str], None]
    help: TurnHelp = field(default_factory=TurnHelp)
    earlier: EarlierAnswers | None = None
    spending: Spending = field(default_factory=Spending)
    routes: Routes = field(default_factory=lambda: Routes(clock=time.monotonic))
    traffic: TrafficMeter = field(default_factory=lambda: TrafficMeter(time.monotonic))


@dataclass(frozen=True)
class RunEnd:
    """`ended`: the outcome is in the journal. `lost`: another owner has the task, or will.

    `released`: nobody could take it now; it is queued again and `error` tells when to ask.
    """

    ending: Ending
    outcome: Outcome | None = None
    error: OssaError | None = None


class TaskRun:
    """Owns a task under one fence.

    Args:
        seat: taken before the task was accepted, where it was.
        busy_wait_s: how long to wait for a first agent; None waits as long as the fleet takes.
        release_when_busy: put the task back instead of failing it after `busy_wait_s`.
    """

    def __init__(
        self,
        parts: RunParts,
        task: Task,
        wish: Wish,
        lease: Lease,
        *,
        seat: Seat | None = None,
        listener: Listener | None = None,
        busy_wait_s: float | None = None,
        release_when_busy: bool = False,
    ) -> None:
        self.task = task
        self.listener = listener
        self.lease = lease
        self.end: asyncio.Task[RunEnd] | None = None
        self._parts = parts
        self._wish = wish
        self._seat = seat
        self._busy_until = None if busy_wait_s is None else parts.clock() + busy_wait_s
        self._release_when_busy = release_when_busy
        self._steps: list[Step] = []
        self._unwritten: list[Step] = []
        """Go with the next write: where the turn goes and why, or what a cancelled write held."""
        self._choice = TierChoice()
        self._trying_since: float | None = None
        self._spending = parts.spending.of(task)
        self._metered = parts.traffic.of(task)
        self._losses = 0
        self._lost: set[str] = set()
        self._busy: set[str] = set()
        self._agent: AgentInfo | None = None
        self._deadline: float | None = None
        self._stop: Literal["", "cancel", "lose"] = ""
        self._fenced: Fenced | None = None
        self._finishing = False
        self._begun = False

    # What others may ask of it

    def start(self) -> asyncio.Task[RunEnd]:
        self.end = asyncio.create_task(self.run(), name=self.task.id)
        return self.end

    def cancel(self) -> None:
        """The client wants it no more: the turn stops, and the task ends as cancelled."""
        self._halt("cancel")

    def lose(self) -> None:
        """The lease is over: stop, write nothing."""
        self._halt("lose")

    def _halt(self, why: Literal["cancel", "lose"]) -> None:
        if self._stop == "lose" or self.end is None or self.end.done() or (why == "cancel" and self._finishing):
            return
        self._stop = why
        if self._begun:  # a task that is cancelled before its first step never runs, and so could not tidy up
            self.end.cancel()

    # The way

    async def run(self) -> RunEnd:
        end = RunEnd("lost")
        self._begun = True
        try:
            if self._stop != "lose":
                end = await self._run()
        except asyncio.CancelledError:
            if self._stop != "lose":
                raise
        except Fenced:
            logger.info("task_fenced", extra={"task_id": self.task.id, "fence": self.task.fence})
            self._parts.metrics.fenced.inc()
        finally:
            if self._seat is not None:
                self._seat.release()
            self._tried_in_vain()
            self._metered.gone()
            if self.listener is not None:
                self.listener.ended(end.outcome)
        return end

    async def _run(self) -> RunEnd:
        last: Sequence[Step] = ()
        try:
            result = await self._turns()
            outcome, last = result.outcome, result.steps
        except _Released as released:
            return RunEnd("released", error=released.error)
        except asyncio.CancelledError:
            if self._stop != "cancel":
                raise
            outcome = self._failed(Cancelled("The task was cancelled."))
        except Fenced:
            raise
        except OssaError as error:
            outcome = self._failed(error)
        except Exception as error:
            logger.exception("task_broke", extra={"task_id": self.task.id})
            self._parts.metrics.failures.labels("task").inc()
            outcome = self._failed(OssaError(f"The gateway failed on this task: {type(error).__name__}."))
        return RunEnd("ended", outcome=await self._finish(outcome, last))

    async def _turns(self) -> TurnResult:
        if self.task.cancel_requested or self._stop == "cancel":
            raise Cancelled("The task was cancelled.")
        if self.task.fence > 1:
            await self._resume()
        while True:
            agent = await self._take_seat()
            self._route()
            try:
                return await self._given_earlier(agent) or await self._turn(agent)
            except FleetBusy:
                self._tried_in_vain()
                self._metered.turned_away()
                self._busy.add(agent.incarnation)
            except AgentLost as error:
                self._tried_in_vain()
                await self._take_over(agent, error)
            finally:
                self._leave_seat()

    async def _resume(self) -> None:
        """Another owner had it before: go on from the journal."""
        self._steps = await self._parts.journal.steps(self.task.id)
        self._spending.committed(self._steps)
        if self.task.attempts > self._parts.settings.max_attempts:
            raise AgentLost(f"Given up after {self.task.attempts - 1} owners were lost.")
        if self._steps:
            await self._commit([self._takeover_step(self._steps[-1].agent_id, "its owner was lost")])

    # Seats

    async def _take_seat(self) -> AgentInfo:
        if self._seat is None:
            self._metered.waits()
            self._seat = await self._wait_for_seat()
        self._metered.began(self._seat.agent)
        return self._seat.agent

    def _route(self) -> None:
        """The decision becomes a step; a turn that nobody took leaves none behind."""
        if self._seat is None:
            return
        route = self._seat.decision.record()
        payload = route.model_dump(mode="json", exclude_defaults=True)
        seq = len(self._steps)
        self._parts.metrics.routing.decided(route.router)
        self._choice = self._seat.decision.tier
        self._unwritten = [Step(seq=seq, kind="route", agent_id=route.agent_id, payload=payload, at=datetime.now(UTC))]

    def _tried_in_vain(self) -> None:
        if self._trying_since is not None and self._agent is not None:
            self._parts.routes.gave_up(self.task.tenant, self._agent, self._choice.tier)
        self._trying_since = None

    def _leave_seat(self) -> None:
        self._metered.left()
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.release()

    async def _wait_for_seat(self) -> Seat:
        parts = self._parts
        missing_until = parts.clock() + MISSING_GRACE_S
        if self._busy_until is not None:  # somebody waits for the answer
            missing_until = min(missing_until, self._busy_until)
        while True:
            try:
                return self._look_for_seat()
            except (FleetBusy, NotReady) as error:
                self._busy.clear()
                if self._busy_until is not None and parts.clock() >= self._busy_until:
                    await self._give_up_waiting(error)
            except NotFound:
                if parts.clock() >= missing_until:
                    raise
            self._check_deadline()
            await parts.desk.change(self._wish, at_most_s=LOOK_AGAIN_S)

    def _look_for_seat(self) -> Seat:
        desk = self._parts.desk
        try:
            return desk.take(self._wish, exclude=frozenset(self._lost | self._busy))
        except FleetBusy:
            if not self._lost:
                raise
            # Rather a process that was lost a while ago than none: perhaps only the way to it was broken.
            return desk.take(self._wish, exclude=frozenset(self._busy))

    async def _give_up_waiting(self, error: OssaError) -> None:
        if self._release_when_busy:
            await self._parts.journal.release(self.task.id, fence=self.task.fence)
            raise _Released(error)
        raise error

    # Turns

    async def _given_earlier(self, agent: AgentInfo) -> TurnResult | None:
        """An answer to the same question, where the tenant wants those; not for a turn that has begun."""
        if self._parts.earlier is None or self._steps:
            return None
        outcome = await self._parts.earlier.look_up(self.task, agent, tier=self._choice.name)
        if outcome is None:
            return None
        self._agent = agent
        if self.listener is not None:
            self.listener.started(agent)
            if outcome.earlier is not None:
                self.listener.given(outcome.earlier)
        return TurnResult(outcome=outcome)

    async def _turn(self, agent: AgentInfo) -> TurnResult:
        parts = self._parts
        self._agent = agent
        choice = self._choice
        self._trying_since = parts.clock()
        parts.routes.began(self.task.tenant, agent, choice.tier)
        turn = Turn.model_construct(
            task_id=self.task.id,
            tenant=self.task.tenant,
            request=self.task.request,
            steps=(*self._steps, *self._unwritten),
            fence=self.task.fence,
            stream=self.listener is not None,
            used_today=await self._used_today(agent),
            budgeted=self._spending.applies(agent),
            tier=choice.tier,
            cascade=choice.cascade,
        )
        on_delta = _ignore
        if self.listener is not None:
            self.listener.started(agent)
            on_delta = self.listener.delta
        try:
            async with asyncio.timeout(self._left_s() + TIMEOUT_GRACE_S):
                result = await parts.link.run(
                    agent,
                    turn,
                    on_delta=on_delta,
                    on_steps=self._commit,
                    on_call=lambda ask: self._answer(ask, agent),
                )
        except TimeoutError:
            raise self._timed_out() from None
        except Exception:
            # A channel may turn a refused commit into an error of its own: the refusal decides.
            if self._fenced is not None:
                raise self._fenced from None
            raise
        if result.outcome.status is TaskStatus.CANCELLED and not self._stop:
            raise AgentLost(f"agent {agent.agent_id} stopped the turn")  # nobody here asked for that
        return result

    async def _answer(self, ask: TurnCall, agent: AgentInfo) -> TurnCallResult:
        if ask.reserve is not None:
            granted = await self._spending.reserve(ask.reserve, agent, left_s=self._left_s())
            if self.listener is not None:
                self.listener.over_soft = self._spending.over_soft
            return granted
        if ask.unused:
            self._spending.unused(ask.unused)
            return TurnCallResult()
        return await self._parts.help.answer(ask, task=self.task, agent=agent)

    async def _used_today(self, agent: AgentInfo) -> UsageToday:
        """Read only where the manifest limits a day: it is one more call to the store."""
        if agent.max_tokens_per_day is None and agent.max_cost_per_day_usd is None:
            return UsageToday()
        return await self._parts.daily.of(
            f"manifest:{agent.manifest}",
            max_tokens=agent.max_tokens_per_day,
            max_cost_usd=agent.max_cost_per_day_usd,
        )

    async def _commit(self, steps: Sequence[Step]) -> None:
        agent_id = steps[-1].agent_id if steps else ""
        steps = [*self._unwritten, *steps]
        try:
            await self._parts.journal.append(self.task.id, fence=self.task.fence, steps=steps, agent_id=agent_id)
        except Fenced as error:
            self._fenced = error
            raise
        except asyncio.CancelledError:
            self._unwritten = steps  # in the journal or not: the task's end writes them, and again changes nothing
            raise
        self._steps.extend(steps)
        self._spending.committed(steps)
        self._unwritten = []
        self._busy_until = None  # work has begun: from here on it is waited for
        if self.listener is not None:
            self.listener.committed(steps)

    async def _take_over(self, agent: AgentInfo, error: AgentLost) -> None:
        """Write the loss down, tell the fleet, pause a little; the caller then asks another agent."""
        parts = self._parts
        self._losses += 1
        self._lost.add(agent.incarnation)
        self._spending.doubt()
        self._busy_until = None
        parts.desk.suspect(agent)
        parts.report_lost(agent, error.message)
        parts.metrics.takeovers.inc()
        logger.warning("task_takeover", extra={"task_id": self.task.id, "agent_id": agent.agent_id})
        if self.task.attempts + self._losses > parts.settings.max_attempts:
            raise AgentLost(f"Given up after {self._losses} agents were lost, the last was {agent.agent_id}.")
        await self._commit([self._takeover_step(agent.agent_id, error.message)])
        if self._losses > 1:
            # A whole node may be gone before the fleet knows: do not run through all attempts in one breath.
            await asyncio.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._losses - 2)))

    def _takeover_step(self, from_agent: str, reason: str) -> Step:
        return Step(
            seq=len(self._steps) + len(self._unwritten),
            kind="takeover",
            agent_id=from_agent,
            payload={"from_agent": from_agent, "reason": reason},
            at=datetime.now(UTC),
        )

    # The end

    async def _finish(self, outcome: Outcome, steps: Sequence[Step]) -> Outcome:
        self._finishing = True
        steps = [*self._unwritten, *steps]
        outcome = self._completed(outcome, steps)
        subjects = [f"tenant:{self.task.tenant}"]
        if self._agent is not None:
            subjects.append(f"manifest:{self._agent.manifest}")
        await self._parts.journal.finish(
            self.task.id, fence=self.task.fence, outcome=outcome, steps=steps, subjects=subjects
        )
        self._spending.committed(steps)
        self._spending.doubt()
        for subject in subjects:
            self._parts.daily.spent(subject, outcome.usage)
        self._parts.metrics.ended(outcome)
        self._metered.ended(outcome)
        if self._trying_since is not None and self._agent is not None:
            seconds = self._parts.clock() - self._trying_since
            self._parts.routes.ended(self.task, self._agent, self._choice.tier, outcome, seconds)
            self._trying_since = None
        if self._parts.earlier is not None and self._agent is not None:
            self._parts.earlier.keep(self.task, self._agent, outcome, [*self._steps, *steps], tier=self._choice.name)
        return outcome

    def _completed(self, outcome: Outcome, steps: Sequence[Step]) -> Outcome:
        """With the agent's name, and no less usage than the steps add up to."""
        update: dict[str, object] = {}
        if self._agent is not None:
            agent = self._agent
            tier = self._choice.tier or agent.tier
            wanted = {"agent_id": agent.agent_id, "pool": agent.pool, "tier": tier, "manifest": agent.manifest}
            update = {name: value for name, value in wanted.items() if getattr(outcome, name) is None}
        if self._spending.over_soft:
            update["over_soft"] = self._spending.over_soft
        counted = _sum(self._steps, steps)
        if counted.total_tokens > outcome.usage.total_tokens:
            update["usage"] = counted
        return outcome.model_copy(update=update) if update else outcome

    def _failed(self, error: OssaError) -> Outcome:
        status = TaskStatus.CANCELLED if isinstance(error, Cancelled) else TaskStatus.FAILED
        info = ErrorInfo(code=error.code, message=error.message, param=error.param, retry_after_s=error.retry_after_s)
        return Outcome(status=status, error=info)

    # Time

    def _left_s(self) -> float:
        """Of the task's time; it begins with the first turn."""
        now = self._parts.clock()
        if self._deadline is None:
            self._deadline = now + (self.task.request.timeout_s or self._parts.settings.default_timeout_s)
        return max(0.0, self._deadline - now)

    def _check_deadline(self) -> None:
        if self._deadline is not None and self._left_s() <= 0:
            raise self._timed_out()

    def _timed_out(self) -> TimedOut:
        allowed_s = self.task.request.timeout_s or self._parts.settings.default_timeout_s
        return TimedOut(f"The task did not end within {allowed_s:g} s.")


def _sum(*parts: Sequence[Step]) -> Usage:
    total = Usage()
    for steps in parts:
        for step in steps:
            if step.usage.total_tokens or step.usage.cost_usd:
                total = total.plus(step.usage)
    return total


async def _ignore(text: str) -> None:
    """A client that does not stream hears only the end."""


class _Released(Exception):
    def __init__(self, error: OssaError) -> None:
        super().__init__(error.message)
        self.error = error
