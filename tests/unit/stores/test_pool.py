"""Connections that are shared."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.pq import TransactionStatus

from ossa.stores.postgres.connection import Pool


class Fake:
    def __init__(self) -> None:
        self.closed = self.broken = False
        self.info = self
        self.transaction_status = TransactionStatus.IDLE

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def made() -> list[Fake]:
    return []


@pytest.fixture
def pool(made: list[Fake]) -> Pool:
    async def connect() -> Any:
        made.append(Fake())
        return made[-1]

    return Pool(connect, 2)


async def test_connections_to_a_server_that_was_demoted_are_dropped_when_they_come_back(
    pool: Pool, made: list[Fake]
) -> None:
    async with pool.connection():
        async with pool.connection():
            pass
        await pool.forget(used=True)
        assert [conn.closed for conn in made] == [False, True]
    assert made[0].closed
    async with pool.connection():
        assert len(made) == 3


async def test_one_lost_connection_costs_those_in_use_nothing(pool: Pool, made: list[Fake]) -> None:
    async with pool.connection():
        await pool.forget()
    async with pool.connection():
        assert len(made) == 1
