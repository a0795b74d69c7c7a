"""What an endpoint claims to have used."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.contracts.budgets import MOST_CALL_USD
from ossa.contracts.configuration import Endpoint
from ossa.models.answers import MOST_TOKENS, price, read_usage

ENDPOINT = Endpoint(base_url="http://m/v1", model="m", input_usd_per_mtok=1.0, output_usd_per_mtok=10.0)
ASKED = [{"role": "user", "content": "hello"}]
SAID = {"role": "assistant", "content": "hi"}


def test_a_count_beyond_reason_is_bounded_and_so_is_its_cost() -> None:
    usage = read_usage({"prompt_tokens": 10**18, "completion_tokens": 18 * 10**18}, ENDPOINT, ASKED, SAID)
    assert (usage.prompt_tokens, usage.completion_tokens) == (MOST_TOKENS, MOST_TOKENS)
    assert usage.cost_usd == pytest.approx(MOST_TOKENS * 11 / 1e6)


@pytest.mark.parametrize("claimed", [-5, float("nan"), "9", None])
def test_what_is_no_count_counts_nothing(claimed: Any) -> None:
    usage = read_usage({"prompt_tokens": 7, "completion_tokens": claimed}, ENDPOINT, ASKED, SAID)
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 0)


@pytest.mark.parametrize(("usd_per_mtok", "cost"), [(float("inf"), MOST_CALL_USD), (1e300, MOST_CALL_USD), (0.0, 0.0)])
def test_no_call_costs_more_than_can_be_added_up(usd_per_mtok: float, cost: float) -> None:
    dear = ENDPOINT.model_copy(update={"input_usd_per_mtok": usd_per_mtok, "output_usd_per_mtok": usd_per_mtok})
    assert price(dear, 1000, 1000) == cost
