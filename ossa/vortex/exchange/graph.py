"""In which order things that need one another can be had."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

from ossa.vortex.exchange.errors import PlaceholderCycle

Node = TypeVar("Node", bound=Hashable)


def topological_order(needs: Mapping[Node, Collection[Node]]) -> list[Node]:
    """All nodes, each after everything it needs; among the free ones the first named comes first.

    `needs` maps a node to those it needs; one that is only needed needs nothing.
    Raises `PlaceholderCycle` naming one cycle. Linear in nodes and edges.
    """
    missing: dict[Node, int] = {}
    needed_by: dict[Node, list[Node]] = {}
    for node, required in needs.items():
        distinct = dict.fromkeys(required)
        missing[node] = len(distinct)
        for other in distinct:
            needed_by.setdefault(other, []).append(node)
    for other in needed_by:
        missing.setdefault(other, 0)
    free = deque(node for node, count in missing.items() if count == 0)
    order: list[Node] = []
    while free:
        node = free.popleft()
        order.append(node)
        for dependant in needed_by.get(node, ()):
            missing[dependant] -= 1
            if missing[dependant] == 0:
                free.append(dependant)
    if len(order) < len(missing):
        cycle = _some_cycle(needs, {node for node, count in missing.items() if count > 0})
        raise _cycle_error(cycle)
    return order


def longest_chain(needs: Mapping[Node, Collection[Node]], order: Sequence[Node]) -> int:
    """How many nodes the longest chain of needs has. `order` is `topological_order(needs)`."""
    length: dict[Node, int] = {}
    for node in order:
        length[node] = 1 + max((length[other] for other in needs.get(node, ())), default=0)
    return max(length.values(), default=0)


def _some_cycle(needs: Mapping[Node, Collection[Node]], stuck: Collection[Node]) -> list[Node]:
    """Every stuck node needs another stuck one, so a walk along needs comes round."""
    node = next(node for node in needs if node in stuck)
    at: dict[Node, int] = {}
    path: list[Node] = []
    while node not in at:
        at[node] = len(path)
        path.append(node)
        node = next(other for other in needs[node] if other in stuck)
    return path[at[node] :]


def _cycle_error(cycle: Sequence[Hashable]) -> PlaceholderCycle:
    names = [str(node) for node in (*cycle, cycle[0])]
    return PlaceholderCycle(
        f"Placeholders need one another in a circle: {' -> '.join(names)}. Take one of them out.",
        details={"cycle": names},
    )
