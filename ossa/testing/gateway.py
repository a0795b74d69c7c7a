"""A fleet without Ray and agents without processes, for tests and for trying the gateway out.

fleet = FakeFleet.of({"intelligence": 2})
link = FakeLink(answer="Hello")
link.die_at_step("intelligence-000", 1)
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ossa.contracts.errors import AgentLost, Conflict, FleetBusy, InvalidRequest, NotFound, NotReady
from ossa.contracts.fleet import (
    POOLS,
    AgentInfo,
    AgentState,
    DesiredAgent,
    FleetSnapshot,
    Operation,
    OperationKind,
    PoolInfo,
)
from ossa.contracts.origin import current_origin
from ossa.contracts.scaling import PoolStatus, ScaleRules, ScalingStatus, TrafficReport
from ossa.contracts.stores import FleetStore
from ossa.contracts.task import ErrorInfo, Outcome, Step, TaskStatus, Turn, Usage
from ossa.contracts.turn import OnDelta, OnSteps, OnTurnCall, TurnResult

REQUIRED: dict[OperationKind, tuple[str, ...]] = {
    "deploy-phase": ("phase", "target_agents"),
    "spawn-pool": ("pool_type", "agent_count"),
    "scale-to-phase4": ("target", "kubernetes_nodes"),
    "apply": ("manifest", "pool"),
    "drain": ("agent_id",),
}


def fake_agent(agent_id: str, **fields: Any) -> AgentInfo:
    """A ready agent; its pool is the id's part before the last dash."""
    pool = agent_id.rpartition("-")[0] or "foundation"
    known: dict[str, Any] = {
        "agent_id": agent_id,
        "incarnation": f"{agent_id}-{secrets.token_hex(4)}",
        "pool": pool,
        "manifest": f"{pool}-agent",
        "version": "1.0.0",
        "digest": f"digest-{pool}",
        "capabilities": (pool,),
        "description": f"Answers for {pool}.",
        "state": AgentState.READY,
        "address": "127.0.0.1:1",
    }
    return AgentInfo(**{**known, **fields})


async def eventually(condition: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """The first true value of a condition, plain or awaitable. Raises `TimeoutError`."""
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.002)


class FakeFleet:
    """A `FleetPort` that does at once whatever it is told."""

    def __init__(self, agents: Sequence[AgentInfo] = (), *, store: FleetStore | None = None) -> None:
        self.store = store
        self.lost: list[tuple[str, str]] = []
        self.submitted: list[tuple[str, dict[str, Any]]] = []
        self.reports: list[TrafficReport] = []
        self.alerts: dict[str, float] = {}
        """Pool -> seconds, as they were said."""
        self.decides: ScalingStatus | None = None
        """What `scaling` says; None: that the scaler is off."""
        self._deaf: Exception | None = None
        self._operation_error: ErrorInfo | None = None
        self._ready = True
        self._version = 0
        self._snapshot = FleetSnapshot(version=0, epoch="fake")
        self.set_agents(agents)

    @classmethod
    def of(cls, sizes: Mapping[str, int], *, store: FleetStore | None = None, **fields: Any) -> FakeFleet:
        agents = [fake_agent(f"{pool}-{i:03d}", **fields) for pool, size in sizes.items() for i in range(size)]
        return cls(agents, store=store)

    # Test verbs

    def set_agents(self, agents: Sequence[AgentInfo]) -> None:
        self._version += 1
        by_pool = Counter(agent.pool for agent in agents)
        pools = tuple(
            PoolInfo(name=name, desired=count, ready=count, manifests=(f"{name}-agent",))
            for name, count in by_pool.items()
        )
        self._snapshot = FleetSnapshot(
            version=self._version, epoch="fake", pools=pools, agents=tuple(agents), channel_token="fake"
        )

    def add(self, agent: AgentInfo) -> None:
        self.set_agents([*self._snapshot.agents, agent])

    def replace(self, agent_id: str) -> None:
        """The agent's process died and a new one took its place."""
        self.set_agents(
            [
                fake_agent(agent_id, pool=agent.pool, manifest=agent.manifest) if agent.agent_id == agent_id else agent
                for agent in self._snapshot.agents
            ]
        )

    def remove(self, agent_id: str) -> None:
        self.set_agents([agent for agent in self._snapshot.agents if agent.agent_id != agent_id])

    def hide(self) -> None:
        """Before the first snapshot."""
        self._ready = False

    def show(self) -> None:
        self._ready = True

    def deafen(self, error: Exception | None) -> None:
        """Reports of traffic fail so."""
        self._deaf = error

    def fail_operations(self, reason: str | None) -> None:
        """Operations end so; None: they succeed again."""
        self._operation_error = None if reason is None else ErrorInfo(code="internal", message=reason)

    # FleetPort

    def snapshot(self) -> FleetSnapshot:
        if not self._ready:
            raise NotReady("The fleet is starting.", retry_after_s=1.0)
        return self._snapshot

    async def submit(self, kind: OperationKind, request: dict[str, Any], *, tenant: str) -> Operation:
        for name in REQUIRED[kind]:
            if name not in request:
                raise InvalidRequest(f"{name} is missing.", param=name)
        self.submitted.append((kind, request))
        now, origin = datetime.now(UTC), current_origin()
        operation = Operation(
            id=f"op_{secrets.token_hex(16)}",
            tenant=tenant,
            kind=kind,
            status="failed" if self._operation_error else "succeeded",
            request=request,
            progress={"ready": {}, "wanted": {}},
            error=self._operation_error,
            created_at=now,
            updated_at=now,
            request_id=origin.request_id,
            traceparent=origin.traceparent,
            actor=origin.actor,
        )
        if self.store is not None:
            await self.store.save_operation(operation)
        return operation

    async def spawn_agent(self, agent: DesiredAgent) -> None:
        if self.store is not None:
            await self.store.save_agent(agent)
        self.add(fake_agent(agent.agent_id, pool=agent.pool, tenant=agent.tenant, manifest=agent.spec.name))

    async def remove_agent(self, agent_id: str, *, tenant: str) -> None:
        found = next((agent for agent in self._snapshot.agents if agent.agent_id == agent_id), None)
        if found is None or found.tenant not in (None, tenant):
            raise NotFound(f"There is no agent {agent_id}.")
        if found.tenant is None:
            raise Conflict(f"{agent_id} belongs to a pool; scale the pool instead.")
        if self.store is not None:
            await self.store.remove_agent(agent_id)
        self.remove(agent_id)

    async def report_lost(self, agent_id: str, incarnation: str, reason: str) -> None:
        self.lost.append((agent_id, incarnation))

    async def report_traffic(self, report: TrafficReport) -> None:
        if self._deaf is not None:
            raise self._deaf
        self.reports.append(report)

    async def scaling(self) -> ScalingStatus:
        alerts = tuple(sorted(self.alerts))
        if self.decides is not None:
            return self.decides.model_copy(update={"alerts": alerts})
        pools = (PoolStatus(pool=pool.name, size=pool.desired, ready=pool.ready) for pool in self._snapshot.pools)
        return ScalingStatus(mode="off", rules=ScaleRules(), pools=tuple(pools), alerts=alerts, trouble="It is off.")

    async def alert(self, pools: Sequence[str], *, for_s: float) -> None:
        for pool in pools:
            if pool not in ("*", *POOLS, *(known.name for known in self._snapshot.pools)):
                raise InvalidRequest(f"There is no pool {pool!r}.", param="pools")
            if for_s > 0:
                self.alerts[pool] = for_s
            else:
                self.alerts.pop(pool, None)


class FakeLink:
    """An `AgentLink` whose agents answer from memory.

    A turn is `steps` model-and-tool rounds, each committed, then the answer.
    Effects are counted by idempotency key in `effects`.
    """

    def __init__(self, answer: str = "Hello from a fake agent.", *, steps: int = 0) -> None:
        self.answer = answer
        self.steps = steps
        self.turns: list[tuple[str, Turn]] = []
        self.effects: Counter[str] = Counter()
        self.cancelled: list[str] = []
        self.running = 0
        self._deaths: dict[str, int] = {}
        self._busy: set[str] = set()
        self._gate: asyncio.Event | None = None
        self._delay_s = 0.0
        self._outcome: Outcome | None = None
        self._answers: dict[str, str] = {}
        self._next_answers: deque[str] = deque()
        self._breaks: Exception | None = None

    # Test verbs

    def die_at_step(self, agent_id: str, step: int) -> None:
        """The next turn there is lost before its step of that number (0: before anything)."""
        self._deaths[agent_id] = step

    def busy(self, agent_id: str) -> None:
        """This agent has no free slot, whatever the owner thinks."""
        self._busy.add(agent_id)

    def free(self, agent_id: str) -> None:
        self._busy.discard(agent_id)

    def hold(self) -> None:
        """No turn ends before `let_go`."""
        self._gate = asyncio.Event()

    def let_go(self) -> None:
        if self._gate is not None:
            self._gate.set()
            self._gate = None

    def slow(self, seconds: float) -> None:
        """Each turn takes so long."""
        self._delay_s = seconds

    def say(self, agent_id: str, answer: str) -> None:
        """This agent answers something else."""
        self._answers[agent_id] = answer

    def say_next(self, *answers: str) -> None:
        """The next turns answer so, wherever they run."""
        self._next_answers.extend(answers)

    def end_with(self, outcome: Outcome | None) -> None:
        """Turns end so, instead of with the answer."""
        self._outcome = outcome

    def break_with(self, error: Exception | None) -> None:
        """The link itself fails."""
        self._breaks = error

    # AgentLink

    async def run(
        self, agent: AgentInfo, turn: Turn, *, on_delta: OnDelta, on_steps: OnSteps, on_call: OnTurnCall | None = None
    ) -> TurnResult:
        if self._breaks is not None:
            raise self._breaks
        if agent.agent_id in self._busy:
            raise FleetBusy(f"agent {agent.agent_id} is full", retry_after_s=1.0)
        self.turns.append((agent.agent_id, turn))
        self.running += 1
        try:
            return await self._run(agent, turn, on_delta, on_steps)
        except asyncio.CancelledError:
            self.cancelled.append(turn.task_id)
            raise
        finally:
            self.running -= 1

    async def close(self) -> None:
        return

    async def _run(self, agent: AgentInfo, turn: Turn, on_delta: OnDelta, on_steps: OnSteps) -> TurnResult:
        usual = self._answers.get(agent.agent_id, self.answer)
        answer = self._next_answers.popleft() if self._next_answers else usual
        done = [step for step in turn.steps if step.kind == "model"]
        seq = len(turn.steps)
        for number in range(len(done), self.steps):
            self._maybe_die(agent, number)
            await on_steps(_round(turn, agent, seq, number))
            self.effects[f"{turn.task_id}:{number}"] += 1
            seq += 2
        self._maybe_die(agent, self.steps)
        if turn.stream:
            for word in _pieces(answer):
                await on_delta(word)
                self._maybe_die(agent, self.steps + 1)
        gate = self._gate
        if gate is not None:
            await gate.wait()
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if self._outcome is not None:
            return TurnResult(outcome=self._outcome)
        return _ended(turn, agent, seq, answer)

    def _maybe_die(self, agent: AgentInfo, step: int) -> None:
        if self._deaths.get(agent.agent_id) == step:
            del self._deaths[agent.agent_id]
            raise AgentLost(f"the connection to agent {agent.agent_id} broke")


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if i == 0 else f" {word}" for i, word in enumerate(words)]


def _round(turn: Turn, agent: AgentInfo, seq: int, number: int) -> list[Step]:
    now = datetime.now(UTC)
    call = {"id": f"call_{number}", "type": "function", "function": {"name": "count", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    model = Step(
        seq=seq,
        kind="model",
        agent_id=agent.agent_id,
        payload={"message": message, "finish_reason": "tool_calls", "model": "fake-model"},
        usage=Usage(prompt_tokens=5, completion_tokens=2, cost_usd=0.0001, model_calls=1),
        at=now,
    )
    key = f"{turn.task_id}:{call['id']}"
    intent = {"call_id": call["id"], "name": "count", "arguments": "{}", "idempotency_key": key}
    return [model, Step(seq=seq + 1, kind="tool_call", agent_id=agent.agent_id, payload=intent, at=now)]


def _ended(turn: Turn, agent: AgentInfo, seq: int, answer: str) -> TurnResult:
    usage = Usage(prompt_tokens=7, completion_tokens=len(answer.split()), cost_usd=0.0002, model_calls=1)
    message = {"role": "assistant", "content": answer}
    last = Step(
        seq=seq,
        kind="model",
        agent_id=agent.agent_id,
        payload={"message": message, "finish_reason": "stop", "model": "fake-model"},
        usage=usage,
        at=datetime.now(UTC),
    )
    total = usage
    for step in turn.steps:
        total = total.plus(step.usage)
    outcome = Outcome(
        status=TaskStatus.SUCCEEDED,
        message=message,
        finish_reason="stop",
        usage=total,
        agent_id=agent.agent_id,
        pool=agent.pool,
        model="fake-model",
        tier=agent.tier,
    )
    return TurnResult(outcome=outcome, steps=(last,))
