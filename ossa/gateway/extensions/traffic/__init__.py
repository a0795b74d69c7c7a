"""Turns counted by pool, and reported to the scaler."""

from __future__ import annotations

from ossa.contracts.errors import OssaError
from ossa.contracts.scaling import SAMPLE_S
from ossa.contracts.task import NewTask, Outcome, Task
from ossa.gateway.core import GatewayCore
from ossa.gateway.extensions.traffic import api
from ossa.gateway.extensions.traffic.meter import MeteredTurn, TrafficMeter
from ossa.gateway.extensions.traffic.metrics import TrafficMetrics
from ossa.gateway.extensions.traffic.reports import TrafficReports
from ossa.gateway.extensions.traffic.schemas import SCALING_MODELS
from ossa.gateway.hooks import Extension, Run, TaskHook, TaskState

NAME = "traffic"


class TrafficHook(TaskHook):
    """Tells the meter what becomes of each task."""

    def __init__(self, meter: TrafficMeter) -> None:
        self._meter = meter
        self._turns: dict[Run, MeteredTurn] = {}

    def moved(
        self, state: TaskState, task: NewTask | Task, run: Run | None = None, error: OssaError | None = None
    ) -> None:
        if run is not None:
            self._run_moved(state, run)
        elif state == "asked":
            self._meter.asked(task.id, task.request.target)
        elif state == "dropped":
            self._meter.dropped(task.id, "" if error is None else error.code)
        elif state == "queued":
            self._meter.queued(task.request.target)
        elif state == "claimed" and isinstance(task, Task):
            self._meter.claimed(task)

    def _run_moved(self, state: TaskState, run: Run) -> None:
        if state == "opened":
            self._turns[run] = self._meter.of(run.task)
            return
        turn = self._turns[run]
        if state == "waiting":
            turn.waits()
        elif state == "scheduled" and run.agent is not None:
            turn.began(run.agent)
        elif state == "busy":
            turn.turned_away()
        elif state == "left":
            turn.left()

    def ended(self, run: Run, outcome: Outcome) -> None:
        self._turns[run].ended(outcome)

    def closed(self, run: Run) -> None:
        self._turns.pop(run).gone()


def extension(core: GatewayCore) -> Extension:
    """What the scaler learns from this replica, and the routes about scaling."""
    metrics = core.metrics.group(TrafficMetrics)
    meter = TrafficMeter(core.clock, metrics)
    reports = TrafficReports(meter, core, metrics, every_s=SAMPLE_S)
    return Extension(
        NAME,
        hooks=[TrafficHook(meter)],
        routers=[api.router],
        schemas=tuple(SCALING_MODELS.values()),
        service=meter,
        loops={"traffic": reports.run_forever},
        scrape=lambda: metrics.show_waiting(meter.waiting(core.index())),
    )
