"""Gives turns an agent: routing, the slots in use, and the queue of those who wait for a slot."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping

from ossa.contracts.errors import FleetBusy, NotFound, NotReady
from ossa.contracts.fleet import AgentInfo, AgentState
from ossa.gateway.core import GatewayCore
from ossa.gateway.hooks import Hooks
from ossa.routing import Conditions, Decision, FleetIndex, route
from ossa.routing.index import RoutingRequest

LOOK_AGAIN_S = 0.1
"""How often a waiting request checks whether the fleet has changed; a slot that is given back wakes it at once."""

ROUTE_AGAIN_S = 1.0
"""A waiting request is routed again after this time even if nothing changed here: breakers and budgets have clocks."""

SUSPECT_S = 5.0
"""How long a lost agent's process is not asked again, unless the fleet replaced it before."""

_NOBODY: frozenset[str] = frozenset()


class SlotReservation:
    """One turn's slot at an agent. `release` may be called twice."""

    def __init__(self, decision: Decision, give_back: Callable[[AgentInfo], None]) -> None:
        self.decision = decision
        self.agent = decision.agent
        self._give_back: Callable[[AgentInfo], None] | None = give_back

    def release(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back(self.agent)


class AgentScheduler:
    """Reserves slots. It counts only this replica's turns; an agent refuses turns beyond its own slots."""

    def __init__(self, core: GatewayCore, hooks: Hooks) -> None:
        self._core = core
        self._hooks = hooks
        self._conditions = Conditions(tiers=core.tiers)
        self._inflight: dict[str, int] = {}
        self._waiting: deque[tuple[RoutingRequest, asyncio.Future[AgentInfo]]] = deque()
        self._suspects: dict[str, float] = {}

    @property
    def inflight(self) -> Mapping[str, int]:
        """Turns of this replica by agent id."""
        return self._inflight

    def reserve(self, request: RoutingRequest, *, exclude: frozenset[str] = _NOBODY) -> SlotReservation:
        """Reserves a slot now. Raises `NotReady`, `NotFound`, `FleetBusy`.

        Args:
            exclude: incarnations of agents that are not to be asked.
        """
        decision = self.decide(request, exclude=exclude)
        agent = decision.agent
        self._inflight[agent.agent_id] = self._inflight.get(agent.agent_id, 0) + 1
        return SlotReservation(decision, self._given_back)

    def decide(self, request: RoutingRequest, *, exclude: frozenset[str] = _NOBODY) -> Decision:
        """What `reserve` would decide now; no slot is taken. Raises what `reserve` raises."""
        index = self._core.index()
        return route(
            index,
            target=request.target,
            features=request.features,
            inflight=self._inflight,
            tenant=request.tenant,
            rng=self._core.rng,
            exclude=exclude | self._suspected(),
            conditions=self._hooks.narrow(self._conditions, request, index),
        )

    async def wait_for_slot(
        self,
        request: RoutingRequest,
        *,
        until: float | None,
        missing_until: float = float("-inf"),
        lost: Collection[str] = (),
        busy: Collection[str] = (),
        deadline: float = float("inf"),
    ) -> SlotReservation:
        """Reserves a slot as soon as there is one. Times are those of the core's clock.

        Args:
            until: when to give up with the last `FleetBusy` or `NotReady`; None waits for ever.
            missing_until: until then a target that is not there is waited for; then `NotFound` is raised.
            lost: incarnations that were lost: asked only when every other agent is full.
            busy: incarnations that turned this task away: not asked at first.
            deadline: raises `TimeoutError` after it.
        """
        clock = self._core.clock
        avoided = frozenset(busy)
        while True:
            try:
                return self._reserve_sparing(request, frozenset(lost), avoided)
            except (FleetBusy, NotReady) as error:
                if until is not None and clock() >= until:
                    error.retry_after_s = 1.0 if error.retry_after_s is None else error.retry_after_s
                    raise error from None
            except NotFound:
                if clock() >= missing_until:
                    raise
            if clock() >= deadline:
                raise TimeoutError
            # Agents that turned it away have slots here and not there: only asking again can tell.
            again_s, avoided = (LOOK_AGAIN_S if avoided else ROUTE_AGAIN_S), _NOBODY
            ends = [clock() + again_s, deadline, *([] if until is None else [until])]
            await self._change(request, until=min(ends))

    def _reserve_sparing(self, request: RoutingRequest, lost: frozenset[str], busy: frozenset[str]) -> SlotReservation:
        try:
            return self.reserve(request, exclude=lost | busy)
        except FleetBusy:
            if not lost:
                raise
            # Rather a process that was lost a while ago than none: perhaps only the way to it was broken.
            return self.reserve(request, exclude=busy)

    async def _change(self, request: RoutingRequest, *, until: float) -> None:
        """Returns when a slot that fits was given back or the fleet has changed, at the latest at `until`."""
        clock = self._core.clock
        index = self._known_index()
        woken: asyncio.Future[AgentInfo] = asyncio.get_running_loop().create_future()
        entry = (request, woken)
        self._waiting.append(entry)
        try:
            while not woken.done() and (left_s := until - clock()) > 0 and self._known_index() is index:
                await asyncio.wait((woken,), timeout=min(left_s, LOOK_AGAIN_S))
        except asyncio.CancelledError:
            if woken.done():  # the slot it was woken for is another one's now
                self._wake_for(woken.result())
            raise
        finally:
            if not woken.done():
                self._waiting.remove(entry)

    def _known_index(self) -> FleetIndex | None:
        try:
            return self._core.index()
        except NotReady:
            return None

    def suspect(self, agent: AgentInfo) -> None:
        """This process was lost: spare other turns the same discovery."""
        self._suspects[agent.incarnation] = self._core.clock() + SUSPECT_S

    def free_slots(self, *, spared: float = 0.0) -> int:
        """Slots that this replica does not use, less a share of all slots. 0 while the fleet is unknown."""
        try:
            snapshot = self._core.fleet.snapshot()
        except NotReady:
            return 0
        ready = [agent for agent in snapshot.agents if agent.state is AgentState.READY]
        free = sum(max(0, agent.slots - self._inflight.get(agent.agent_id, 0)) for agent in ready)
        return max(0, free - int(spared * sum(agent.slots for agent in ready)))

    def _suspected(self) -> frozenset[str]:
        if not self._suspects:
            return _NOBODY
        now = self._core.clock()
        self._suspects = {incarnation: until for incarnation, until in self._suspects.items() if until > now}
        return frozenset(self._suspects)

    def _given_back(self, agent: AgentInfo) -> None:
        left = self._inflight.get(agent.agent_id, 0) - 1
        if left > 0:
            self._inflight[agent.agent_id] = left
        else:
            self._inflight.pop(agent.agent_id, None)
        self._wake_for(agent)

    def _wake_for(self, agent: AgentInfo) -> None:
        """Wake the first that waits for such an agent."""
        for entry in self._waiting:
            if entry[0].fits(agent):
                self._waiting.remove(entry)
                entry[1].set_result(agent)
                return
