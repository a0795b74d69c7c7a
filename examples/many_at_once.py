"""A hundred tasks. Each is journaled before `create` returns; a full queue makes the client wait and try again."""

from __future__ import annotations

import asyncio
from collections import Counter

import ossa

TASKS = 100


async def main() -> None:
    async with ossa.connect_async(max_retries=8) as client:
        tasks = await asyncio.gather(
            *(client.tasks.create(f"Reply with the number {number}.", max_tokens=8) for number in range(TASKS))
        )
        ended = await asyncio.gather(*(client.tasks.wait(task.id) for task in tasks))
    print(Counter(task.status for task in ended))
    print(Counter(task.agent for task in ended).most_common(5))
    print(f"${sum(task.usage.cost_usd for task in ended):.6f}")


asyncio.run(main())
