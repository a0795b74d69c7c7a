"""Every ten seconds: sample, forecast, decide, act. Knows no Ray; `ossa.scaling.decision` decides."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from pydantic import ValidationError

from ossa.contracts.configuration import FleetSettings, ScalingSettings
from ossa.contracts.errors import OssaError
from ossa.contracts.fleet import PoolInfo
from ossa.contracts.scaling import (
    SAMPLE_S,
    PoolSample,
    PoolStatus,
    Predicted,
    Predictor,
    ScaleDecision,
    ScaleRules,
    ScalingStatus,
    ScalingStore,
    TrafficReport,
    peaks_of,
)
from ossa.fleet.cluster import AgentReport, ProcessGone
from ossa.fleet.meters import FleetMeters
from ossa.fleet.state import ProcessState
from ossa.fleet.supervisor import AgentProcess
from ossa.scaling.decision import ScalerInput, ScalerState, Verdict, decide
from ossa.scaling.traffic_book import Traffic, TrafficBook

ANSWER_S = 5.0
AT_ONCE = 32
"""Agents asked at the same time."""


@dataclass(frozen=True, slots=True)
class PoolUsage:
    """Means over a pool's agents; None if no agent reported a value."""

    cpu: float | None = None
    memory: float | None = None


class UsageSampler:
    """Samples agents' usage.

    Args:
        cpus_per_agent: an agent's reservation; `cpu` is a share of it and may pass 1.
    """

    def __init__(self, cpus_per_agent: float) -> None:
        self._cpus = cpus_per_agent
        self._last: dict[str, tuple[float, float]] = {}

    async def sample(self, processes: Iterable[AgentProcess]) -> dict[str, PoolUsage]:
        """Returns usage by pool. Agents that do not answer are skipped."""
        ready = [
            process for process in processes if process.state is ProcessState.READY and process.agent_id is not None
        ]
        gate = asyncio.Semaphore(AT_ONCE)
        reports = await asyncio.gather(*(_ask(process, gate) for process in ready))
        seen: dict[str, tuple[float, float]] = {}
        used: dict[str, list[float]] = defaultdict(list)
        memory: dict[str, list[float]] = defaultdict(list)
        for process, report in zip(ready, reports, strict=True):
            if report is None:
                continue
            pool = process.view().pool
            seen[process.incarnation] = (report.clock_s, report.cpu_s)
            before = self._last.get(process.incarnation)
            if before is not None and report.clock_s > before[0]:
                used[pool].append((report.cpu_s - before[1]) / (report.clock_s - before[0]) / self._cpus)
            if report.memory is not None:
                memory[pool].append(report.memory)
        self._last = seen
        return {pool: PoolUsage(_mean(used[pool]), _mean(memory[pool])) for pool in used.keys() | memory.keys()}


async def _ask(process: AgentProcess, gate: asyncio.Semaphore) -> AgentReport | None:
    async with gate:
        if process.handle is None:
            return None
        try:
            return await process.handle.describe(ANSWER_S)
        except (ProcessGone, TimeoutError):
            return None


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


log = logging.getLogger(__name__)


def rules_of(scaling: ScalingSettings, fleet: FleetSettings) -> ScaleRules:
    """Returns the rules of the settings with the fleet's own blocks and standbys."""
    return scaling.rules.model_copy(update={"block_agents": fleet.block_agents, "standby": fleet.standby})


def samples_of(
    at: datetime,
    pools: Sequence[PoolInfo],
    traffic: Mapping[str, Traffic],
    usage: Mapping[str, PoolUsage],
    slots: Mapping[str, float],
) -> list[PoolSample]:
    """Returns a sample of every pool, also without traffic. `slots`: turns at the same time, an agent."""
    return [
        PoolSample(
            pool=pool.name,
            at=at,
            agents=pool.ready,
            starting=pool.starting,
            slots_per_agent=slots[pool.name],
            **asdict(traffic.get(pool.name, Traffic())),
            **asdict(usage.get(pool.name, PoolUsage())),
        )
        for pool in pools
    ]


PREDICTOR_S = 3.0
"""A tick goes on without a predictor that takes longer."""

PRUNE_EVERY = timedelta(hours=1)

PEAKS = timedelta(days=8)
"""A forecast is compared with a pool's peak over this time, which includes the same day of last week."""

PEAKS_EVERY = timedelta(minutes=5)
"""Peaks are read again, because samples also come from loaded traces and other controllers."""


class ScaledFleet(Protocol):
    """The fleet as the scaler changes it."""

    def pools(self) -> Sequence[PoolInfo]:
        """Returns pools that have agents to start. A pool of size 0 was switched off and stays so."""

    def slots(self, pool: str) -> float:
        """Returns the mean number of turns that an agent takes at the same time."""

    @property
    def standby(self) -> int: ...

    async def usage(self) -> Mapping[str, PoolUsage]: ...

    async def nodes(self, agents_per_node: int) -> int:
        """Returns the number of nodes that the running cluster amounts to."""

    async def resize(self, sizes: Mapping[str, int], standby: int, borrowed: Mapping[str, int]) -> None:
        """Saves and applies sizes; `borrowed` are standbys that work for a pool. Raises `StoreUnavailable`."""

    async def request_nodes(self, agents: int) -> None:
        """Asks the autoscaler for room for so many agents."""


class Scaler:
    """Scales one fleet. Call `open`, then `run`; tests call `tick` instead.

    Args:
        rules: the rules of `settings` with this fleet's blocks.
        now: wall-clock seconds; `monotonic`: seconds that no clock change moves.
    """

    def __init__(
        self,
        fleet: ScaledFleet,
        store: ScalingStore,
        settings: ScalingSettings,
        rules: ScaleRules,
        predictor: Predictor | None = None,
        meters: FleetMeters | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet = fleet
        self._store = store
        self._settings = settings
        self._rules = rules
        self._predictor = predictor
        self._meters = meters or FleetMeters()
        self._now = now
        self._monotonic = monotonic
        self._traffic = TrafficBook()
        self._window = timedelta(seconds=max(rules.cooldown_s, 60.0) + SAMPLE_S)
        self._samples: deque[PoolSample] = deque()
        self._peaks: dict[str, float] = {}
        self._peaks_at: datetime | None = None
        self._unsaved: list[PoolSample] = []
        self._alerts: dict[str, float] = {}
        self._state = ScalerState()
        self._expected: dict[str, int] = {}
        self._decision: ScaleDecision | None = None
        self._predicted = Predicted()
        self._ticked_at: datetime | None = None
        self._pruned_at: datetime | None = None
        self._requested: int | None = None
        self._trouble = "no sample was taken yet"

    @property
    def acts(self) -> bool:
        return self._settings.mode == "on"

    @property
    def ticked_at(self) -> datetime | None:
        """The time of the last decision, or of the one that is being carried out."""
        return self._ticked_at

    @property
    def borrowed_standbys(self) -> dict[str, int]:
        """Standbys that work for a pool since the last tick, also if that was before a restart."""
        return {
            name: pool.borrowed_standbys
            for name, pool in self._state.pools.items()
            if pool.borrowed_standbys and self.acts
        }

    async def open(self) -> None:
        """Loads the saved state and the last minutes' samples. Raises `StoreUnavailable`."""
        saved = await self._store.state()
        if saved is not None:
            try:
                self._state = ScalerState.model_validate_json(saved)
            except ValidationError:
                log.warning("scaler_state_not_read")
        since = self._time() - self._window
        self._samples.extend(await self._store.samples(since=since))
        self._peaks_at = self._time()
        self._peaks = await self._store.peaks(since=self._peaks_at - PEAKS)

    async def run(self) -> None:
        """Ticks until cancelled, at whole multiples of `SAMPLE_S` seconds."""
        while True:
            await asyncio.sleep(SAMPLE_S - self._now() % SAMPLE_S)
            try:
                await self.tick()
            except Exception as error:  # sizes stay as they are until the next tick
                self._trouble = f"{type(error).__name__}: {error}"[:300]
                log.exception("scaling_tick_failed")

    async def close(self) -> None:
        if self._requested:
            await self._fleet.request_nodes(0)
        if self._predictor is not None:
            await self._predictor.close()

    def report(self, report: TrafficReport) -> None:
        self._traffic.add(report, self._monotonic())

    def alert(self, pools: Sequence[str], for_s: float) -> None:
        for pool in pools:
            if for_s > 0:
                self._alerts[pool] = self._monotonic() + for_s
            else:
                self._alerts.pop(pool, None)

    async def tick(self) -> ScaleDecision | None:
        """Samples, forecasts, decides and acts, once. Returns None while nothing is deployed."""
        now = self._time()
        samples = await self._sample(now)
        self._predicted = await self._predict(samples)
        await self._save_samples(samples)
        sizes = {pool.name: pool.desired for pool in self._fleet.pools() if pool.desired > 0}
        self._ticked_at = now
        if not sizes:
            self._trouble = "nothing is deployed yet"
            return None
        state = self._with_others_changes(sizes)
        verdict = decide(
            ScalerInput(
                now=now,
                sizes=sizes,
                samples=tuple(self._samples),
                forecasts=self._predicted.forecasts if self._settings.forecast else (),
                earlier=self._predicted.earlier if self._settings.forecast else (),
                peaks=self._peaks,
                alerts=frozenset(self._alerted()),
                standby=self._fleet.standby,
                nodes=await self._nodes(),
            ),
            state,
            self._rules,
            self._settings.start_up,
            dry_run=not self.acts,
        )
        return await self._carry_out(verdict, sizes)

    def status(self) -> ScalingStatus:
        latest = {sample.pool: sample for sample in self._samples if sample.at == self._sampled_at()}
        status = tuple(
            PoolStatus(
                pool=pool.name,
                size=pool.desired,
                ready=pool.ready,
                sample=latest.get(pool.name),
                cooldown_s=self._state.pool(pool.name, 0.0).cooldown_s,
                watch_s=self._state.pool(pool.name, 0.0).watch_s,
            )
            for pool in self._fleet.pools()
        )
        return ScalingStatus(
            mode=self._settings.mode,
            rules=self._rules,
            at=self._ticked_at,
            pools=status,
            standby=self._fleet.standby,
            decision=self._decision,
            errors=self._predicted.errors,
            predictor=self._predictor_status(),
            alerts=tuple(sorted(self._alerted())),
            trouble=self._trouble,
        )

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    def _sampled_at(self) -> datetime | None:
        return self._samples[-1].at if self._samples else None

    async def _sample(self, now: datetime) -> list[PoolSample]:
        """Returns nothing until a gateway has reported: an empty sample would look like no load."""
        usage = await self._fleet.usage()
        traffic = self._traffic.take(self._monotonic())
        pools = self._fleet.pools()
        if traffic is None:
            return []
        at = datetime.fromtimestamp(now.timestamp() // SAMPLE_S * SAMPLE_S, UTC)
        slots = {pool.name: self._fleet.slots(pool.name) for pool in pools}
        samples = samples_of(at, pools, traffic, usage, slots)
        self._samples.extend(samples)
        while self._samples and now - self._samples[0].at > self._window:
            self._samples.popleft()
        for pool, peak in peaks_of(samples).items():
            self._peaks[pool] = max(peak, self._peaks.get(pool, 0.0))
        self._meters.sampled(samples)
        return samples

    async def _predict(self, samples: Sequence[PoolSample]) -> Predicted:
        """Asks the predictor. Without an answer its last one is used, which the decision ignores once it is old."""
        if self._predictor is None or not self._settings.forecast:
            return Predicted()
        try:
            predicted = await asyncio.wait_for(self._predictor.predict(samples), PREDICTOR_S)
        except Exception as error:  # rules decide without it
            log.warning("predictor_failed", exc_info=True)
            trouble = "it does not answer" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
            predicted = Predicted(trouble=trouble[:300])
        if not predicted.forecasts and predicted.trouble:
            return self._predicted.model_copy(update={"trouble": predicted.trouble})
        self._meters.predicted(predicted)
        return predicted

    async def _save_samples(self, samples: Sequence[PoolSample]) -> None:
        """Saves samples, and those of the last minutes that could not be saved."""
        now = self._time()
        self._unsaved = [sample for sample in (*self._unsaved, *samples) if now - sample.at <= self._window]
        try:
            if self._unsaved:
                await self._store.add_samples(self._unsaved)
                self._unsaved = []
            if self._pruned_at is None or now - self._pruned_at >= PRUNE_EVERY:
                await self._store.prune(before=now - timedelta(days=self._settings.keep_days))
                self._pruned_at = now
            if self._peaks_at is None or now - self._peaks_at >= PEAKS_EVERY:
                self._peaks = await self._store.peaks(since=now - PEAKS)
                self._peaks_at = now
        except OssaError as error:
            log.warning("samples_not_saved", extra={"reason": error.message})

    def _with_others_changes(self, sizes: Mapping[str, int]) -> ScalerState:
        """Gives a pool that somebody else resized a cool-down, as after a scaling of our own."""
        others = [pool for pool, size in sizes.items() if self._expected.get(pool, size) != size]
        new = [pool for pool in sizes if self._expected and pool not in self._expected]
        return self._state.changed([*others, *new], self._rules.cooldown_s)

    async def _nodes(self) -> int | None:
        try:
            return await self._fleet.nodes(self._settings.start_up.agents_per_node)
        except (TimeoutError, ConnectionError):
            return None

    async def _carry_out(self, verdict: Verdict, sizes: Mapping[str, int]) -> ScaleDecision:
        decision = verdict.decision
        wanted = {pool.pool: pool.agents for pool in decision.pools}
        self._expected = dict(sizes)
        if self.acts:
            try:
                await self._fleet.resize(wanted, decision.standby, {pool.pool: pool.lent for pool in decision.pools})
                await self._request(decision)
            except (OssaError, TimeoutError, ConnectionError) as error:
                # Nothing, or a part, was changed: the next tick sees it, and the time that passed still counts.
                self._trouble = f"not carried out: {error}"[:300]
                log.warning("scaling_not_carried_out", extra={"reason": self._trouble})
                return decision
            self._expected = wanted
        before, self._decision = self._decision, decision
        self._state, self._trouble = verdict.state, ""
        self._meters.decided(decision)
        for pool in decision.pools:
            if pool.agents != pool.before:
                log.info("scaled" if self.acts else "would_scale", extra=_about(pool.pool, decision))
        await self._keep(decision, before)
        return decision

    async def _request(self, decision: ScaleDecision) -> None:
        """Requests nodes for expected agents past the decided ones, when their number changes.

        Blocks ask for room themselves. Ray keeps a node for a request even if the fleet runs on another one: a request
        for no more than the blocks hold would keep an empty node.
        """
        if not self._settings.request_nodes or decision.nodes_hint is None:
            return
        a_node = self._settings.start_up.agents_per_node
        decided = sum(pool.agents for pool in decision.pools) + decision.standby
        agents = decision.nodes_hint * a_node if decision.nodes_hint > math.ceil(decided / a_node) else 0
        if agents != self._requested:
            await self._fleet.request_nodes(agents)
            self._requested = agents

    async def _keep(self, decision: ScaleDecision, before: ScaleDecision | None) -> None:
        changed = any(pool.agents != pool.before for pool in decision.pools)
        try:
            if changed or before is None or _standbys(before) != _standbys(decision):
                await self._store.add_decision(decision)
            await self._store.save_state(self._state.model_dump_json())
        except OssaError as error:
            log.warning("decision_not_saved", extra={"reason": error.message})

    def _alerted(self) -> list[str]:
        now = self._monotonic()
        self._alerts = {pool: until for pool, until in self._alerts.items() if until > now}
        return list(self._alerts)

    def _predictor_status(self) -> str:
        if self._predictor is None or not self._settings.forecast:
            return "off"
        return " - ".join(filter(None, (self._predicted.model or "none", self._predicted.trouble)))


def _standbys(decision: ScaleDecision) -> tuple[int, dict[str, int]]:
    return decision.standby, {pool.pool: pool.lent for pool in decision.pools}


def _about(pool: str, decision: ScaleDecision) -> dict[str, object]:
    change = next(change for change in decision.pools if change.pool == pool)
    return {
        "pool": pool,
        "before": change.before,
        "agents": change.agents,
        "by": decision.by,
        "reasons": change.reasons,
    }
