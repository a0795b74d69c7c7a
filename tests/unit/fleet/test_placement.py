from __future__ import annotations

from ossa.fleet.placement import BlockRoom, blocks_wanted
from ossa.fleet.state import BlockView


def block(name: str, agents: int, *, ready: bool = True) -> BlockView:
    return BlockView(name=name, pool=name.rpartition("-b")[0], agents=agents, ready=ready)


def test_spare_room_is_what_a_pool_does_not_need_for_its_own_missing_agents() -> None:
    places = BlockRoom([block("security-b000", 2)], (), ())
    assert places.take_spare({"security": 1}) == "security-b000"
    assert places.take_spare({"security": 1}) is None
    assert places.take("security") == "security-b000"


def test_spare_room_is_a_standbys_block_first() -> None:
    places = BlockRoom([block("security-b000", 2), block("standby-b000", 1)], (), ())
    assert [places.take_spare({}), places.take_spare({})] == ["standby-b000", "security-b000"]


def test_a_block_that_waits_or_must_go_has_no_room() -> None:
    assert BlockRoom([block("security-b000", 2, ready=False)], (), ()).take("security") is None
    assert BlockRoom([block("security-b000", 2)], {"security-b000"}, ()).take("security") is None


def test_the_missions_two_hundred_agents_leave_room_for_eight_standbys() -> None:
    sizes = {"foundation": 50, "security": 40, "intelligence": 50, "federation": 35, "community": 25}
    assert blocks_wanted(sizes, 8, 4, {}, {}) == {
        "foundation": 13,
        "security": 10,
        "intelligence": 13,
        "federation": 9,
        "community": 7,
        "standby": 0,
    }
    assert blocks_wanted(sizes, 9, 4, {}, {})["standby"] == 1
