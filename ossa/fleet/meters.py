"""Metrics of agents and of the controller, on Ray's own metrics endpoint. Each is created when it is first used."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ossa.contracts.fleet import AgentInfo, AgentState
from ossa.contracts.task import Turn
from ossa.contracts.turn import TurnResult, TurnRunner, TurnSink
from ossa.observability import AtMost, MetricGroup, counter, gauge, histogram

if TYPE_CHECKING:  # agents import this file and do not scale
    from ossa.contracts.scaling import PoolSample, Predicted, ScaleDecision

_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0]
_SIGNALS = ("arrivals", "running", "queued", "queue_wait_s", "latency_p99_s", "error_rate", "cpu", "memory")
_MILLISECONDS = [1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0]
POOLS = AtMost(64, "pools")
HORIZONS = AtMost(8, "horizons")
OF_AGENT: dict[str, Any] = {
    "agent": AtMost(10_000, "agents"),
    "pool": POOLS,
    "manifest": AtMost(1000, "manifests"),
}


class AgentMetrics(MetricGroup):
    endpoint = "ray"

    turns = counter("ossa_agent_turns_total", "Turns ended, by status.", **OF_AGENT, status=AtMost(8, "statuses"))
    running = gauge("ossa_agent_running_turns", "Turns running now.", **OF_AGENT)
    seconds = histogram("ossa_agent_turn_seconds", "Wall time of a turn.", buckets=_SECONDS, **OF_AGENT)
    tokens = counter("ossa_agent_tokens_total", "Tokens used, by kind.", **OF_AGENT, kind=("prompt", "completion"))
    hook_failures = counter(
        "ossa_agent_hook_failures_total", "Unexpected exceptions of hooks.", **OF_AGENT, hook=AtMost(50, "hooks")
    )


class FleetMetrics(MetricGroup):
    endpoint = "ray"

    agents = gauge("ossa_fleet_agents", "Agents, by pool and state.", pool=POOLS, state=tuple(AgentState))
    standby = gauge("ossa_fleet_standby_agents", "Started agents without a manifest.")
    lost = counter("ossa_fleet_lost_total", "Processes that died unasked.", pool=POOLS)
    start_seconds = histogram("ossa_fleet_start_seconds", "Cold start of a process.", buckets=_SECONDS)
    failures = counter("ossa_fleet_start_failures_total", "Starts and assignments that failed.")
    assign_ms = histogram("ossa_fleet_assign_milliseconds", "Standby to agent.", buckets=_MILLISECONDS)
    tick_errors = counter("ossa_fleet_reconcile_errors_total", "Reconcile rounds that raised.")
    sample = gauge("ossa_scaling_sample", "What the scaler saw last.", pool=POOLS, signal=_SIGNALS)
    forecast = gauge(
        "ossa_scaling_forecast_turns", "Turns at once.", pool=POOLS, horizon_s=HORIZONS, quantile=AtMost(9, "quantiles")
    )
    wape = gauge(
        "ossa_scaling_forecast_wape", "Rolling error of the median.", unit="share", pool=POOLS, horizon_s=HORIZONS
    )
    trusted = gauge("ossa_scaling_forecast_trusted", "0: switched off.", pool=POOLS, horizon_s=HORIZONS)
    sizes = gauge("ossa_scaling_agents", "Decided, by pool.", pool=POOLS)
    borrowed = gauge("ossa_scaling_lent", "Standbys that work for a pool.", pool=POOLS)
    decided_standby = gauge("ossa_scaling_standby", "Standbys decided.")
    scalings = counter(
        "ossa_scaling_events_total", "Changes of size.", pool=POOLS, way=("out", "in"), by=AtMost(20, "reasons")
    )


class AgentMeters:
    """One agent's turns: `ossa_agent_turns_total`, `_running_turns`, `_turn_seconds`, `_tokens_total`."""

    def __init__(self, agent: AgentInfo) -> None:
        self._tags = {"agent": agent.agent_id, "pool": agent.pool, "manifest": agent.manifest}
        self._running = 0
        self._hook_failures: Counter[str] = Counter()

    def began(self) -> None:
        self._running += 1
        self._metrics["running"].set(self._running, tags=self._tags)

    def ended(self, status: str, seconds: float, prompt_tokens: int, completion_tokens: int) -> None:
        self._running -= 1
        metrics, tags = self._metrics, self._tags
        metrics["running"].set(self._running, tags=tags)
        metrics["turns"].inc(1, tags={**tags, "status": status})
        metrics["seconds"].observe(seconds, tags=tags)
        for kind, tokens in (("prompt", prompt_tokens), ("completion", completion_tokens)):
            if tokens > 0:
                metrics["tokens"].inc(tokens, tags={**tags, "kind": kind})

    def hooks_failed(self, failures: Counter[str]) -> None:
        """Counts what came since the last call. `failures`: so far, by hook."""
        for hook, new in (failures - self._hook_failures).items():
            self._metrics["hook_failures"].inc(new, tags={**self._tags, "hook": hook})
        self._hook_failures = failures.copy()

    @cached_property
    def _metrics(self) -> dict[str, Any]:
        return AgentMetrics.on_ray()


class MeteredRunner:
    """A `TurnRunner` whose turns are counted."""

    def __init__(self, runner: TurnRunner, meters: AgentMeters) -> None:
        self._runner = runner
        self._meters = meters

    async def run(self, turn: Turn, sink: TurnSink) -> TurnResult:
        began = time.monotonic()
        self._meters.began()
        status, prompt, completion = "cancelled", 0, 0
        try:
            result = await self._runner.run(turn, sink)
            status = result.outcome.status.value
            prompt, completion = result.outcome.usage.prompt_tokens, result.outcome.usage.completion_tokens
            return result
        except Exception:
            status = "crashed"
            raise
        finally:
            self._meters.ended(status, time.monotonic() - began, prompt, completion)
            hooks = getattr(self._runner, "hooks", None)
            if hooks is not None and hooks.failures:
                self._meters.hooks_failed(hooks.failures)


class FleetMeters:
    """Metrics of the controller: `ossa_fleet_*`, and `ossa_scaling_*` of what the scaler sees, expects and decides.

    Unknown values are NaN, so that a gap shows as a gap.
    """

    def __init__(self) -> None:
        self._pools: set[str] = set()

    def fleet(self, agents: Iterable[AgentInfo], standby: int) -> None:
        agents = list(agents)
        count = Counter((agent.pool, agent.state) for agent in agents)
        self._pools |= {agent.pool for agent in agents}
        for pool in self._pools:
            for state in AgentState:
                self._metrics["agents"].set(count[(pool, state)], tags={"pool": pool, "state": state.value})
        self._metrics["standby"].set(standby)

    def lost(self, pool: str) -> None:
        self._metrics["lost"].inc(1, tags={"pool": pool})

    def started(self, seconds: float) -> None:
        self._metrics["start_seconds"].observe(seconds)

    def failed(self) -> None:
        self._metrics["failures"].inc(1)

    def assigned(self, milliseconds: float) -> None:
        self._metrics["assign_ms"].observe(milliseconds)

    def tick_crashed(self) -> None:
        self._metrics["tick_errors"].inc(1)

    def sampled(self, samples: Iterable[PoolSample]) -> None:
        for sample in samples:
            for signal in _SIGNALS:
                value = getattr(sample, signal)
                tags = {"pool": sample.pool, "signal": signal}
                self._metrics["sample"].set(math.nan if value is None else float(value), tags=tags)

    def predicted(self, predicted: Predicted) -> None:
        for forecast in predicted.forecasts:
            for quantile, value in forecast.quantiles.items():
                tags = {"pool": forecast.pool, "horizon_s": str(forecast.horizon_s), "quantile": f"{quantile:g}"}
                self._metrics["forecast"].set(value, tags=tags)
        for error in predicted.errors:
            tags = {"pool": error.pool, "horizon_s": str(error.horizon_s)}
            self._metrics["wape"].set(math.nan if error.wape is None else error.wape, tags=tags)
            self._metrics["trusted"].set(float(error.trusted), tags=tags)

    def decided(self, decision: ScaleDecision) -> None:
        for pool in decision.pools:
            self._metrics["sizes"].set(pool.agents, tags={"pool": pool.pool})
            self._metrics["borrowed"].set(pool.lent, tags={"pool": pool.pool})
            if pool.agents != pool.before:
                way = "out" if pool.agents > pool.before else "in"
                self._metrics["scalings"].inc(1, tags={"pool": pool.pool, "way": way, "by": decision.by})
        self._metrics["decided_standby"].set(decision.standby)

    @cached_property
    def _metrics(self) -> dict[str, Any]:
        return FleetMetrics.on_ray()
