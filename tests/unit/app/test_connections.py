"""How processes share PostgreSQL's connections."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.app.connections import SPARE, holders, shared
from ossa.contracts.errors import InvalidRequest
from ossa.settings import Settings


def settings(**values: Any) -> Settings:
    return Settings(**values)


@pytest.mark.parametrize("replicas", [1, 2, 10, 30, 60])
@pytest.mark.parametrize("pool_max", [3, 8, 200])
def test_all_processes_together_stay_within_the_total(replicas: int, pool_max: int) -> None:
    found = settings(gateway={"replicas": replicas, "router_replicas": 1}, database={"pool_max": pool_max})
    share = shared(found).pool_max
    assert share <= pool_max
    assert share * holders(found) + SPARE <= 200


def test_few_processes_get_what_they_ask_for() -> None:
    assert shared(settings(database={"pool_max": 8})).pool_max == 8


def test_agents_hold_none() -> None:
    few, many = settings(fleet={"standby": 1}), settings(fleet={"standby": 256, "block_agents": 64})
    assert holders(few) == holders(many) == 5  # gateway, compression, memory, controller, forecaster


def test_a_share_that_is_too_small_is_refused_with_what_to_change() -> None:
    with pytest.raises(InvalidRequest, match=r"OSSA_DATABASE__POOL_TOTAL.*OSSA_GATEWAY__REPLICAS") as caught:
        shared(settings(gateway={"replicas": 62}))
    assert caught.value.param == "database.pool_total"


def test_the_embedded_server_has_fewer() -> None:
    found = settings(gateway={"replicas": 8}, database={"pool_max": 50})
    assert shared(found, embedded=True).pool_max * holders(found) + SPARE <= 90
    with pytest.raises(InvalidRequest, match="OSSA_DATABASE__DSN"):
        shared(settings(gateway={"replicas": 30}), embedded=True)


def test_more_than_two_hundred_cannot_be_said() -> None:
    with pytest.raises(InvalidRequest, match="OSSA_DATABASE__POOL_TOTAL"):
        settings(database={"pool_total": 201})
