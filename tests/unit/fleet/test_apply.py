"""`apply`: a new version replaces the old one; a new agent gets an agent that runs it."""

from __future__ import annotations

import pytest

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.fleet import DesiredFleet, DesiredPool
from ossa.fleet.operations import plan_operation
from ossa.fleet.state import desired_agents


def spec(name: str, version: str = "1") -> AgentSpec:
    return AgentSpec(name=name, version=version, dialect="ossa/v0.5.0", digest=f"{name}@{version}")


def applied(pool: DesiredPool, new: AgentSpec) -> DesiredPool:
    desired = DesiredFleet(pools=(pool,))
    plan = plan_operation("apply", {"pool": pool.name, "manifest": new.model_dump(mode="json")}, desired, {})
    return plan.pools[0]


def running(pool: DesiredPool) -> list[str]:
    return [assignment.spec.name for assignment in desired_agents(DesiredFleet(pools=(pool,))).values()]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
def test_a_new_agent_runs_in_a_pool_of_any_size_and_disturbs_no_other(size: int) -> None:
    before = DesiredPool(name="community", size=size, manifests=(spec("a"), spec("b"), spec("c")))
    after = applied(before, spec("new"))
    assert "new" in running(after)
    assert running(after)[: min(size, 3)] == running(before)[: min(size, 3)]
    assert after.size <= size + 1


def test_a_new_version_takes_the_place_of_the_old_one() -> None:
    before = DesiredPool(name="community", size=2, manifests=(spec("a"), spec("b")))
    after = applied(before, spec("b", "2"))
    assert [one.digest for one in after.manifests] == ["a@1", "b@2"]
    assert after.size == 2
