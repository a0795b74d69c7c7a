"""The seam through which a system takes part in tasks. The core knows hooks, and no system by name.

A system brings an `Extension`; the hooks in it see every task of a gateway replica:

    admit                 the request is known, nothing is written yet
    narrow                an agent is about to be chosen; asked at each decision
    answer                an agent is chosen; answers the task in the agent's place
    turn_fields           adds to what the agent is told
    started               the agent begins the turn
    call                  the agent asks its owner something
    committed             steps are in the journal
    agent_lost            the agent is gone; another one takes over
    ended                 the outcome is in the journal
    closed                this replica has let go of the task, whatever became of it
    moved                 every other change of a task's state here (`TaskState`)

Hooks run in the order of their extensions, in the process and on the event loop of the replica that owns the task.
After a crash another replica owns it: what has to survive belongs into a store.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from fastapi import APIRouter
from fastapi.routing import APIRoute
from prometheus_client import Counter
from pydantic import BaseModel

from ossa.contracts.access import Principal
from ossa.contracts.agent_spec import Tier
from ossa.contracts.errors import AgentLost, NotReady, OssaError
from ossa.contracts.fleet import AgentInfo
from ossa.contracts.routing import Route
from ossa.contracts.task import NewTask, Outcome, Step, Task
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.events.consumer import Consumer, Handle
from ossa.routing import Conditions, FleetIndex
from ossa.routing.index import RoutingRequest


class Check(BaseModel):
    """The result of one check; `detail` is a short text for people."""

    ok: bool
    detail: str = ""


HealthCheck = Callable[[], Awaitable[Check]]
"""Returns within two seconds, and does not raise."""


logger = logging.getLogger(__name__)

TURN_FIELDS = frozenset({"used_today", "budgeted"})
"""Fields of a `Turn` that hooks may set; the others are the core's."""

TaskState = Literal["asked", "dropped", "queued", "claimed", "opened", "waiting", "scheduled", "busy", "left"]
"""A task as one replica sees it.

asked      a synchronous request waits for its first agent; nothing is written yet
dropped    a synchronous request that does not run here: no agent in time (with the error), the client hung up, ...
queued     accepted, and left for any replica to claim
claimed    taken from the journal's queue
opened     owned and run here from now on
waiting    waits for an agent
scheduled  has a slot at an agent
busy       the agent turned it away
left       the slot is given back
"""


class Run(Protocol):
    """An owned task, as hooks see it. Equal only to itself, so it can be the key of what a hook keeps of it."""

    task: Task
    agent: AgentInfo | None
    """The agent of the turn in progress, or of the last one."""
    route: Route | None
    """The routing decision for that agent."""
    tier: Tier | None
    """The model tier of the decision; None: the agent's own."""
    tier_name: str
    """The tier, or the tiers of a cascade joined by `+`; empty: the agent's own."""
    over_soft: dict[str, float]
    """Budgets above their soft limit, as shares of the hard one. Hooks write it, the client is told of it."""

    @property
    def steps(self) -> Sequence[Step]:
        """The steps in the journal."""

    def left_s(self) -> float:
        """Seconds that the task has left. They are counted from its first turn."""


class TaskHook:
    """Base class. Override what you need: a method that is not overridden is never called.

    An `OssaError` from `admit`, `narrow`, `turn_fields` or `call` refuses the request, or ends the task with that
    error; any other exception of theirs ends it as an internal failure, so a broken rule never lets work through.
    An exception from `answer` is logged and counted, and the agent is asked. Methods that return None must not block;
    their exceptions are logged and counted, and change nothing.
    """

    async def admit(self, task: NewTask, caller: Principal | None) -> None:
        """Runs before anything is written. Raise an `OssaError` to refuse the request.

        `caller` is the key's holder; None for work that comes without a key.
        """

    def narrow(self, conditions: Conditions, request: RoutingRequest, index: FleetIndex) -> Conditions:
        """Returns the conditions of a routing decision, usually with less allowed. Must not block or do I/O."""
        return conditions

    async def answer(self, run: Run) -> Outcome | None:
        """Answers in the place of `run.agent`. Asked once, before the first turn; None leaves it to the agent."""

    async def turn_fields(self, run: Run) -> Mapping[str, Any]:
        """Returns fields of `ossa.contracts.task.Turn` to set for the turn that begins: some of `TURN_FIELDS`."""
        return {}

    async def call(self, call: TurnCall, run: Run) -> TurnCallResult | None:
        """Answers a question of the agent's; None leaves it to the next hook. Runs once a call."""

    def moved(
        self, state: TaskState, task: NewTask | Task, run: Run | None = None, error: OssaError | None = None
    ) -> None:
        """The task's state changed. `run` is given once there is one (`opened` and later)."""

    def started(self, run: Run) -> None:
        """`run.agent` begins a turn."""

    def committed(self, run: Run, steps: Sequence[Step]) -> None:
        """These steps are in the journal; also those an earlier owner wrote, when a run resumes."""

    def agent_lost(self, run: Run, error: AgentLost) -> None:
        """`run.agent` is gone in the middle of its turn."""

    def ended(self, run: Run, outcome: Outcome) -> None:
        """The outcome is in the journal."""

    def closed(self, run: Run) -> None:
        """The last call for this run: it ended, was put back, or belongs to another replica now."""


@dataclass(frozen=True)
class Extension:
    """A system's part in a gateway replica.

    Attributes:
        name: unique; a package name is a good one.
        hooks: see `TaskHook`.
        routers: HTTP routes. They find this extension's `service` by
            `ossa.gateway.context.GatewayContext.service`.
        service: what the routes work with.
        schemas: pydantic models that the routes' descriptions name, for the OpenAPI document.
        loops: run for ever in each replica, by name; one that raises is logged, counted and started again.
        consumers: handlers of facts by consumer group; each fact reaches each group at least once, in one replica.
        health: checks that `/health` reports; a failing one makes the replica not ready.
        scrape: called before the replica's metrics are read, to set gauges. Metrics live on `core.metrics.registry`.
        start: awaited once the stores are open, before the first request; gets the index of the fleet.
        close: awaited at the end with the seconds it may take, after the last task and before the stores close.
    """

    name: str
    hooks: Sequence[TaskHook] = ()
    routers: Sequence[APIRouter] = ()
    service: Any = None
    schemas: Sequence[type[BaseModel]] = ()
    loops: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    consumers: Mapping[str, Handle | Consumer] = field(default_factory=dict)
    health: Mapping[str, HealthCheck] = field(default_factory=dict)
    scrape: Callable[[], None] | None = None
    start: Callable[[], Awaitable[None]] | None = None
    close: Callable[[float], Awaitable[None]] | None = None


class Hooks:
    """All hooks of a replica, called as one. Methods are those of `TaskHook`.

    Args:
        failures: counts what went wrong, by the method's name.
    """

    def __init__(self, hooks: Sequence[TaskHook], failures: Counter | None = None) -> None:
        self._failures = failures
        self._admit = _overriding(hooks, "admit")
        self._narrow = _overriding(hooks, "narrow")
        self._answer = _overriding(hooks, "answer")
        self._turn_fields = _overriding(hooks, "turn_fields")
        self._call = _overriding(hooks, "call")
        self._moved = _overriding(hooks, "moved")
        self._started = _overriding(hooks, "started")
        self._committed = _overriding(hooks, "committed")
        self._agent_lost = _overriding(hooks, "agent_lost")
        self._ended = _overriding(hooks, "ended")
        self._closed = _overriding(hooks, "closed")

    async def admit(self, task: NewTask, caller: Principal | None) -> None:
        for admit in self._admit:
            await admit(task, caller)

    def narrow(self, conditions: Conditions, request: RoutingRequest, index: FleetIndex) -> Conditions:
        for narrow in self._narrow:
            conditions = narrow(conditions, request, index)
        return conditions

    async def answer(self, run: Run) -> Outcome | None:
        for answer in self._answer:
            try:
                outcome: Outcome | None = await answer(run)
            except Exception:  # noqa: BLE001 - the hook's boundary: logged and counted
                self._failed("answer")
                continue
            if outcome is not None:
                return outcome
        return None

    async def turn_fields(self, run: Run) -> dict[str, Any]:
        """Raises `TypeError` for a field that a turn does not have or that is the core's."""
        fields: dict[str, Any] = {}
        for turn_fields in self._turn_fields:
            more = await turn_fields(run)
            if unknown := more.keys() - TURN_FIELDS:
                raise TypeError(
                    f"{turn_fields.__qualname__} sets {sorted(unknown)}; a hook may set {sorted(TURN_FIELDS)}."
                )
            fields.update(more)
        return fields

    async def call(self, call: TurnCall, run: Run) -> TurnCallResult:
        """Raises `NotReady` when no hook answers."""
        for answer in self._call:
            result: TurnCallResult | None = await answer(call, run)
            if result is not None:
                return result
        raise NotReady("This gateway does not answer that question of a turn.")

    def moved(
        self, state: TaskState, task: NewTask | Task, run: Run | None = None, error: OssaError | None = None
    ) -> None:
        self._tell("moved", self._moved, state, task, run, error)

    def started(self, run: Run) -> None:
        self._tell("started", self._started, run)

    def committed(self, run: Run, steps: Sequence[Step]) -> None:
        self._tell("committed", self._committed, run, steps)

    def agent_lost(self, run: Run, error: AgentLost) -> None:
        self._tell("agent_lost", self._agent_lost, run, error)

    def ended(self, run: Run, outcome: Outcome) -> None:
        self._tell("ended", self._ended, run, outcome)

    def closed(self, run: Run) -> None:
        self._tell("closed", self._closed, run)

    def _tell(self, name: str, methods: tuple[Callable[..., Any], ...], *arguments: Any) -> None:
        for method in methods:
            try:
                method(*arguments)
            except Exception:  # noqa: BLE001 - the hook's boundary: logged and counted
                self._failed(name)

    def _failed(self, name: str) -> None:
        logger.exception("hook_failed", extra={"hook": name})
        if self._failures is not None:
            self._failures.labels(f"hook-{name}").inc()


def _overriding(hooks: Sequence[TaskHook], name: str) -> tuple[Callable[..., Any], ...]:
    """The bound methods of the hooks that override the method of this name."""
    return tuple(getattr(hook, name) for hook in hooks if getattr(type(hook), name) is not getattr(TaskHook, name))


CORE_LOOPS = frozenset({"lease", "claim", "cancel"})
CORE_CHECKS = frozenset({"journal", "fleet", "lease"})
METHODS = {name: method for name, method in vars(TaskHook).items() if not name.startswith("_")}


def check_extensions(extensions: Sequence[Extension], core_routers: Iterable[APIRouter] = ()) -> None:
    """Raises `TypeError` for what is no extension or no hook, `ValueError` for a name or route that is taken."""
    for extension in extensions:
        if not isinstance(extension, Extension):
            raise TypeError(f"{extension!r} is no Extension: its function has to return one.")
        for hook in extension.hooks:
            _check_hook(extension.name, hook)
    _unique("extensions", [extension.name for extension in extensions])
    _unique("loops", [*CORE_LOOPS, *(name for extension in extensions for name in extension.loops)])
    _unique("consumer groups", [group for extension in extensions for group in extension.consumers])
    _unique("health checks", [*CORE_CHECKS, *(name for extension in extensions for name in extension.health)])
    routers = [*core_routers, *(router for extension in extensions for router in extension.routers)]
    _unique("routes", [route for router in routers for route in _routes(router)])


def _check_hook(extension: str, hook: object) -> None:
    kind = type(hook)
    if not isinstance(hook, TaskHook):
        raise TypeError(f"The hook {kind.__name__} of the extension {extension!r} does not derive from TaskHook.")
    for name, method in METHODS.items():
        expected, actual = (inspect.iscoroutinefunction(function) for function in (method, getattr(kind, name)))
        if expected != actual:
            raise TypeError(
                f"{kind.__name__}.{name} of the extension {extension!r} must be "
                f"{'a coroutine (async def)' if expected else 'a plain function (def)'}."
            )


def _routes(router: APIRouter) -> list[str]:
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    return [f"{method} {route.path}" for route in routes for method in sorted(route.methods or ())]


def _unique(what: str, names: Iterable[str]) -> None:
    seen = list(names)
    taken = sorted({name for name in seen if seen.count(name) > 1})
    if taken:
        raise ValueError(f"Two {what} have one name: {', '.join(taken)}. Rename the extension's.")
