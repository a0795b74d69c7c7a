"""Placement groups: what a block reserves, how many each pool needs, and which have room for a process."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

from ossa.contracts.configuration import FleetSettings
from ossa.fleet.naming import STANDBY_POOL, block_name
from ossa.fleet.state import BlockView, CreateBlock, ProcessView

MIB = 2**20


def block_bundle(agents: int, fleet: FleetSettings) -> dict[str, float]:
    """Returns Ray's resources of a block: logical CPUs, and bytes of memory where agents reserve any. A block is never
    spread over two nodes.
    """
    bundle = {"CPU": round(agents * fleet.cpus_per_agent, 4)}
    if fleet.memory_per_agent_mib:
        bundle["memory"] = agents * fleet.memory_per_agent_mib * MIB
    return bundle


def blocks_wanted(
    agents_by_pool: Mapping[str, int],
    standby: int,
    block_agents: int,
    there: Mapping[str, int],
    overflow: Mapping[str, int],
) -> dict[str, int]:
    """Returns the whole blocks that each pool needs. Standbys use what these leave over before they get blocks.

    Standbys that joined a pool stay in the standbys' blocks (`overflow`) as far as the pool's own blocks have no room
    for them, however many standbys are wanted beside them. A pool with overflow gets no block that would be partly
    empty, but single places, so that no CPU is reserved and unused.

    Args:
        there: existing blocks by pool.
        overflow: agents by pool that are in standbys' blocks, or are about to be.
    """
    staying = {
        pool: _staying(count, block_agents, there.get(pool, 0), overflow.get(pool, 0))
        for pool, count in agents_by_pool.items()
    }
    own = {pool: count - staying[pool] for pool, count in agents_by_pool.items()}
    needed, standbys = _needed(own, standby, block_agents)
    return {**needed, STANDBY_POOL: standbys + sum(staying.values())}


def _staying(count: int, block_agents: int, blocks: int, overflow: int) -> int:
    """Agents of a pool that belong in standbys' blocks: its overflow, and the remainder that fills no whole block.

    The answer stays the same once they are there.
    """
    most = max(0, min(overflow, count - blocks * block_agents))
    return most + (count - most) % block_agents if most else 0


def _needed(agents_by_pool: Mapping[str, int], standby: int, block_agents: int) -> tuple[dict[str, int], int]:
    """Returns blocks by pool, and the number of standbys that have no room in them."""
    needed = {pool: math.ceil(count / block_agents) for pool, count in agents_by_pool.items()}
    spare = sum(needed[pool] * block_agents - count for pool, count in agents_by_pool.items())
    return needed, max(0, standby - spare)


def missing_blocks(
    needed: Mapping[str, int], blocks: Iterable[BlockView], block_agents: int
) -> tuple[CreateBlock, ...]:
    """Returns the blocks to create, with the lowest free numbers. A standby's block holds one agent."""
    taken = {block.name for block in blocks}
    have = Counter(block.pool for block in blocks)
    created: list[CreateBlock] = []
    for pool, count in needed.items():
        index = 0
        for _ in range(count - have[pool]):
            while block_name(pool, index) in taken:
                index += 1
            name = block_name(pool, index)
            taken.add(name)
            agents = 1 if pool == STANDBY_POOL else block_agents
            created.append(CreateBlock(name=name, pool=pool, agents=agents))
    return tuple(created)


def doomed_blocks(
    needed: Mapping[str, int],
    blocks: Iterable[BlockView],
    working: Collection[str] = frozenset(),
    held: Collection[str] = frozenset(),
) -> frozenset[str]:
    """Returns surplus blocks, the highest of each pool.

    Of standbys' blocks the empty ones go first, then those that hold a standby (`held`), and last those in which an
    agent works (`working`).
    """
    by_pool: dict[str, list[str]] = defaultdict(list)
    for block in sorted(blocks, key=lambda block: _by_number(block.name)):
        by_pool[block.pool].append(block.name)
    by_pool[STANDBY_POOL].sort(key=lambda name: (name not in working, name not in held))  # stable: then by number
    return frozenset(name for pool, names in by_pool.items() for name in names[needed.get(pool, 0) :])


def _by_number(name: str) -> tuple[int, str]:
    return (len(name), name)


class BlockRoom:
    """Free places in ready blocks that stay. Each `take` uses one up."""

    def __init__(self, blocks: Iterable[BlockView], doomed: Collection[str], processes: Iterable[ProcessView]) -> None:
        used = Counter(process.block for process in processes)
        self._pool_of = {block.name: block.pool for block in blocks}
        self._free = {
            block.name: block.agents - used[block.name]
            for block in sorted(blocks, key=lambda block: _by_number(block.name))
            if block.ready and block.name not in doomed and block.agents > used[block.name]
        }

    def take(self, pool: str) -> str | None:
        """Takes a place in the pool's own blocks and returns the block; None without room."""
        return self._take_of(pool, 0)

    def take_spare(self, missing: Mapping[str, int]) -> str | None:
        """Takes a place that no pool needs for its own missing agents, in a standby's block first."""
        block = self._take_of(STANDBY_POOL, 0)
        if block is not None:
            return block
        for pool in dict.fromkeys(self._pool_of[name] for name in self._free):
            block = self._take_of(pool, missing.get(pool, 0))
            if block is not None:
                return block
        return None

    def _take_of(self, pool: str, keep: int) -> str | None:
        own = [name for name in self._free if self._pool_of[name] == pool]
        if sum(self._free[name] for name in own) <= keep:
            return None
        name = own[0]
        self._free[name] -= 1
        if self._free[name] == 0:
            del self._free[name]
        return name
