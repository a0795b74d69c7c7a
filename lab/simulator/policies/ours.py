"""`ossa.scaling.decision`, fed by a forecaster: what runs in production."""

from __future__ import annotations

from collections.abc import Sequence

from lab.simulator.forecaster import Forecaster
from lab.simulator.policies.policy import Plan, Seen
from lab.simulator.pool import Machine
from lab.simulator.trace import MINUTE_S, Trace
from ossa.contracts.scaling import SAMPLE_S, Forecast, ScaleDecision, ScaleRules
from ossa.scaling.decision import ScalerInput, ScalerState, decide

STEPS = round(MINUTE_S / SAMPLE_S)
PEAK_STEPS = round(8 * 86_400 / SAMPLE_S)
"""Peaks are taken over this much of the past, as in a fleet."""


class Ours:
    """A new forecast each minute, a decision each sample. Without a forecaster: the rules alone.

    `last`: the decision that the last plan came of, to be looked at.
    """

    ceiling_on_miss = 0

    def __init__(self, rules: ScaleRules, machine: Machine, forecaster: Forecaster | None, trace: Trace) -> None:
        self._rules = rules
        self._machine = machine
        self._forecaster = forecaster
        self._forecasts: Sequence[Forecast] = ()
        self._state = ScalerState()
        self._borrowed = 0
        self._peak = float(trace.past[-PEAK_STEPS:].max(initial=0.0))
        self.last: ScaleDecision | None = None
        if forecaster is not None:
            for need in trace.past_by_minute()[-forecaster.warm_up :].max(axis=1).tolist():
                forecaster.observe(need)

    def plan(self, seen: Seen) -> Plan:
        last = seen.samples[-1]
        if self._forecaster is not None and seen.second % MINUTE_S == 0:
            minute = [seen.samples[at] for at in range(-min(STEPS, len(seen.samples)), 0)]
            self._forecaster.observe(max(one.running + one.queued for one in minute))
            self._forecasts = self._forecaster.forecast(last.pool, seen.at)
        self._peak = max(self._peak, last.running + last.queued)
        given = ScalerInput(
            now=seen.at,
            sizes={last.pool: seen.agents - self._borrowed},
            samples=tuple(seen.samples),
            forecasts=self._forecasts,
            standby=seen.standby + self._borrowed,
            nodes=seen.nodes,
            peaks={last.pool: self._peak},
        )
        verdict = decide(given, self._state, self._rules, self._machine.start_up)
        self._state = verdict.state
        self.last = decision = verdict.decision
        pool = decision.pools[0]
        self._borrowed = pool.lent
        return Plan(pool.agents + pool.lent, decision.standby - pool.lent, pool.lent, decision.nodes_hint or 0)
