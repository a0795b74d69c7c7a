"""A process that remembers, recalls, forgets and moves a few items as fast as it can, and notes what it saw.

Arguments: DSN, Redis DSN, folder of objects, seed, rounds. A line of what it prints is one operation that was answered:
`[what, id, began, ended, number, content]`, times in nanoseconds of the machine's monotonic clock; the number is a
version, of `forgot` the fence below which all is gone.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

from ossa.contracts.configuration import Database
from ossa.contracts.errors import NotFound, StoreUnavailable
from ossa.contracts.memory import KindRules, NewMemory, PlacementPolicy, Scope
from ossa.memory.service import MemoryService
from ossa.memory.tiers import HotCopies, WarmVectors, memory_schema
from ossa.stores.objects.memory import ObjectMemory
from ossa.stores.postgres import PostgresStores
from ossa.stores.redis.cache import RedisCache
from ossa.testing.stores.tiers import MemoryVectors
from tests.unit.memory.worlds import WORDS, embed

RESTLESS = KindRules(hot_uses=2, warm_uses=1, within_s=60, hot_idle_s=0.01, warm_idle_s=0.01)
IDS = ("a", "b", "c")


async def main(dsn: str, redis: str, folder: str, seed: int, rounds: int) -> None:
    rng = random.Random(seed)
    stores = PostgresStores(Database(), dsn)
    await stores.open()
    memory = MemoryService(
        stores.memory,
        HotCopies(RedisCache(redis, room="memory", answer_s=5), answer_s=5),
        WarmVectors(MemoryVectors(memory_schema(len(WORDS)))),
        ObjectMemory(f"file://{folder}"),
        embed=embed,
        policy=PlacementPolicy(kinds={"*": RESTLESS}),
    )

    async def one(number: int) -> tuple[str, str, int, str]:
        id = rng.choice(IDS)
        draw = rng.random()
        try:
            if draw < 0.3:
                made = await memory.remember(NewMemory(id=id, content=f"cat {seed} {number}"), tenant="acme")
                return "wrote", id, made.version, str(made.content)
            if draw < 0.35:
                proof = await memory.forget(Scope(tenant="acme", ids=(id,)))
                return "forgot", id, proof.fence, ""
            if draw < 0.5:
                await memory.sweep()
                return "swept", id, 0, ""
            found = await memory.recall(id, tenant="acme")
            return "read", id, found.version, str(found.content)
        except NotFound:
            return "none", id, 0, ""
        except StoreUnavailable:
            return "away", id, 0, ""

    async def caller() -> None:
        for number in range(rounds):
            began = time.monotonic_ns()
            what, id, value, content = await one(number)
            print(json.dumps([what, id, began, time.monotonic_ns(), value, content]), flush=True)

    await asyncio.gather(caller(), caller())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
