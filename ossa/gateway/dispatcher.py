"""Owns accepted tasks: accept -> seat -> turn -> outcome, whatever dies on the way."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from ossa.contracts.configuration import GatewaySettings
from ossa.contracts.errors import Conflict, FleetBusy, NotReady, OssaError, StoreUnavailable, TimedOut
from ossa.contracts.fleet import AgentInfo, FleetPort
from ossa.contracts.stores import Accepted, Journal
from ossa.contracts.task import NewTask, Task
from ossa.contracts.turn import AgentLink
from ossa.gateway.daily_usage import DailyUsage
from ossa.gateway.desk import Desk, Seat, Wish
from ossa.gateway.durable import DurableJournal
from ossa.gateway.earlier_answers import EarlierAnswers
from ossa.gateway.lease import Lease, Leases
from ossa.gateway.listener import Listener
from ossa.gateway.metrics import GatewayMetrics
from ossa.gateway.routes import Routes
from ossa.gateway.spending import Spending
from ossa.gateway.task_run import RunParts, TaskRun
from ossa.gateway.traffic import TrafficMeter
from ossa.gateway.turn_help import TurnHelp
from ossa.routing import RequestFeatures

logger = logging.getLogger(__name__)

FOLLOW_FIRST_S = 0.05
FOLLOW_LONGEST_S = 0.5
DRAIN_S = 20.0
KEEP_WITHIN_S = 5.0
"""At the end, for answers that are being kept."""

SPARED_SEATS = 0.1
"""Share of all seats that queued tasks leave to those who wait for an answer."""


@dataclass
class Chat:
    """A synchronous request's task. `run` is None when it was known already and is not run here."""

    task: Task
    run: TaskRun | None


@dataclass(frozen=True)
class Begun:
    """An accepted task. `run` is None when it is not started here; `created` is False when it was known already."""

    task: Task
    run: TaskRun | None
    created: bool


class Dispatcher:
    """One a gateway replica.

    Args:
        help: what turns may ask for.
        earlier: answers that were given before.
        spending: what tasks may spend; without it there are no budgets.
        chores: further loops to keep going, by name; they never return.
        routes: what decisions are made under; without it rules decide, and agents use their own tiers.
        traffic: counts turns for the scaler.
        name: names the replica in owner ids; a random part is added.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        fleet: FleetPort,
        link: AgentLink,
        settings: GatewaySettings,
        metrics: GatewayMetrics,
        help: TurnHelp | None = None,
        earlier: EarlierAnswers | None = None,
        name: str = "gateway",
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        routes: Routes | None = None,
        spending: Spending | None = None,
        traffic: TrafficMeter | None = None,
        chores: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
    ) -> None:
        self._chores = chores or {}
        self.spending = spending or Spending()
        self._journal = journal
        self._fleet = fleet
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self.routes = routes or Routes(clock=clock)
        self.traffic = traffic or TrafficMeter(clock, metrics.traffic)
        self.desk = Desk(fleet, rng=rng or random.Random(), clock=clock, routes=self.routes)
        self.leases = Leases(
            journal,
            name=name,
            ttl_s=settings.lease_ttl_s,
            renew_s=settings.lease_renew_s,
            clock=clock,
            metrics=metrics,
        )
        durable = DurableJournal(journal, metrics)
        self._earlier = earlier
        self._parts = RunParts(
            journal=durable,
            daily=DailyUsage(durable.usage_today, clock),
            desk=self.desk,
            link=link,
            fleet=fleet,
            settings=settings,
            metrics=metrics,
            clock=clock,
            report_lost=self._report_lost,
            help=help or TurnHelp(),
            earlier=earlier,
            routes=self.routes,
            spending=self.spending,
            traffic=self.traffic,
        )
        self._runs: dict[str, TaskRun] = {}
        self._admitted = 0
        self._sync = 0
        self._beginnings: set[asyncio.Task[Begun]] = set()
        self._gone: set[str] = set()
        self._stopping = False
        self._work = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._reports: dict[str, asyncio.Task[None]] = {}

    # Life

    async def start(self) -> None:
        """Take a first lease if the store answers, and begin the loops."""
        await self.leases.round()
        self._loops = [
            asyncio.create_task(self._for_ever("lease", self.leases.run_forever), name="lease"),
            asyncio.create_task(self._for_ever("claim", self._claim_loop), name="claim"),
            asyncio.create_task(self._for_ever("cancel", self._cancel_loop), name="cancel"),
            asyncio.create_task(self._for_ever("budgets", self.spending.run_forever), name="budgets"),
            *(asyncio.create_task(self._for_ever(name, work), name=name) for name, work in self._chores.items()),
        ]

    async def stop(self, *, drain_s: float = DRAIN_S) -> None:
        """Take nothing new, let running tasks end for `drain_s`, hand the rest over."""
        self._stopping = True
        if self._beginnings:
            await asyncio.wait(self._beginnings, timeout=drain_s)
        ends = [run.end for run in self._runs.values() if run.end is not None]
        if ends:
            await asyncio.wait(ends, timeout=drain_s)
        for run in tuple(self._runs.values()):
            run.lose()
        rest = [run.end for run in self._runs.values() if run.end is not None]
        others = [*self._loops, *self._reports.values(), *self._beginnings]
        for task in others:
            task.cancel()
        await asyncio.gather(*rest, *others, return_exceptions=True)
        if self._earlier is not None:
            await self._earlier.close(within_s=min(drain_s, KEEP_WITHIN_S))
        await self.spending.close(within_s=min(drain_s, KEEP_WITHIN_S))
        await self.leases.retire_all()

    @property
    def running(self) -> int:
        return len(self._runs)

    @property
    def accepting(self) -> bool:
        return not self._stopping and self.leases.held

    # Requests

    async def chat(self, new: NewTask, listener: Listener | None = None) -> Chat:
        """Accept a synchronous request and start it here.

        When this call is cancelled (the client hung up), at whatever moment, a task without an
        idempotency key is not accepted or ends as cancelled; one with a key goes on.

        Raises:
            FleetBusy: `max_inflight` requests are being answered, or no agent was free within `busy_wait_s`.
            NotFound, NotReady, StoreUnavailable, IdempotencyConflict: nothing was accepted.
        """
        self._admit()
        wish = wish_of(new)
        seat: Seat | None = None
        self._admitted += 1
        try:
            if new.idempotency_key is None:
                # Without a key nobody could come back for the task: it is accepted only once there is an agent.
                with self.traffic.asking(new.id, wish.target) as turn:
                    seat = await self.desk.wait_and_take(wish, wait_s=self._settings.busy_wait_s)
                    turn.began(seat.agent)
            lease = self.leases.current()
            begin, seat = self._begin(new, wish, lease, seat=seat, listener=listener, sync=True), None
        finally:
            self._admitted -= 1
            if seat is not None:
                seat.release()
                self.traffic.gone(new.id)
        try:
            begun = await asyncio.shield(begin)
        except asyncio.CancelledError:
            if new.idempotency_key is None:
                self._gone.add(new.id)
                if begin.done():
                    self._cancel_if_gone(new.id)
                else:
                    begin.add_done_callback(lambda _: self._gone.discard(new.id))
            raise
        return Chat(begun.task, begun.run or self._runs.get(begun.task.id))

    async def submit(self, new: NewTask) -> Accepted:
        """Accept an asynchronous task; it starts here at once when there is room, else some replica claims it.

        Raises `NotFound` for an unknown target, `IdempotencyConflict`, `StoreUnavailable`, and
        `FleetBusy` when the tenant has `max_queued_tasks` open.
        """
        if self._stopping:
            raise NotReady("The gateway is stopping.", retry_after_s=1.0)
        wish = wish_of(new)
        seat: Seat | None = None
        try:
            seat = self.desk.take(wish)
        except (FleetBusy, NotReady):
            seat = None
        try:
            await self._check_queue(new.tenant)
            if seat is not None and self._has_capacity():
                begin, seat = self._begin(new, wish, self.leases.current(), seat=seat), None
            else:
                begin = self._begin(new, wish, None)
        finally:
            if seat is not None:
                seat.release()
        begun = await asyncio.shield(begin)
        return Accepted(task=begun.task, created=begun.created)

    async def cancel(self, task_id: str, *, tenant: str) -> Task:
        """Raises `NotFound`."""
        task = await self._journal.request_cancel(task_id, tenant=tenant)
        run = self._runs.get(task_id)
        if run is not None and task.cancel_requested:
            run.cancel()
        return task

    async def follow(self, task_id: str, *, tenant: str, at_most_s: float) -> Task:
        """The ended task, wherever it runs. Raises `TimedOut`, `NotFound`."""
        until = self._clock() + at_most_s
        wait_s = FOLLOW_FIRST_S
        while True:
            run = self._runs.get(task_id)
            if run is not None and run.end is not None:
                await asyncio.wait((run.end,), timeout=max(0.0, until - self._clock()))
            try:
                task = await self._journal.get(task_id, tenant=tenant)
                if task.status.ended:
                    return task
            except StoreUnavailable:
                self._metrics.journal_errors.labels("get").inc()
            if self._clock() >= until:
                raise TimedOut(f"Task {task_id} goes on, but did not end within {at_most_s:g} s.")
            await asyncio.sleep(wait_s)
            wait_s = min(FOLLOW_LONGEST_S, wait_s * 1.5)

    def known(self, task_id: str) -> TaskRun | None:
        """The run of this task, when it is here."""
        return self._runs.get(task_id)

    # Steps of the above

    def _admit(self) -> None:
        if self._stopping:
            raise NotReady("The gateway is stopping.", retry_after_s=1.0)
        if self._admitted + self._sync >= self._settings.max_inflight:
            raise FleetBusy("The gateway is answering as many requests as it may.", retry_after_s=1.0)
        self.leases.current()

    async def _check_queue(self, tenant: str) -> None:
        if await self._journal.count_open(tenant=tenant) >= self._settings.max_queued_tasks:
            raise FleetBusy(
                f"This tenant has {self._settings.max_queued_tasks} open tasks; wait until some have ended.",
                retry_after_s=5.0,
            )

    def _begin(
        self,
        new: NewTask,
        wish: Wish,
        lease: Lease | None,
        *,
        seat: Seat | None = None,
        listener: Listener | None = None,
        sync: bool = False,
    ) -> asyncio.Task[Begun]:
        """Accept a task and start it, in a task of its own that owns the seat.

        A client may hang up while the journal writes: cut off there, nobody would know whether the task was accepted.
        """
        self._admitted += sync
        begin = asyncio.create_task(self._accept_and_start(new, wish, lease, seat, listener, sync), name="begin")
        self._beginnings.add(begin)
        begin.add_done_callback(self._beginnings.discard)
        return begin

    async def _accept_and_start(
        self, new: NewTask, wish: Wish, lease: Lease | None, seat: Seat | None, listener: Listener | None, sync: bool
    ) -> Begun:
        run: TaskRun | None = None
        try:
            accepted = await self._accept(new, lease)
            if accepted.created and lease is not None:
                run = self._start(accepted.task, wish, lease, seat=seat, listener=listener, sync=sync)
                seat = None
                self._cancel_if_gone(new.id)
            elif accepted.created:
                self.traffic.queued(wish.target)
                self._work.set()
            return Begun(accepted.task, run, accepted.created)
        finally:
            self._admitted -= sync
            if seat is not None:
                seat.release()
            if run is None:
                self.traffic.gone(new.id)

    def _cancel_if_gone(self, task_id: str) -> None:
        """The one who waited for it hung up: stop the run before its first step, if it is that early."""
        run = self._runs.get(task_id)
        if run is not None and task_id in self._gone:
            run.cancel()
        self._gone.discard(task_id)

    async def _accept(self, new: NewTask, lease: Lease | None) -> Accepted:
        began = time.perf_counter()
        try:
            accepted = await self._journal.accept(new, owner=None if lease is None else lease.owner)
        except (StoreUnavailable, asyncio.CancelledError):
            # It may have been committed all the same, and then is ours without our knowing.
            self._metrics.journal_errors.labels("accept").inc()
            if lease is not None:
                self.leases.doubt(lease)
            raise
        self._metrics.journal.labels("accept").observe(time.perf_counter() - began)
        return accepted

    def _start(
        self,
        task: Task,
        wish: Wish,
        lease: Lease,
        *,
        seat: Seat | None = None,
        listener: Listener | None = None,
        sync: bool = False,
    ) -> TaskRun:
        run = TaskRun(
            self._parts,
            task,
            wish,
            lease,
            seat=seat,
            listener=listener,
            busy_wait_s=self._settings.busy_wait_s if sync else None,
            release_when_busy=task.idempotency_key is not None,
        )
        self._runs[task.id] = run
        self._sync += sync
        lease.running.add(run)
        self._metrics.turns.inc()
        run.start().add_done_callback(lambda end: self._ended(run, end, sync))
        return run

    def _ended(self, run: TaskRun, end: asyncio.Task[object], sync: bool) -> None:
        self._sync -= sync
        if self._runs.get(run.task.id) is run:
            del self._runs[run.task.id]
        run.lease.running.discard(run)
        self._metrics.turns.dec()
        if end.cancelled() or end.exception() is not None:
            # It ended without a word in the journal: let go of the lease, so that someone claims it.
            logger.error("task_run_failed", extra={"task_id": run.task.id}, exc_info=_exception(end))
            self._metrics.failures.labels("run").inc()
            self.leases.doubt(run.lease)

    def _has_capacity(self) -> bool:
        return len(self._runs) - self._sync < self._settings.max_inflight and self.leases.held

    # Loops

    async def _claim_loop(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._settings.claim_interval_s):
                    await self._work.wait()
            except TimeoutError:
                pass
            self._work.clear()
            await self.claim()

    async def claim(self) -> int:
        """Take queued and orphaned tasks, as many as there is room for. Returns how many."""
        others = len(self._runs) - self._sync
        room = min(self._settings.max_inflight - others, self.desk.free_seats(spared=SPARED_SEATS))
        if self._stopping or room <= 0 or not self.leases.held:
            return 0
        lease = self.leases.current()
        try:
            tasks = await self._journal.claim(owner=lease.owner, limit=room)
        except (StoreUnavailable, Conflict, asyncio.CancelledError):
            self.leases.doubt(lease)
            raise
        for task in tasks:
            old = self._runs.get(task.id)
            if old is not None:
                old.lose()
            self.traffic.claimed(task)
            self._start(task, wish_of(task), lease)
        return len(tasks)

    async def _cancel_loop(self) -> None:
        while True:
            await asyncio.sleep(self._settings.claim_interval_s)
            for lease in self.leases.all:
                if not lease.running:
                    continue
                for task_id in await self._journal.cancel_requests(lease.owner):
                    run = self._runs.get(task_id)
                    if run is not None:
                        run.cancel()

    async def _for_ever(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await loop()
            except StoreUnavailable:
                self._metrics.journal_errors.labels(name).inc()
            except Exception:
                logger.exception("loop_failed", extra={"loop": name})
                self._metrics.failures.labels(name).inc()
            await asyncio.sleep(0.2)

    def _report_lost(self, agent: AgentInfo, reason: str) -> None:
        """Tell the fleet beside the work, once a process."""
        if agent.incarnation not in self._reports:
            report = asyncio.create_task(self._report(agent, reason), name="report-lost")
            self._reports[agent.incarnation] = report
            report.add_done_callback(lambda _: self._reports.pop(agent.incarnation, None))

    async def _report(self, agent: AgentInfo, reason: str) -> None:
        try:
            async with asyncio.timeout(10):
                await self._fleet.report_lost(agent.agent_id, agent.incarnation, reason)
        except (OssaError, TimeoutError):
            logger.warning("report_lost_failed", extra={"agent_id": agent.agent_id})
        except Exception:
            logger.exception("report_lost_failed", extra={"agent_id": agent.agent_id})
            self._metrics.failures.labels("report").inc()


def wish_of(task: NewTask | Task) -> Wish:
    """What the task asks for."""
    return Wish(task.request.target, RequestFeatures.of_request(task.request), task.tenant)


def _exception(end: asyncio.Task[object]) -> BaseException | None:
    return None if end.cancelled() else end.exception()
