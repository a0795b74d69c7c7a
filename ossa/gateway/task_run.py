"""One owned task: resume, schedule, turn, take over, finish. `run_task` names the stages in their order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from ossa.contracts.agent_spec import Tier
from ossa.contracts.errors import AgentLost, Cancelled, Fenced, FleetBusy, NotReady, OssaError, TimedOut
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.routing import Route
from ossa.contracts.task import Delta, ErrorInfo, Outcome, Step, StepKind, Task, TaskStatus, Turn, Usage
from ossa.contracts.turn import TurnResult
from ossa.gateway.core import GatewayCore, usage_subjects
from ossa.gateway.hooks import Hooks
from ossa.gateway.lease import Lease
from ossa.gateway.listener import Listener
from ossa.gateway.scheduler import AgentScheduler, SlotReservation
from ossa.routing.index import RoutingRequest

logger = logging.getLogger(__name__)

MISSING_GRACE_S = 30.0
"""How long an accepted task waits for a pool or agent that is not there: it may be being replaced."""

TIMEOUT_GRACE_S = 2.0
"""The agent ends a turn at its limit itself; the owner's own clock runs a little longer."""

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0

Ending = Literal["ended", "lost", "released"]
_BUSY = (FleetBusy, NotReady)


@dataclass(frozen=True)
class RunEnd:
    """`ended`: the outcome is in the journal. `lost`: another owner has the task, or will.

    `released`: nobody could take it now; it is queued again and `error` tells when to ask.
    """

    ending: Ending
    outcome: Outcome | None = None
    error: OssaError | None = None


class RunOwner(Protocol):
    """What the runs of a replica share. The dispatcher is one."""

    core: GatewayCore
    hooks: Hooks
    scheduler: AgentScheduler

    def report_lost(self, agent: AgentInfo, reason: str) -> None:
        """Tells the fleet; returns at once."""


async def run_task(run: TaskRun) -> RunEnd:
    """Every stage of a task, in order. Hooks are called where the stages say so (`ossa.gateway.hooks`).

    Raises `Fenced` when another replica owns the task by now, and `CancelledError` when the lease is over.
    """
    last: Sequence[Step] = ()
    try:
        await run.resume()  # steps of an earlier owner -> hooks: committed
        while True:
            agent = await run.schedule()  # hooks: waiting, narrow, scheduled
            try:
                result = await run.answered_by_hook(agent)  # hooks: answer
                if result is None:
                    result = await run.turn(agent)  # hooks: turn_fields, started, call, committed
                outcome, last = result.outcome, result.steps
                break
            except FleetBusy:
                run.turned_away(agent)  # hooks: busy
            except AgentLost as error:
                await run.take_over(agent, error)  # hooks: agent_lost, committed
            finally:
                run.leave()  # hooks: left
    except _Released as released:
        return RunEnd("released", error=released.error)
    except asyncio.CancelledError:
        if not run.cancelled:
            raise
        outcome = _failed(Cancelled("The task was cancelled."))
    except Fenced:
        raise
    except OssaError as error:
        outcome = _failed(error)
    except Exception as error:
        logger.exception("task_broke", extra={"task_id": run.task.id})
        run.core.metrics.failures.labels("task").inc()
        outcome = _failed(OssaError(f"The gateway failed on this task: {type(error).__name__}."))
    return RunEnd("ended", outcome=await run.finish(outcome, last))  # hooks: committed, ended


class TaskRun:
    """Owns a task under one fence. `ossa.gateway.hooks.Run` is what hooks see of it.

    Args:
        slot: reserved before the task was accepted, where it was.
        busy_wait_s: how long to wait for a first agent; None waits as long as the fleet takes.
        release_when_busy: put the task back instead of failing it after `busy_wait_s`.
    """

    def __init__(
        self,
        owner: RunOwner,
        task: Task,
        request: RoutingRequest,
        lease: Lease,
        *,
        slot: SlotReservation | None = None,
        listener: Listener | None = None,
        busy_wait_s: float | None = None,
        release_when_busy: bool = False,
    ) -> None:
        self.task = task
        self.lease = lease
        self.listener = listener
        self.end: asyncio.Task[RunEnd] | None = None
        self.agent: AgentInfo | None = None
        self.route: Route | None = None
        self.tier: Tier | None = None
        self.tier_name = ""
        self.over_soft: dict[str, float] = {}
        self.core = owner.core
        self._owner = owner
        self._hooks = owner.hooks
        self._request = request
        self._slot = slot
        self._busy_until = None if busy_wait_s is None else self.core.clock() + busy_wait_s
        self._release_when_busy = release_when_busy
        self._steps: list[Step] = []
        self._unwritten: list[Step] = []
        """Go with the next write: the routing decision, or what a cancelled write held."""
        self._losses = 0
        self._lost: set[str] = set()
        self._busy: set[str] = set()
        self._deadline: float | None = None
        self._stop: Literal["", "cancel", "lose"] = ""
        self._fenced: Fenced | None = None
        self._finishing = False
        self._begun = False
        self._hooks.moved("opened", task, self)

    # What others may ask of it

    @property
    def steps(self) -> Sequence[Step]:
        return self._steps

    @property
    def cancelled(self) -> bool:
        return self._stop == "cancel"

    def start(self) -> asyncio.Task[RunEnd]:
        self.end = asyncio.create_task(self._run(), name=self.task.id)
        return self.end

    def cancel(self) -> None:
        """The client does not want it any more: the turn stops, and the task ends as cancelled."""
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

    async def _run(self) -> RunEnd:
        end = RunEnd("lost")
        self._begun = True
        try:
            if self._stop != "lose":
                end = await run_task(self)
        except asyncio.CancelledError:
            if self._stop != "lose":
                raise
        except Fenced:
            logger.info("task_fenced", extra={"task_id": self.task.id, "fence": self.task.fence})
            self.core.metrics.fenced.inc()
        finally:
            if self._slot is not None:
                self._slot.release()
            self._hooks.closed(self)
            if self.listener is not None:
                self.listener.ended(end.outcome)
        return end

    # Resume

    async def resume(self) -> None:
        """Go on from the journal if another owner had the task before. Raises `Cancelled`, `AgentLost`."""
        if self.task.cancel_requested or self._stop == "cancel":
            raise Cancelled("The task was cancelled.")
        if self.task.fence == 1:
            return
        self._steps = await self.core.journal.steps(self.task.id)
        self._hooks.committed(self, self._steps)
        if self.task.attempts > self.core.settings.max_attempts:
            raise AgentLost(f"Given up after {self.task.attempts - 1} owners were lost.")
        if self._steps:
            await self._commit([self._takeover_step(self._steps[-1].agent_id, "its owner was lost")])

    # Schedule

    async def schedule(self) -> AgentInfo:
        """Reserves a slot, unless one was reserved before, and notes the decision."""
        if self._slot is None:
            self._hooks.moved("waiting", self.task, self)
            self._slot = await self._wait_for_slot()
        decision = self._slot.decision
        self.agent = decision.agent
        self.route = decision.record()
        self.tier = decision.tier.tier
        self.tier_name = decision.tier.name
        # The decision becomes a step; a turn that nobody took leaves none behind.
        payload = self.route.model_dump(mode="json", exclude_defaults=True)
        self._unwritten = [self._step(len(self._steps), "route", self.route.agent_id, payload)]
        self._hooks.moved("scheduled", self.task, self)
        return decision.agent

    async def _wait_for_slot(self) -> SlotReservation:
        missing_until = self.core.clock() + MISSING_GRACE_S
        if self._busy_until is not None:  # somebody waits for the answer
            missing_until = min(missing_until, self._busy_until)
        try:
            slot = await self._owner.scheduler.wait_for_slot(
                self._request,
                until=self._busy_until,
                missing_until=missing_until,
                lost=self._lost,
                busy=self._busy,
                deadline=float("inf") if self._deadline is None else self._deadline,
            )
        except TimeoutError:
            raise self._timed_out() from None
        except OssaError as error:
            if not self._release_when_busy or not isinstance(error, _BUSY):
                raise
            await self.core.journal.release(self.task.id, fence=self.task.fence)
            raise _Released(error) from None
        if slot.agent.incarnation in self._busy:
            self._busy.clear()
        return slot

    def leave(self) -> None:
        """Give the slot back."""
        self._hooks.moved("left", self.task, self)
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.release()

    # Turn

    async def answered_by_hook(self, agent: AgentInfo) -> TurnResult | None:
        """An answer without a turn; asked for only before anything was done."""
        if self._steps:
            return None
        outcome = await self._hooks.answer(self)
        if outcome is None:
            return None
        if self.listener is not None:
            self.listener.started(agent)
            if outcome.earlier is not None:
                self.listener.given(outcome.earlier)
        return TurnResult(outcome=outcome)

    async def turn(self, agent: AgentInfo) -> TurnResult:
        """Raises `FleetBusy`, `AgentLost`, `TimedOut`, `Fenced`."""
        assert self._slot is not None
        choice = self._slot.decision.tier
        self._hooks.started(self)
        turn = Turn.model_construct(
            task_id=self.task.id,
            tenant=self.task.tenant,
            request=self.task.request,
            steps=(*self._steps, *self._unwritten),
            fence=self.task.fence,
            stream=self.listener is not None,
            tier=choice.tier,
            cascade=choice.cascade,
            **await self._hooks.turn_fields(self),
        )
        on_delta = _ignore
        if self.listener is not None:
            self.listener.started(agent)
            self.listener.over_soft = self.over_soft
            on_delta = self.listener.delta
        try:
            async with asyncio.timeout(self.left_s() + TIMEOUT_GRACE_S):
                result = await self.core.link.run(
                    agent,
                    turn,
                    on_delta=on_delta,
                    on_steps=self._commit,
                    on_call=lambda call: self._hooks.call(call, self),
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

    async def _commit(self, steps: Sequence[Step]) -> None:
        agent_id = steps[-1].agent_id if steps else ""
        steps = [*self._unwritten, *steps]
        try:
            await self.core.journal.append(self.task.id, fence=self.task.fence, steps=steps, agent_id=agent_id)
        except Fenced as error:
            self._fenced = error
            raise
        except asyncio.CancelledError:
            self._unwritten = steps  # in the journal or not: the task's end writes them, and again changes nothing
            raise
        self._steps.extend(steps)
        self._hooks.committed(self, steps)
        self._unwritten = []
        self._busy_until = None  # work has begun: from here on it is waited for
        if self.listener is not None:
            self.listener.committed(steps)

    # Take over

    def turned_away(self, agent: AgentInfo) -> None:
        """The agent had no free slot: ask another one."""
        self._hooks.moved("busy", self.task, self)
        self._busy.add(agent.incarnation)

    async def take_over(self, agent: AgentInfo, error: AgentLost) -> None:
        """Write the loss down, tell the fleet, pause a little; the caller then asks another agent."""
        self._losses += 1
        self._lost.add(agent.incarnation)
        self._busy_until = None
        self._owner.scheduler.suspect(agent)
        self._owner.report_lost(agent, error.message)
        self._hooks.agent_lost(self, error)
        logger.warning("task_takeover", extra={"task_id": self.task.id, "agent_id": agent.agent_id})
        if self.task.attempts + self._losses > self.core.settings.max_attempts:
            raise AgentLost(f"Given up after {self._losses} agents were lost, the last was {agent.agent_id}.")
        await self._commit([self._takeover_step(agent.agent_id, error.message)])
        if self._losses > 1:
            # A whole node may be gone before the fleet knows: do not run through all attempts in one breath.
            await asyncio.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (self._losses - 2)))

    def _takeover_step(self, from_agent: str, reason: str) -> Step:
        seq = len(self._steps) + len(self._unwritten)
        payload = {"from_agent": from_agent, "reason": reason}
        return self._step(seq, "takeover", from_agent, payload)

    def _step(self, seq: int, kind: StepKind, agent_id: str, payload: dict[str, Any]) -> Step:
        origin, at = self.task.origin, datetime.now(UTC)
        ids = {"request_id": origin.request_id, "traceparent": origin.traceparent}
        return Step(seq=seq, kind=kind, agent_id=agent_id, payload=payload, at=at, **ids)

    # Finish

    async def finish(self, outcome: Outcome, steps: Sequence[Step]) -> Outcome:
        """Write the outcome. Waits for a store that is away; raises `Fenced`."""
        self._finishing = True
        steps = [*self._unwritten, *steps]
        outcome = self._completed(outcome, steps)
        subjects = usage_subjects(self.task.tenant, self.agent)
        await self.core.journal.finish(
            self.task.id, fence=self.task.fence, outcome=outcome, steps=steps, subjects=subjects
        )
        self._steps.extend(steps)
        if steps:
            self._hooks.committed(self, steps)
        self._hooks.ended(self, outcome)
        return outcome

    def _completed(self, outcome: Outcome, steps: Sequence[Step]) -> Outcome:
        """With the agent's name, and no less usage than the steps add up to."""
        update: dict[str, object] = {}
        if self.agent is not None:
            agent = self.agent
            names = {"agent_id": agent.agent_id, "pool": agent.pool, "tier": self.tier or agent.tier}
            names["manifest"] = agent.manifest
            update = {name: value for name, value in names.items() if getattr(outcome, name) is None}
        if self.over_soft:
            update["over_soft"] = self.over_soft
        counted = _sum(self._steps, steps)
        if counted.total_tokens > outcome.usage.total_tokens:
            update["usage"] = counted
        return outcome.model_copy(update=update) if update else outcome

    # Time

    def left_s(self) -> float:
        """Seconds of the task's time that are left; it begins with the first turn."""
        now = self.core.clock()
        if self._deadline is None:
            self._deadline = now + self._allowed_s
        return max(0.0, self._deadline - now)

    @property
    def _allowed_s(self) -> float:
        return self.task.request.timeout_s or self.core.settings.default_timeout_s

    def _timed_out(self) -> TimedOut:
        return TimedOut(f"The task did not end within {self._allowed_s:g} s.")


def _failed(error: OssaError) -> Outcome:
    status = TaskStatus.CANCELLED if isinstance(error, Cancelled) else TaskStatus.FAILED
    info = ErrorInfo(code=error.code, message=error.message, param=error.param, retry_after_s=error.retry_after_s)
    return Outcome(status=status, error=info)


def _sum(*parts: Sequence[Step]) -> Usage:
    total = Usage()
    for steps in parts:
        for step in steps:
            if step.usage.total_tokens or step.usage.cost_usd:
                total = total.plus(step.usage)
    return total


async def _ignore(delta: Delta) -> None:
    """A client that does not stream hears only the end."""


class _Released(Exception):
    def __init__(self, error: OssaError) -> None:
        super().__init__(error.message)
        self.error = error
