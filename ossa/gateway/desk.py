"""Where turns are given an agent: routing, the seats in use, and the queue of those who wait for one."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ossa.contracts.errors import FleetBusy, NotReady, OssaError
from ossa.contracts.fleet import POOL_ALIASES, AgentInfo, AgentState, FleetPort, FleetSnapshot
from ossa.contracts.task import Target
from ossa.gateway.routes import Routes
from ossa.routing import Decision, FleetIndex, RequestFeatures, route

LOOK_AGAIN_S = 0.1
"""How often one who waits looks at the fleet again, besides when a seat is given back."""

SUSPECT_S = 5.0
"""How long a lost agent's process is not asked again, unless the fleet replaced it before."""


@dataclass(frozen=True)
class Wish:
    """What is asked for."""

    target: Target
    features: RequestFeatures
    tenant: str

    def fits(self, agent: AgentInfo) -> bool:
        """Whether a seat at this agent could be wanted."""
        if agent.tenant is not None and agent.tenant != self.tenant:
            return False
        name = self.target.name
        if self.target.kind == "pool":
            return POOL_ALIASES.get(name, name) == agent.pool
        return self.target.kind == "auto" or name in (agent.agent_id, agent.manifest)


class Seat:
    """One turn's place at an agent. `release` may be called twice."""

    def __init__(self, decision: Decision, give_back: Callable[[AgentInfo], None]) -> None:
        self.decision = decision
        self.agent = decision.agent
        self._give_back: Callable[[AgentInfo], None] | None = give_back

    def release(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self.agent)


class Desk:
    """Hands out seats; knows only this replica's own turns, the agents know the rest."""

    def __init__(
        self, fleet: FleetPort, *, rng: random.Random, clock: Callable[[], float], routes: Routes | None = None
    ) -> None:
        self._fleet = fleet
        self._routes = routes or Routes(clock=clock)
        self._rng = rng
        self._clock = clock
        self._inflight: dict[str, int] = {}
        self._waiting: deque[tuple[Wish, asyncio.Future[None]]] = deque()
        self._suspects: dict[str, float] = {}
        self._indexed: tuple[FleetSnapshot, FleetIndex] | None = None

    @property
    def inflight(self) -> Mapping[str, int]:
        return self._inflight

    def index(self) -> FleetIndex:
        """Raises `NotReady` before the first snapshot."""
        snapshot = self._fleet.snapshot()
        known = self._indexed
        if known is None or (known[0] is not snapshot and _stamp(known[0]) != _stamp(snapshot)):
            known = self._indexed = (snapshot, FleetIndex.of(snapshot))
            self._routes.forget(frozenset(agent.agent_id for agent in snapshot.agents))
        return known[1]

    def take(self, wish: Wish, *, exclude: frozenset[str] = frozenset()) -> Seat:
        """A seat now. Raises `NotReady`, `NotFound`, `FleetBusy`."""
        decision = self.decide(wish, exclude=exclude)
        agent = decision.agent
        self._inflight[agent.agent_id] = self._inflight.get(agent.agent_id, 0) + 1
        return Seat(decision, self._given_back)

    def decide(self, wish: Wish, *, exclude: frozenset[str] = frozenset()) -> Decision:
        """What `take` would do now; no seat is taken. Raises what `take` raises."""
        return route(
            self.index(),
            target=wish.target,
            features=wish.features,
            inflight=self._inflight,
            tenant=wish.tenant,
            rng=self._rng,
            exclude=exclude | self._suspected(),
            conditions=self._routes.conditions(wish.tenant, wish.features),
        )

    async def wait_and_take(self, wish: Wish, *, wait_s: float, exclude: frozenset[str] = frozenset()) -> Seat:
        """A seat within `wait_s` seconds. Raises what `take` raises once the time is over; `NotFound` at once."""
        until = self._clock() + wait_s
        while True:
            try:
                return self.take(wish, exclude=exclude)
            except (FleetBusy, NotReady) as error:
                left_s = until - self._clock()
                if left_s <= 0:
                    raise _with_retry(error) from None
            await self.change(wish, at_most_s=min(left_s, LOOK_AGAIN_S))

    async def change(self, wish: Wish, *, at_most_s: float) -> None:
        """Returns when a seat that fits was given back, at the latest after `at_most_s`."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (wish, woken)
        self._waiting.append(entry)
        try:
            await asyncio.wait((woken,), timeout=at_most_s)
        finally:
            if not woken.done():
                self._waiting.remove(entry)

    def suspect(self, agent: AgentInfo) -> None:
        """This process was lost: spare the other turns the same discovery."""
        self._suspects[agent.incarnation] = self._clock() + SUSPECT_S

    def free_seats(self, *, spared: float = 0.0) -> int:
        """Seats that this replica does not use, less a share of all. 0 while the fleet is unknown."""
        try:
            snapshot = self._fleet.snapshot()
        except NotReady:
            return 0
        ready = [agent for agent in snapshot.agents if agent.state is AgentState.READY]
        free = sum(max(0, agent.slots - self._inflight.get(agent.agent_id, 0)) for agent in ready)
        return max(0, free - int(spared * sum(agent.slots for agent in ready)))

    def _suspected(self) -> frozenset[str]:
        if not self._suspects:
            return frozenset()
        now = self._clock()
        self._suspects = {incarnation: until for incarnation, until in self._suspects.items() if until > now}
        return frozenset(self._suspects)

    def _given_back(self, agent: AgentInfo) -> None:
        left = self._inflight.get(agent.agent_id, 0) - 1
        if left > 0:
            self._inflight[agent.agent_id] = left
        else:
            self._inflight.pop(agent.agent_id, None)
        for entry in self._waiting:
            if entry[0].fits(agent):
                self._waiting.remove(entry)
                entry[1].set_result(None)
                return


def _stamp(snapshot: FleetSnapshot) -> tuple[str, int]:
    return snapshot.epoch, snapshot.version


def _with_retry(error: OssaError) -> OssaError:
    if error.retry_after_s is None:
        error.retry_after_s = 1.0
    return error
