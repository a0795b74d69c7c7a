"""How a statement tells its fact: `ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s)`, on rows that it changed.

The fact is made before the statement is tried, so that a second try tells it under the same id.
"""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from ossa.contracts.events import Fact
from ossa.stores import fact_bodies

_TELL = "SELECT ossa.tell(%(told_tenant)s, %(told_key)s, 1, %(told)s)"


def told(fact: Fact | None) -> dict[str, Any]:
    """The parameters of a fact; None: a statement whose `told` is NULL tells nothing."""
    if fact is None:
        return {"told_tenant": None, "told_key": None, "told": None}
    return {"told_tenant": fact.tenant, "told_key": fact.key, "told": fact_bodies.of_fact(fact).decode()}


async def tell(session: AsyncConnection[DictRow], fact: Fact) -> None:
    """In the transaction that runs on this session. Raises what the driver raises."""
    await session.execute(_TELL, told(fact))
