"""Owns accepted tasks: admit -> schedule -> accept -> run (`ossa.gateway.task_run`), whatever dies on the way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from ossa.contracts.access import Principal
from ossa.contracts.errors import Conflict, FleetBusy, NotReady, OssaError, StoreUnavailable, TimedOut
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.origin import Origin, acting, current_origin, set_origin
from ossa.contracts.stores import Accepted
from ossa.contracts.task import NewTask, Task
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Hooks
from ossa.gateway.lease import Lease
from ossa.gateway.listener import Listener
from ossa.gateway.scheduler import AgentScheduler, SlotReservation
from ossa.gateway.task_run import TaskRun
from ossa.routing.index import RoutingRequest

logger = logging.getLogger(__name__)

FOLLOW_FIRST_S = 0.05
FOLLOW_LONGEST_S = 0.5
DRAIN_S = 20.0
REPORT_S = 10.0
CLOSE_WITHIN_S = 5.0
LOOP_PAUSE_S = 0.2

SPARED_SLOTS = 0.1
"""Share of all slots that queued tasks leave to those who wait for an answer."""


@dataclass
class Chat:
    """A synchronous request's task. `run` is None when it was known already and is not run here."""

    task: Task
    run: TaskRun | None


@dataclass(eq=False)
class _Order:
    """A task on its way to its run.

    `lease` is None for a task that any replica may run. `gone`: its client has hung up.
    """

    task: NewTask | Task
    request: RoutingRequest
    lease: Lease | None
    slot: SlotReservation | None = None
    listener: Listener | None = None
    sync: bool = False
    gone: bool = False


@dataclass(frozen=True)
class _Begun:
    """An accepted task. `run` is None when it is not started here; `created` is False when it was known already."""

    task: Task
    run: TaskRun | None
    created: bool


class Dispatcher:
    """One a gateway replica. A `RunOwner`.

    Args:
        loops: the extensions' loops by name; one that ends or raises is started again.
        closers: called at the end, after the last task, with the seconds that each may take.
    """

    def __init__(
        self,
        core: GatewayCore,
        hooks: Hooks,
        *,
        loops: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
        closers: Sequence[Callable[[float], Awaitable[None]]] = (),
    ) -> None:
        self.core = core
        self.hooks = hooks
        self.scheduler = AgentScheduler(core, hooks)
        self.leases = core.leases
        self._extension_loops = loops or {}
        self._closers = closers
        self._settings = core.settings
        self._journal = core.stores.journal
        self._metrics = core.metrics
        self._runs: dict[str, TaskRun] = {}
        self._answering = 0
        """Synchronous requests, from admission to the end of their runs."""
        self._claimed = 0
        """Runs that nobody waits for."""
        self._beginnings: set[asyncio.Task[_Begun]] = set()
        self._stopping = False
        self._work = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._reports: dict[str, asyncio.Task[None]] = {}

    # Life

    async def start(self) -> None:
        """Take a first lease if the store answers, and begin the loops."""
        await self.leases.round()
        loops = {
            "lease": self.leases.run_forever,
            "claim": self._claim_loop,
            "cancel": self._cancel_loop,
            **self._extension_loops,
        }
        self._loops = [asyncio.create_task(self._keep_up(name, loop), name=name) for name, loop in loops.items()]

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
        for close in self._closers:
            try:
                await close(min(drain_s, CLOSE_WITHIN_S))
            except Exception:
                logger.exception("extension_not_closed")
                self._metrics.failures.labels("close").inc()
        await self.leases.retire_all()

    @property
    def running(self) -> int:
        return len(self._runs)

    @property
    def accepting(self) -> bool:
        return not self._stopping and self.leases.held

    # Requests

    async def chat(self, new: NewTask, listener: Listener | None = None, *, caller: Principal | None) -> Chat:
        """Accept a synchronous request and start it here. `caller` is whose key it came with; None: none of a key's.

        When this call is cancelled (the client hung up), at whatever moment, a task without an
        idempotency key is not accepted or ends as cancelled; one with a key goes on.

        Raises:
            FleetBusy: `max_inflight` requests are being answered, or no agent was free within `busy_wait_s`.
            NotFound, NotReady, StoreUnavailable, IdempotencyConflict: nothing was accepted.
            OssaError: what a hook's `admit` refused the request with.
        """
        self._refuse_when_full()
        order = _Order(new, RoutingRequest.of(new), None, listener=listener, sync=True)
        self._answering += 1
        try:
            await self.hooks.admit(new, caller)
            if new.idempotency_key is None:
                # Without a key nobody could come back for the task: it is accepted only once there is an agent.
                self.hooks.moved("asked", new)
                until = self.core.clock() + self._settings.busy_wait_s
                order.slot = await self.scheduler.wait_for_slot(order.request, until=until)
            order.lease = self.leases.current()
        except BaseException as error:
            self._answering -= 1
            self._drop(order, error if isinstance(error, OssaError) and order.slot is None else None)
            raise
        beginning = self._begin(new, order)
        try:
            begun = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            if new.idempotency_key is None:
                order.gone = True
                self._cancel_if_gone(order)
            raise
        return Chat(begun.task, begun.run or self._runs.get(begun.task.id))

    async def submit(self, new: NewTask, *, caller: Principal | None) -> Accepted:
        """Accept an asynchronous task; it starts here at once when there is room, else some replica claims it.

        Raises `NotFound` for an unknown target, `IdempotencyConflict`, `StoreUnavailable`,
        `FleetBusy` when the tenant has `max_queued_tasks` open, and what a hook's `admit` raises.
        """
        if self._stopping:
            raise NotReady("The gateway is stopping.", retry_after_s=1.0)
        await self.hooks.admit(new, caller)
        await self._check_queue(new.tenant)
        order = _Order(new, RoutingRequest.of(new), None)
        try:
            order.slot = self.scheduler.reserve(order.request)
            if self._has_capacity():
                order.lease = self.leases.current()
        except (FleetBusy, NotReady):
            pass
        if order.lease is None:
            self._drop(order)
        begun = await asyncio.shield(self._begin(new, order))
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
        clock = self.core.clock
        until = clock() + at_most_s
        wait_s = FOLLOW_FIRST_S
        while True:
            run = self._runs.get(task_id)
            if run is not None and run.end is not None:
                await asyncio.wait((run.end,), timeout=max(0.0, until - clock()))
            try:
                task = await self._journal.get(task_id, tenant=tenant)
                if task.status.ended:
                    return task
            except StoreUnavailable:
                self._metrics.journal_errors.labels("get").inc()
            if clock() >= until:
                raise TimedOut(f"Task {task_id} goes on, but did not end within {at_most_s:g} s.")
            await asyncio.sleep(wait_s)
            wait_s = min(FOLLOW_LONGEST_S, wait_s * 1.5)

    def known(self, task_id: str) -> TaskRun | None:
        """The run of this task, when it is here."""
        return self._runs.get(task_id)

    # Steps of the above

    def _refuse_when_full(self) -> None:
        if self._stopping:
            raise NotReady("The gateway is stopping.", retry_after_s=1.0)
        if self._answering >= self._settings.max_inflight:
            raise FleetBusy("The gateway is answering as many requests as it may.", retry_after_s=1.0)
        self.leases.current()

    async def _check_queue(self, tenant: str) -> None:
        if await self._journal.count_open(tenant=tenant) >= self._settings.max_queued_tasks:
            raise FleetBusy(
                f"This tenant has {self._settings.max_queued_tasks} open tasks; wait until some have ended.",
                retry_after_s=5.0,
            )

    def _drop(self, order: _Order, error: OssaError | None = None) -> None:
        """It does not run here: give its slot back."""
        if order.slot is not None:
            order.slot.release()
            order.slot = None
        if order.sync:
            self.hooks.moved("dropped", order.task, error=error)

    def _begin(self, new: NewTask, order: _Order) -> asyncio.Task[_Begun]:
        """Accept a task and start it, in a task of its own that owns the slot.

        A client may hang up while the journal writes: cut off there, nobody would know whether the task was accepted.
        """
        beginning = asyncio.create_task(self._accept_and_start(new, order), name="begin")
        self._beginnings.add(beginning)
        beginning.add_done_callback(self._beginnings.discard)
        return beginning

    async def _accept_and_start(self, new: NewTask, order: _Order) -> _Begun:
        run: TaskRun | None = None
        try:
            accepted = await self._accept(new, order.lease)
            if accepted.created and order.lease is not None:
                run = self._start(accepted.task, order, order.lease)
                order.slot = None
                self._cancel_if_gone(order)
            elif accepted.created:
                self.hooks.moved("queued", accepted.task)
                self._work.set()
            return _Begun(accepted.task, run, accepted.created)
        finally:
            if run is None:
                self._answering -= order.sync
                self._drop(order)

    def _cancel_if_gone(self, order: _Order) -> None:
        """The client hung up: stop the run before its first step, if it is that early."""
        run = self._runs.get(order.task.id)
        if run is not None and order.gone:
            run.cancel()

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

    def _start(self, task: Task, order: _Order, lease: Lease) -> TaskRun:
        with acting(task.origin):  # the run keeps it, also of a task that was claimed
            run = TaskRun(
                self,
                task,
                order.request,
                lease,
                slot=order.slot,
                listener=order.listener,
                busy_wait_s=self._settings.busy_wait_s if order.sync else None,
                release_when_busy=task.idempotency_key is not None,
            )
            self._runs[task.id] = run
            self._claimed += not order.sync
            lease.running.add(run)
            self._metrics.turns.inc()
            run.start().add_done_callback(lambda end: self._ended(run, end, sync=order.sync))
        return run

    def _ended(self, run: TaskRun, end: asyncio.Task[object], *, sync: bool) -> None:
        self._answering -= sync
        self._claimed -= not sync
        if self._runs.get(run.task.id) is run:
            del self._runs[run.task.id]
        run.lease.running.discard(run)
        self._metrics.turns.dec()
        error = None if end.cancelled() else end.exception()
        if end.cancelled() or error is not None:
            # It ended without a word in the journal: let go of the lease, so that someone claims it.
            logger.error("task_run_failed", extra={"task_id": run.task.id}, exc_info=error)
            self._metrics.failures.labels("run").inc()
            self.leases.doubt(run.lease)

    def _has_capacity(self) -> bool:
        return self._claimed < self._settings.max_inflight and self.leases.held

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
        room = min(
            self._settings.max_inflight - self._claimed,
            self.scheduler.free_slots(spared=SPARED_SLOTS),
        )
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
            self.hooks.moved("claimed", task)
            self._start(task, _Order(task, RoutingRequest.of(task), lease), lease)
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

    async def _keep_up(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        set_origin(Origin(actor=f"system/{name}"))
        while True:
            try:
                await loop()
            except StoreUnavailable:
                self._metrics.journal_errors.labels(name).inc()
            except Exception:
                logger.exception("loop_failed", extra={"loop": name})
                self._metrics.failures.labels(name).inc()
            await asyncio.sleep(LOOP_PAUSE_S)

    def report_lost(self, agent: AgentInfo, reason: str) -> None:
        """Tell the fleet beside the work, once a process."""
        if agent.incarnation not in self._reports:
            report = asyncio.create_task(self._report(agent, reason), name="report-lost")
            self._reports[agent.incarnation] = report
            report.add_done_callback(lambda _: self._reports.pop(agent.incarnation, None))

    async def _report(self, agent: AgentInfo, reason: str) -> None:
        set_origin(current_origin().by("system/gateway"))
        try:
            async with asyncio.timeout(REPORT_S):
                await self.core.fleet.report_lost(agent.agent_id, agent.incarnation, reason)
        except (OssaError, TimeoutError):
            logger.warning("report_lost_failed", extra={"agent_id": agent.agent_id})
        except Exception:
            logger.exception("report_lost_failed", extra={"agent_id": agent.agent_id})
            self._metrics.failures.labels("report").inc()
