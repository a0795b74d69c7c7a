"""Every ten seconds: sample, forecast, decide, act. Knows no Ray; `ossa.scaling.decision` decides."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
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
from ossa.fleet.autoscaling.usage import PoolUsage
from ossa.fleet.meters import FleetMeters
from ossa.scaling.decision import ScalerInput, ScalerState, Verdict, decide
from ossa.scaling.traffic_book import Traffic, TrafficBook

log = logging.getLogger(__name__)


def rules_of(scaling: ScalingSettings, fleet: FleetSettings) -> ScaleRules:
    """As the settings say, with the fleet's own blocks and standbys."""
    return scaling.rules.model_copy(update={"block_agents": fleet.block_agents, "standby": fleet.standby})


def samples_of(
    at: datetime,
    pools: Sequence[PoolInfo],
    traffic: Mapping[str, Traffic],
    usage: Mapping[str, PoolUsage],
    slots: Mapping[str, float],
) -> list[PoolSample]:
    """Of every pool, also one that nobody asked for anything. `slots`: turns at once an agent."""
    made = []
    for pool in pools:
        seen, used = traffic.get(pool.name, Traffic()), usage.get(pool.name, PoolUsage())
        made.append(
            PoolSample(
                pool=pool.name,
                at=at,
                arrivals=seen.arrivals,
                running=seen.running,
                queued=seen.queued,
                queue_wait_s=seen.queue_wait_s,
                latency_p99_s=seen.latency_p99_s,
                error_rate=seen.error_rate,
                cpu=used.cpu,
                memory=used.memory,
                agents=pool.ready,
                starting=pool.starting,
                slots_per_agent=slots[pool.name],
            )
        )
    return made


PREDICTOR_S = 3.0
"""A predictor that takes longer is done without at this look."""

PRUNE_EVERY = timedelta(hours=1)

PEAKS = timedelta(days=8)
"""A forecast is measured by the most that a pool needed in so long: last week's same day is in it."""

PEAKS_EVERY = timedelta(minutes=5)
"""Samples also come from elsewhere: a trace that was loaded, another controller."""


class ScaledFleet(Protocol):
    """The fleet as the scaler changes it."""

    def pools(self) -> Sequence[PoolInfo]:
        """Those that have agents to start; one of size 0 was switched off by somebody and stays so."""

    def slots(self, pool: str) -> float:
        """Turns at once an agent, mean."""

    @property
    def standby(self) -> int: ...

    async def usage(self) -> Mapping[str, PoolUsage]: ...

    async def nodes(self, agents_per_node: int) -> int:
        """As many nodes as what is up amounts to."""

    async def resize(self, sizes: Mapping[str, int], standby: int, borrowed: Mapping[str, int]) -> None:
        """Make it so, durably; `borrowed` are standbys that work for a pool. Raises `StoreUnavailable`."""

    async def request_nodes(self, agents: int) -> None:
        """Tell whoever adds nodes that there shall be room for so many agents."""


class Scaler:
    """One a fleet. `open`, then `run`; a test calls `tick` itself.

    Args:
        rules: of this fleet; those of `settings` with its own blocks.
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
        self._trouble = "it has not looked yet"

    @property
    def acts(self) -> bool:
        return self._settings.mode == "on"

    @property
    def borrowed_standbys(self) -> dict[str, int]:
        """Standbys that work for a pool since the last look, also when that was before a restart."""
        return {
            name: pool.borrowed_standbys
            for name, pool in self._state.pools.items()
            if pool.borrowed_standbys and self.acts
        }

    async def open(self) -> None:
        """What it knew before it died: how long cool-downs last, and the last minutes. Raises `StoreUnavailable`."""
        kept = await self._store.state()
        if kept is not None:
            try:
                self._state = ScalerState.model_validate_json(kept)
            except ValidationError:
                log.warning("scaler_state_not_read")
        since = self._time() - self._window
        self._samples.extend(await self._store.samples(since=since))
        self._peaks_at = self._time()
        self._peaks = await self._store.peaks(since=self._peaks_at - PEAKS)

    async def run(self) -> None:
        """Tick until cancelled, at whole multiples of `SAMPLE_S` seconds."""
        while True:
            await asyncio.sleep(SAMPLE_S - self._now() % SAMPLE_S)
            try:
                await self.tick()
            except Exception as error:  # a look's boundary: what is desired stays as it is until the next one
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
        """One round; None while nothing is deployed."""
        now = self._time()
        samples = await self._sample(now)
        self._predicted = await self._predict(samples)
        await self._save_samples(samples)
        sizes = {pool.name: pool.desired for pool in self._fleet.pools() if pool.desired > 0}
        self._ticked_at = now
        if not sizes:
            self._trouble = "nothing is deployed yet"
            return None
        state = self._noticed(sizes)
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
            predictor=self._says_of_predictor(),
            alerts=tuple(sorted(self._alerted())),
            trouble=self._trouble,
        )

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    def _sampled_at(self) -> datetime | None:
        return self._samples[-1].at if self._samples else None

    async def _sample(self, now: datetime) -> list[PoolSample]:
        """None where no gateway has reported: a sample of nothing would look like no load."""
        usage = await self._fleet.usage()
        traffic = self._traffic.take(self._monotonic())
        pools = self._fleet.pools()
        if traffic is None:
            return []
        at = datetime.fromtimestamp(now.timestamp() // SAMPLE_S * SAMPLE_S, UTC)
        slots = {pool.name: self._fleet.slots(pool.name) for pool in pools}
        made = samples_of(at, pools, traffic, usage, slots)
        self._samples.extend(made)
        while self._samples and now - self._samples[0].at > self._window:
            self._samples.popleft()
        for pool, peak in peaks_of(made).items():
            self._peaks[pool] = max(peak, self._peaks.get(pool, 0.0))
        self._meters.sampled(made)
        return made

    async def _predict(self, samples: Sequence[PoolSample]) -> Predicted:
        """What it says; without an answer what it said last, which the decision leaves aside once it is old."""
        if self._predictor is None or not self._settings.forecast:
            return Predicted()
        try:
            predicted = await asyncio.wait_for(self._predictor.predict(samples), PREDICTOR_S)
        except Exception as error:  # whatever it is, rules decide without it
            log.warning("predictor_failed", exc_info=True)
            said = "it does not answer" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
            predicted = Predicted(trouble=said[:300])
        if not predicted.forecasts and predicted.trouble:
            return self._predicted.model_copy(update={"trouble": predicted.trouble})
        self._meters.predicted(predicted)
        return predicted

    async def _save_samples(self, samples: Sequence[PoolSample]) -> None:
        """Those of the last minutes, where the store was away."""
        now = self._time()
        self._unsaved = [one for one in (*self._unsaved, *samples) if now - one.at <= self._window]
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

    def _noticed(self, sizes: Mapping[str, int]) -> ScalerState:
        """A pool that somebody else resized is left alone for a cool-down, as after a scaling of ours."""
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
                # Nothing, or a part, was changed: the next look sees what, and the time that passed still counts.
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
        """Nodes for what is expected past what is decided; asked again only when it changes.

        Blocks ask for room themselves. Ray keeps a node for a request whether the fleet works there or on another one:
        a request for no more than the blocks hold would keep an empty node beside the one that is used.
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

    def _says_of_predictor(self) -> str:
        if self._predictor is None or not self._settings.forecast:
            return "off"
        said = self._predicted
        return " - ".join(filter(None, (said.model or "none", said.trouble)))


def _standbys(decision: ScaleDecision) -> tuple[int, dict[str, int]]:
    return decision.standby, {pool.pool: pool.lent for pool in decision.pools}


def _about(pool: str, decision: ScaleDecision) -> dict[str, object]:
    one = next(one for one in decision.pools if one.pool == pool)
    return {"pool": pool, "before": one.before, "agents": one.agents, "by": decision.by, "reasons": one.reasons}
