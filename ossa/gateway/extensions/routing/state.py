"""What this replica's decisions are made under: policies, the router in use, breakers, pace, who talked with whom."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

from ossa.contracts.agent_spec import Tier
from ossa.contracts.errors import AgentLost, ModelFailed, OssaError, ToolFailed
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.routing import TIERS, ModelKind, RoutingPolicy
from ossa.contracts.task import NewTask, Outcome, Task, TaskStatus
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Run, TaskHook, TaskState
from ossa.observability import AtMost, MetricGroup, counter, gauge
from ossa.routing import (
    Breakers,
    Conditions,
    FleetIndex,
    RequestFeatures,
    Scorer,
    agent_subject,
    conversation_of,
    tier_subject,
)
from ossa.routing.index import RoutingRequest
from ossa.routing.registry import RouterMeter

KINDS: tuple[ModelKind, ...] = get_args(ModelKind)
SOURCES = ("registry", "packaged", "rules")


class RoutingMetrics(MetricGroup, RouterMeter):
    """Counts decisions and the models behind them."""

    decisions = counter("ossa_routing_decisions_total", "Decisions, by what scored", router=("learned", "rules"))
    serving = gauge("ossa_routing_serving", "1 for what serves for a kind of model", kind=KINDS, source=SOURCES)
    aside = gauge("ossa_routing_set_aside", "1 while rules decide in a model's place", kind=KINDS)
    swaps = counter("ossa_routing_swaps_total", "Models swapped in for another one", kind=KINDS)
    refusals = counter("ossa_routing_refused_total", "Promoted models that could not be used", kind=KINDS)
    drift = gauge(
        "ossa_routing_input_drift",
        "Population stability index of inputs",
        unit="index",
        kind=KINDS,
        input=AtMost(100, "inputs of a model"),
    )
    alarm = gauge(
        "ossa_routing_quality_alarm",
        "Evidence that answers are worse than expected; 1: set aside",
        unit="share",
        kind=KINDS,
    )
    failures = counter("ossa_routing_registry_failures_total", "Rounds that did not reach the registry")

    def decided(self, router: str) -> None:
        """`router`: as the decision names it, models by digest; counted as `learned` or `rules`."""
        self.decisions.labels("rules" if router == "rules" else "learned").inc()

    def serves(self, kind: ModelKind, source: str, *, aside: bool) -> None:
        for name in SOURCES:
            self.serving.labels(kind, name).set(name == source)
        self.aside.labels(kind).set(aside)

    def swapped(self, kind: ModelKind) -> None:
        self.swaps.labels(kind).inc()

    def refused(self, kind: ModelKind) -> None:
        self.refusals.labels(kind).inc()

    def drifted(self, kind: ModelKind, drift: Mapping[str, float], alarm: float) -> None:
        for name, index in drift.items():
            self.drift.labels(kind, name).set(index)
        self.alarm.labels(kind).set(alarm)

    def failed(self) -> None:
        self.failures.inc()


EVERYBODY = "*"
PARTNERS_MAX = 20_000
MANIFESTS_MAX = 10_000
TENANTS_MAX = 10_000
SMOOTHING = 0.1
"""Weight of a new value in the moving averages of seconds a turn takes."""

SLOWEST = 0.25
"""No agent's pace counts for less: an average of few turns is a guess."""

_OF_THE_MODEL = frozenset({ModelFailed.code})
_OF_THE_AGENT = frozenset({ToolFailed.code, OssaError.code})


class RoutingState:
    """One a replica, on one event loop.

    Args:
        scorer: asked for each decision, so that a new model is in use at once; None: rules decide.
        policies: by tenant, asked for each decision.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        scorer: Callable[[], Scorer | None] = lambda: None,
        policies: Callable[[], Mapping[str, RoutingPolicy]] = dict,
    ) -> None:
        self._clock = clock
        self._breakers: OrderedDict[str, Breakers] = OrderedDict()
        """One set a tenant: what one tenant's requests break is not taken from the others."""
        self._scorer = scorer
        self._policies = policies
        self._partners: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._seconds: dict[str, float] = {}
        self._seconds_of_manifest: dict[str, float] = {}
        self._pace: dict[str, float] = {}

    def policy(self, tenant: str) -> RoutingPolicy:
        """The tenant's, else everybody's, else the usual one."""
        known = self._policies()
        return known.get(tenant) or known.get(EVERYBODY) or _USUAL

    def conditions(self, conditions: Conditions, tenant: str, features: RequestFeatures) -> Conditions:
        return replace(
            conditions,
            policy=self.policy(tenant),
            scorer=self._scorer(),
            open_breakers=self._breakers[tenant].open() if tenant in self._breakers else frozenset(),
            pace=self._pace,
            partner=self._partners.get((tenant, features.conversation), "") if features.conversation else "",
        )

    def began(self, tenant: str, agent: AgentInfo, tier: Tier | None) -> None:
        if tenant in self._breakers:  # nothing of the others can be half open
            for subject in _subjects(agent, tier):
                self._breakers[tenant].admit(subject)

    def ended(self, task: Task, agent: AgentInfo, tier: Tier | None, outcome: Outcome, seconds: float) -> None:
        """What the next decisions learn from it at once. `tier`: that the turn began with."""
        if outcome.status is not TaskStatus.CANCELLED:
            self._judge(task.tenant, agent, tier, outcome)
        self.gave_up(task.tenant, agent, tier)
        if outcome.status is TaskStatus.SUCCEEDED and outcome.earlier is None:
            self._time(agent, seconds)
            self._remember(task, agent, outcome.message)

    def gave_up(self, tenant: str, agent: AgentInfo, tier: Tier | None) -> None:
        """What `began` has ended. Of what it told nothing about another turn may try."""
        if tenant in self._breakers:
            for subject in _subjects(agent, tier):
                self._breakers[tenant].gave_up(subject)

    def _judge(self, tenant: str, agent: AgentInfo, tier: Tier | None, outcome: Outcome) -> None:
        """Tells the breakers how it went. In a cascade each endpoint answers for itself."""
        code = outcome.error.code if outcome.error is not None else ""
        broken = {tier_subject(one) for one in outcome.failed_tiers}
        if code in _OF_THE_MODEL and not broken and tier is not None:
            broken = {tier_subject(tier)}
        well = {tier_subject(one) for one in TIERS if one == outcome.tier and not code} - broken
        mine = agent_subject(agent.tenant, agent.manifest)
        (broken if code in _OF_THE_AGENT else well).add(mine)
        if not broken and tenant not in self._breakers:
            return
        breakers = self._breakers.setdefault(tenant, Breakers(self._clock))
        self._breakers.move_to_end(tenant)
        if len(self._breakers) > TENANTS_MAX:
            self._breakers.popitem(last=False)
        for subject in broken:
            breakers.ended(subject, failed=True)
        for subject in well:
            breakers.ended(subject, failed=False)

    def forget(self, index: FleetIndex) -> None:
        """Drop the pace of agents that are gone."""
        present = {agent_id for group in index.groups for _, agent_id, *_ in group.ready}
        for agent_id in self._seconds.keys() - present:
            del self._seconds[agent_id]
            self._pace.pop(agent_id, None)
        if len(self._seconds_of_manifest) > MANIFESTS_MAX:
            self._seconds_of_manifest.clear()

    def _time(self, agent: AgentInfo, seconds: float) -> None:
        own = _moved(self._seconds, agent.agent_id, seconds)
        usual = _moved(self._seconds_of_manifest, agent.manifest, seconds)
        if own > usual > 0:
            self._pace[agent.agent_id] = max(SLOWEST, usual / own)
        else:
            self._pace.pop(agent.agent_id, None)

    def _remember(self, task: Task, agent: AgentInfo, message: Mapping[str, Any] | None) -> None:
        conversation = conversation_of([*task.request.messages, message or {}])
        if not conversation:
            return
        key = (task.tenant, conversation)
        self._partners[key] = agent.agent_id
        self._partners.move_to_end(key)
        if len(self._partners) > PARTNERS_MAX:
            self._partners.popitem(last=False)


def _moved(averages: dict[str, float], key: str, value: float) -> float:
    """An exponential moving average, which begins with the first value."""
    averages[key] = found = averages.get(key, value) + SMOOTHING * (value - averages.get(key, value))
    return found


def _subjects(agent: AgentInfo, tier: Tier | None) -> list[str]:
    return [agent_subject(agent.tenant, agent.manifest), *([] if tier is None else [tier_subject(tier)])]


_USUAL = RoutingPolicy()


class RoutingHook(TaskHook):
    """Gives each decision its conditions, and tells the routing state how turns went."""

    def __init__(self, core: GatewayCore, state: RoutingState, metrics: RoutingMetrics) -> None:
        self._clock = core.clock
        self._state = state
        self._metrics = metrics
        self._index: FleetIndex | None = None
        self._trying_since: dict[Run, float] = {}

    def narrow(self, conditions: Conditions, request: RoutingRequest, index: FleetIndex) -> Conditions:
        if index is not self._index:
            self._index = index
            self._state.forget(index)
        return self._state.conditions(conditions, request.tenant, request.features)

    def moved(
        self, state: TaskState, task: NewTask | Task, run: Run | None = None, error: OssaError | None = None
    ) -> None:
        if run is None:
            return
        if state == "scheduled" and run.route is not None:
            self._metrics.decided(run.route.router)
        elif state == "busy":
            self._gave_up(run)

    def started(self, run: Run) -> None:
        if run.agent is not None:
            self._trying_since[run] = self._clock()
            self._state.began(run.task.tenant, run.agent, run.tier)

    def agent_lost(self, run: Run, error: AgentLost) -> None:
        self._gave_up(run)

    def ended(self, run: Run, outcome: Outcome) -> None:
        since = self._trying_since.pop(run, None)
        if since is not None and run.agent is not None:
            self._state.ended(run.task, run.agent, run.tier, outcome, self._clock() - since)

    def closed(self, run: Run) -> None:
        self._gave_up(run)

    def _gave_up(self, run: Run) -> None:
        if self._trying_since.pop(run, None) is not None and run.agent is not None:
            self._state.gave_up(run.task.tenant, run.agent, run.tier)
