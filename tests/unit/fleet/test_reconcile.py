"""Deciding, on a fleet that is only values: `_Fleet` carries decisions out by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.configuration import FleetSettings
from ossa.contracts.fleet import DesiredAgent, DesiredFleet, DesiredPool
from ossa.fleet.reconcile import PATIENCE_S, reconcile
from ossa.fleet.state import (
    ActualFleet,
    AssignStandby,
    BlockView,
    CreateBlock,
    Decision,
    Drain,
    Failure,
    Kill,
    ProcessState,
    ProcessView,
    RemoveBlock,
    StartAgent,
    StartStandby,
    desired_agents,
)


def spec(name: str = "scout", digest: str = "d1") -> AgentSpec:
    return AgentSpec(name=name, dialect="ossa/v0.5.0", digest=digest)


def pool(name: str, size: int, *specs: AgentSpec) -> DesiredPool:
    return DesiredPool(name=name, size=size, manifests=specs or (spec(),))


def desired(*pools: DesiredPool, standby: int = 0, agents: tuple[DesiredAgent, ...] = ()) -> DesiredFleet:
    return DesiredFleet(pools=pools, standby=standby, agents=agents)


@dataclass
class _Fleet:
    """Blocks have `room` blocks' worth of space; every step asserts what must always hold."""

    settings: FleetSettings = field(default_factory=lambda: FleetSettings(block_agents=4, standby=0))
    room: int = 1000
    now: float = 1000.0
    processes: dict[str, ProcessView] = field(default_factory=dict)
    blocks: dict[str, BlockView] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    log: list[Decision] = field(default_factory=list)
    served_least: dict[str, int] = field(default_factory=dict)

    def decide(self, want: DesiredFleet) -> tuple[Decision, ...]:
        actual = ActualFleet(
            processes=tuple(self.processes.values()), blocks=tuple(self.blocks.values()), failures=self.failures
        )
        return reconcile(want, actual, self.settings, self.now)

    def step(self, want: DesiredFleet) -> tuple[Decision, ...]:
        """Decide and carry out; starts end ready, drains and kills end gone, one step later."""
        decisions = self.decide(want)
        self._finish()
        self.now += 1
        for decision in decisions:
            self._apply(decision)
        self._check(want)
        self.log += decisions
        return decisions

    def settle(self, want: DesiredFleet, steps: int = 400) -> None:
        for _ in range(steps):
            busy = any(p.state is not ProcessState.READY for p in self.processes.values())
            waiting = any(not block.ready for block in self.blocks.values())
            if not self.step(want) and not busy and not waiting:
                return
        raise AssertionError(f"does not settle: {self.log[-10:]}")

    def kill(self, incarnation: str) -> None:
        del self.processes[incarnation]

    def holder(self, agent_id: str) -> ProcessView:
        (found,) = [p for p in self.processes.values() if p.agent_id == agent_id]
        return found

    def ids(self) -> list[str]:
        return sorted(p.agent_id for p in self.processes.values() if p.agent_id is not None)

    def standbys(self) -> list[ProcessView]:
        return [p for p in self.processes.values() if p.agent_id is None]

    def _finish(self) -> None:
        for name, process in list(self.processes.items()):
            if process.state is ProcessState.DRAINING:
                del self.processes[name]
            elif process.state is ProcessState.STARTING:
                self.processes[name] = process.model_copy(update={"state": ProcessState.READY, "since": self.now})
        ready = 0
        for name, block in sorted(self.blocks.items(), key=lambda item: (not item[1].ready, item[0])):
            fits = ready < self.room
            ready += fits
            if fits and not block.ready:
                self.blocks[name] = block.model_copy(update={"ready": True, "since": self.now})

    def _apply(self, decision: Decision) -> None:
        match decision:
            case CreateBlock(name=name, pool=pool_name, agents=agents):
                assert name not in self.blocks
                self.blocks[name] = BlockView(name=name, pool=pool_name, agents=agents, ready=False, since=self.now)
            case RemoveBlock(name=name):
                assert all(process.block != name for process in self.processes.values())
                del self.blocks[name]
            case StartAgent(block=block, assignment=a):
                self._put(
                    f"p{len(self.log)}.{a.agent_id}.{self.now}", block, a.agent_id, a.pool, a.tenant, a.spec.digest
                )
            case StartStandby(block=block):
                self._put(f"s{self.now}.{len(self.processes)}", block, None, "", None, "")
            case AssignStandby(incarnation=incarnation, assignment=a):
                standby = self.processes[incarnation]
                assert standby.agent_id is None
                assert standby.state is ProcessState.READY
                self._put(incarnation, standby.block, a.agent_id, a.pool, a.tenant, a.spec.digest)
            case Drain(incarnation=incarnation) | Kill(incarnation=incarnation):
                # A step's `_finish` may have made a starting process ready, or a draining one gone.
                if incarnation in self.processes:
                    gone = self.processes[incarnation].model_copy(update={"state": ProcessState.DRAINING})
                    self.processes[incarnation] = gone

    def _put(
        self, incarnation: str, block: str, agent_id: str | None, pool_name: str, tenant: str | None, digest: str
    ) -> None:
        self.processes[incarnation] = ProcessView(
            incarnation=incarnation,
            block=block,
            state=ProcessState.STARTING,
            since=self.now,
            agent_id=agent_id,
            pool=pool_name,
            tenant=tenant,
            digest=digest,
        )

    def _check(self, want: DesiredFleet) -> None:
        for block in self.blocks.values():
            inside = [p for p in self.processes.values() if p.block == block.name]
            assert len(inside) <= block.agents, f"{block.name} is overfull"
        starting = [p for p in self.processes.values() if p.state is ProcessState.STARTING]
        assert len([p for p in starting if p.since == self.now]) <= self.settings.start_parallelism + len(
            desired_agents(want)
        )
        serving = sum(p.state is ProcessState.READY and p.agent_id is not None for p in self.processes.values())
        self.served_least["all"] = min(self.served_least.get("all", serving), serving)


def test_agents_take_the_pools_manifests_in_turn() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 5, spec("a", "a1"), spec("b", "b1"))))
    digests = [fleet.holder(f"security-{i:03d}").digest for i in range(5)]
    assert digests == ["a1", "b1", "a1", "b1", "a1"]


def test_a_pool_is_whole_blocks_and_its_size_is_exact() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 6), pool("community", 1)))
    assert sorted(fleet.blocks) == ["community-b000", "security-b000", "security-b001"]
    assert len(fleet.processes) == 7


def test_no_more_starts_at_once_than_the_settings_say() -> None:
    fleet = _Fleet(settings=FleetSettings(start_parallelism=3, standby=0))
    want = desired(pool("security", 20))
    while not fleet.blocks or not all(block.ready for block in fleet.blocks.values()):
        fleet.step(want)
    for _ in range(20):
        fleet.step(want)
        assert sum(p.state is ProcessState.STARTING for p in fleet.processes.values()) <= 3


def test_shrinking_drains_the_highest_agents_and_removes_empty_blocks() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 9)))
    fleet.log.clear()
    fleet.settle(desired(pool("security", 4)))
    assert fleet.ids() == [f"security-{i:03d}" for i in range(4)]
    assert list(fleet.blocks) == ["security-b000"]
    drained = [d.incarnation.split(".")[1] for d in fleet.log if isinstance(d, Drain)]
    assert drained == [f"security-{i:03d}" for i in range(4, 9)]


def test_a_settled_fleet_needs_no_decision() -> None:
    fleet = _Fleet()
    want = desired(pool("security", 6), standby=2)
    fleet.settle(want)
    assert fleet.decide(want) == ()


def test_a_lost_agent_is_taken_over_by_a_standby_at_once_and_the_standby_replaced() -> None:
    fleet = _Fleet()
    want = desired(pool("security", 4), standby=1)
    fleet.settle(want)
    (standby,) = fleet.standbys()
    lost = fleet.holder("security-002")
    fleet.kill(lost.incarnation)
    first = fleet.decide(want)[0]
    assert isinstance(first, AssignStandby)
    assert (first.incarnation, first.assignment.agent_id) == (standby.incarnation, "security-002")
    fleet.settle(want)
    (fresh,) = fleet.standbys()
    assert fresh.block == lost.block
    assert set(fleet.blocks) == {"security-b000", "standby-b000"}


def test_standbys_use_room_that_pools_leave_before_blocks_are_made_for_them() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 6), standby=2))
    assert sorted(fleet.blocks) == ["security-b000", "security-b001"]
    assert len(fleet.standbys()) == 2


def test_growing_takes_the_standbys_first() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 6), standby=1))
    first = fleet.decide(desired(pool("security", 7), standby=1))[0]
    assert isinstance(first, AssignStandby)


def test_of_two_processes_of_one_agent_one_is_left() -> None:
    fleet = _Fleet()
    want = desired(pool("security", 2))
    fleet.settle(want)
    twin = fleet.holder("security-001").model_copy(update={"incarnation": "twin"})
    fleet.processes["twin"] = twin
    fleet.settle(want)
    assert fleet.ids() == ["security-000", "security-001"]


def test_a_new_manifest_rolls_without_fewer_agents_serving() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 8)))
    fleet.served_least.clear()
    fleet.settle(desired(pool("security", 8, spec(digest="d2"))))
    assert {p.digest for p in fleet.processes.values()} == {"d2"}
    assert fleet.served_least["all"] >= 8
    assert sorted(fleet.blocks) == ["security-b000", "security-b001"]
    assert fleet.standbys() == []


def test_without_room_beside_a_new_manifest_rolls_one_at_a_time_where_the_old_one_stood() -> None:
    fleet = _Fleet(room=2)
    fleet.settle(desired(pool("security", 8)))
    fleet.served_least.clear()
    want = desired(pool("security", 8, spec(digest="d2")))
    for _ in range(80):
        fleet.step(want)
    assert {p.digest for p in fleet.processes.values()} == {"d2"}
    assert fleet.served_least["all"] >= 7
    assert not any(isinstance(d, Drain) for d in fleet.log[: int(PATIENCE_S)])


def test_a_manifest_that_does_not_start_leaves_the_old_agents_serving() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 4), standby=1))
    for i in range(4):
        fleet.failures[f"security-{i:03d}"] = Failure(count=1, reason="bad", retry_at=fleet.now + 1e6)
    fleet.settle(desired(pool("security", 4, spec(digest="d2")), standby=1))
    assert [fleet.holder(f"security-{i:03d}").digest for i in range(4)] == ["d1"] * 4


def test_an_agent_that_failed_waits_for_its_backoff() -> None:
    fleet = _Fleet()
    want = desired(pool("security", 4))
    fleet.failures["security-001"] = Failure(count=3, reason="bad", retry_at=fleet.now + 50)
    fleet.settle(want)
    assert "security-001" not in fleet.ids()
    fleet.now += 60
    fleet.settle(want)
    assert "security-001" in fleet.ids()


def test_an_agent_asked_to_be_replaced_is_followed_by_another_process() -> None:
    fleet = _Fleet()
    want = desired(pool("security", 4), standby=1)
    fleet.settle(want)
    old = fleet.holder("security-001")
    fleet.processes[old.incarnation] = old.model_copy(update={"replace": True})
    fleet.settle(want)
    assert fleet.holder("security-001").incarnation != old.incarnation


def test_a_survivor_in_a_block_that_goes_moves_before_it_goes() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 8)))
    # The process of agent 0 sits in the last block, as after a takeover; agent 7's in the first.
    first, last = fleet.holder("security-000"), fleet.holder("security-007")
    fleet.processes[first.incarnation] = first.model_copy(update={"block": last.block})
    fleet.processes[last.incarnation] = last.model_copy(update={"block": first.block})
    fleet.settle(desired(pool("security", 4)))
    assert list(fleet.blocks) == ["security-b000"]
    assert fleet.ids() == [f"security-{i:03d}" for i in range(4)]


def test_tenants_own_agents_have_room_beside_the_pools() -> None:
    own = DesiredAgent(agent_id="acme-bot", pool="security", tenant="acme", spec=spec("bot", "b1"))
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 4), agents=(own,)))
    assert fleet.holder("acme-bot").tenant == "acme"
    assert len(fleet.blocks) == 2
    fleet.settle(desired(pool("security", 4)))
    assert len(fleet.blocks) == 1


def test_a_pool_without_manifests_is_left_alone() -> None:
    assert _Fleet().decide(desired(DesiredPool(name="security", size=3))) == ()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.integers(0, 7),
            st.integers(0, 3),
            st.sampled_from(["d1", "d2", "d3"]),
            st.lists(st.integers(0, 1000), max_size=5),
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 5),
    st.integers(0, 12),
)
def test_whatever_is_wished_and_whatever_dies_the_fleet_gets_there(
    wishes: list[tuple[int, int, int, str, list[int]]], block_agents: int, interrupt: int
) -> None:
    fleet = _Fleet(settings=FleetSettings(block_agents=block_agents, start_parallelism=4, standby=0))
    for first, second, standby, digest, deaths in wishes:
        want = desired(pool("security", first, spec(digest=digest)), pool("community", second), standby=standby)
        for death in deaths:
            for _ in range(interrupt):
                fleet.step(want)
            if fleet.processes:
                fleet.kill(sorted(fleet.processes)[death % len(fleet.processes)])
    fleet.settle(want)
    assert fleet.ids() == sorted(desired_agents(want))
    assert all(p.digest == desired_agents(want)[p.agent_id].spec.digest for p in fleet.processes.values() if p.agent_id)
    assert len(fleet.standbys()) == standby
    room = sum(block.agents for block in fleet.blocks.values())
    assert room - first - second - standby < 2 * block_agents


def lending(want: DesiredFleet, **borrowed: int) -> DesiredFleet:
    return want.model_copy(update={"borrowed_standbys": borrowed})


def test_a_loan_assigns_standbys_where_they_stand_and_starts_nothing() -> None:
    fleet, want = _Fleet(), desired(pool("security", 8), pool("community", 4), standby=3)
    fleet.settle(want)
    blocks, processes = set(fleet.blocks), set(fleet.processes)
    fleet.log.clear()
    fleet.settle(lending(want, security=2))
    assert [type(one) for one in fleet.log] == [AssignStandby, AssignStandby]
    assert fleet.ids().count("security-008") == fleet.ids().count("security-009") == 1
    assert len(fleet.standbys()) == 1
    assert (set(fleet.blocks), set(fleet.processes)) == (blocks, processes)


def test_a_loan_given_back_ends_its_turns_and_the_next_standby_stands_in_its_place() -> None:
    fleet, want = _Fleet(), desired(pool("security", 8), standby=3)
    fleet.settle(lending(want, security=3))
    blocks, own = set(fleet.blocks), {fleet.holder(f"security-00{n}").incarnation for n in range(8)}
    fleet.log.clear()
    fleet.settle(want)
    assert sorted(type(one).__name__ for one in fleet.log) == ["Drain"] * 3 + ["StartStandby"] * 3
    assert set(fleet.blocks) == blocks
    assert {fleet.holder(f"security-00{n}").incarnation for n in range(8)} == own


def test_a_loan_that_the_pool_takes_as_its_own_goes_on_where_it_stands() -> None:
    fleet, want = _Fleet(), desired(pool("security", 8), standby=4)
    fleet.settle(lending(want, security=4))
    processes = set(fleet.processes)
    fleet.log.clear()
    fleet.settle(desired(pool("security", 12), standby=0))
    assert fleet.log == []
    assert (len(fleet.ids()), set(fleet.processes)) == (12, processes)


def test_a_pool_that_grows_as_far_as_standbys_are_held_starts_no_process() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 8), pool("community", 8), standby=30))
    fleet.log.clear()
    fleet.step(desired(pool("security", 28), pool("community", 18), standby=0))
    assert [type(one) for one in fleet.log] == [AssignStandby] * 30
    fleet.settle(desired(pool("security", 28), pool("community", 18), standby=0))
    assert len(fleet.log) == 30


def test_a_pool_that_grows_in_steps_while_standbys_are_still_held_moves_nobody() -> None:
    """The forecast goes on asking for standbys while the first of them have become the pool's, and then for none."""
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 4), standby=20))
    for size, standby in ((9, 20), (14, 18), (20, 12), (24, 4), (24, 0)):
        before = {name: p.incarnation for name, p in ((i, fleet.holder(i)) for i in fleet.ids())}
        fleet.settle(desired(pool("security", size), standby=standby))
        assert {name: fleet.holder(name).incarnation for name in before} == before
    assert len(fleet.ids()) == 24
    assert not fleet.standbys()


def test_a_forecast_burst_in_steps_ends_no_process_that_was_begun_for_it() -> None:
    """Five pools, while standbys are still starting, and the wish for them outlives a part of the growth."""
    fleet = _Fleet()
    sizes = {"foundation": 10, "security": 8, "intelligence": 10, "federation": 7, "community": 5}
    grown = {name: size * 5 for name, size in sizes.items()}
    part = {name: size * 2 + 1 for name, size in sizes.items()}
    fleet.settle(desired(*(pool(*one) for one in sizes.items()), standby=1))
    for _ in range(15):
        fleet.step(desired(*(pool(*one) for one in sizes.items()), standby=160))
    fleet.log.clear()
    for standby in (160, 120, 60):
        for _ in range(3):
            fleet.step(desired(*(pool(*one) for one in part.items()), standby=standby))
    fleet.settle(desired(*(pool(*one) for one in grown.items()), standby=0))
    assert len(fleet.ids()) == 200
    assert sum(block.agents for block in fleet.blocks.values()) == 200
    assert not [one for one in fleet.log if isinstance(one, Drain | Kill)]


def test_past_the_standbys_that_are_held_a_pool_grows_by_blocks() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 8), standby=3))
    fleet.log.clear()
    fleet.settle(desired(pool("security", 20), standby=1))
    assert sum(isinstance(one, AssignStandby) for one in fleet.log) == 3
    assert not [one for one in fleet.log if isinstance(one, Drain | Kill)]
    assert sorted(block.agents for block in fleet.blocks.values()) == [1, 1, 1, 1, 1, 4, 4, 4, 4]
    assert (len(fleet.ids()), len(fleet.standbys())) == (20, 1)


def test_a_pool_that_shrinks_first_gives_up_the_places_of_standbys_it_took() -> None:
    fleet = _Fleet()
    fleet.settle(desired(pool("security", 8), standby=6))
    fleet.settle(desired(pool("security", 14), standby=0))
    own = {fleet.holder(f"security-{n:03d}").incarnation for n in range(10)}
    fleet.log.clear()
    fleet.settle(desired(pool("security", 10), standby=0))
    assert sorted(type(one).__name__ for one in fleet.log) == ["Drain"] * 4 + ["RemoveBlock"] * 4
    assert {fleet.holder(f"security-{n:03d}").incarnation for n in range(10)} == own


def test_a_pool_that_was_switched_off_is_lent_nothing() -> None:
    fleet = _Fleet()
    fleet.settle(lending(desired(pool("security", 0), standby=2), security=2))
    assert fleet.ids() == []
    assert len(fleet.standbys()) == 2
