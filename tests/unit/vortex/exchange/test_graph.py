from __future__ import annotations

import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossa.vortex.exchange.errors import PlaceholderCycle
from ossa.vortex.exchange.graph import longest_chain, topological_order

graphs = st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=5), max_size=13)


@given(graphs)
def test_every_node_comes_once_after_what_it_needs_or_a_real_cycle_is_named(
    needs: dict[int, list[int]],
) -> None:
    nodes = set(needs) | {other for found in needs.values() for other in found}
    try:
        order = topological_order(needs)
    except PlaceholderCycle as error:
        cycle = [int(name) for name in error.details["cycle"]]
        assert cycle[0] == cycle[-1]
        assert len(set(cycle[:-1])) == len(cycle) - 1
        assert all(after in needs[node] for node, after in pairwise(cycle))
        assert " -> ".join(error.details["cycle"]) in error.message
    else:
        at = {node: place for place, node in enumerate(order)}
        assert set(order) == nodes
        assert len(order) == len(nodes)
        assert all(at[other] < at[node] for node, found in needs.items() for other in found)


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=40))
def test_a_graph_without_a_cycle_always_has_an_order(pairs: list[tuple[int, int]]) -> None:
    needs: dict[int, list[int]] = {}
    for one, other in pairs:
        if one != other:
            needs.setdefault(max(one, other), []).append(min(one, other))
    order = topological_order(needs)
    assert longest_chain(needs, order) <= len(order)


def test_nodes_that_need_nothing_keep_the_order_they_are_named_in() -> None:
    assert topological_order({"b": [], "a": [], "c": ["a"]}) == ["b", "a", "c"]


def test_a_chain_of_many_thousands_is_ordered() -> None:
    needs = {node: [node + 1] for node in range(20_000)}
    order = topological_order(needs)
    assert order == list(range(20_000, -1, -1))
    assert longest_chain(needs, order) == 20_001


def test_a_node_that_needs_itself_is_a_cycle() -> None:
    with pytest.raises(PlaceholderCycle) as caught:
        topological_order({"a": ["a"]})
    assert caught.value.details["cycle"] == ["a", "a"]
    assert pickle.loads(pickle.dumps(caught.value)).details == caught.value.details
