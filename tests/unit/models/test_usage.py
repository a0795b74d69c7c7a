"""What an endpoint claims to have used."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.contracts.budgets import MOST_CALL_USD
from ossa.contracts.configuration import Endpoint, PromptCache
from ossa.models.usage import MOST_ANSWER_TOKENS, price, read_usage

ENDPOINT = Endpoint(base_url="http://m/v1", model="m", input_usd_per_mtok=1.0, output_usd_per_mtok=10.0)
ASKED = [{"role": "user", "content": "hello"}]
SAID = {"role": "assistant", "content": "hi"}


def test_a_count_beyond_reason_is_bounded_and_so_is_its_cost() -> None:
    usage = read_usage({"prompt_tokens": 10**18, "completion_tokens": 18 * 10**18}, ENDPOINT, ASKED, SAID)
    assert usage.prompt_tokens < 101_000
    assert usage.completion_tokens == MOST_ANSWER_TOKENS
    assert usage.cost_usd == pytest.approx((usage.prompt_tokens + 10 * MOST_ANSWER_TOKENS) / 1e6)


def test_a_long_prompt_is_believed() -> None:
    asked = [{"role": "user", "content": "word " * 200_000}]
    assert (
        read_usage({"prompt_tokens": 210_000, "completion_tokens": 1}, ENDPOINT, asked, SAID).prompt_tokens == 210_000
    )


@pytest.mark.parametrize("claimed", [9, 9.0, "9", " 9 "])
def test_a_count_may_come_as_a_float_or_a_text(claimed: Any) -> None:
    usage = read_usage({"prompt_tokens": 7, "completion_tokens": claimed}, ENDPOINT, ASKED, SAID)
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 9)


CACHED_FORMS: dict[str, dict[str, Any]] = {
    "openai": {"prompt_tokens_details": {"cached_tokens": 800}},
    "vllm": {"prompt_tokens_details": {"cached_tokens": 800, "text_tokens": None}},
    "deepseek": {"prompt_cache_hit_tokens": 800, "prompt_cache_miss_tokens": 200},
    "moonshot": {"cached_tokens": 800},
    "anthropic-compatible": {"cache_read_input_tokens": 800},
    "openrouter": {"prompt_tokens_details": {"cached_tokens": 800}, "cost": 0.1},
    "both at once": {"prompt_tokens_details": {"cached_tokens": 800}, "cached_tokens": 800},
}


@pytest.mark.parametrize("form", CACHED_FORMS)
def test_cached_tokens_are_priced_once_in_each_provider_s_form(form: str) -> None:
    endpoint = ENDPOINT.model_copy(
        update={"input_usd_per_mtok": 2.0, "output_usd_per_mtok": 10.0, "prompt_cache": PromptCache(read=0.1)}
    )
    usage = read_usage({"prompt_tokens": 1000, "completion_tokens": 100, **CACHED_FORMS[form]}, endpoint, ASKED, SAID)
    assert usage.cached_tokens == 800
    assert round(usage.cost_usd * 1e9) == 200 * 2000 + 800 * 200 + 100 * 10_000


@pytest.mark.parametrize("claimed", [-5, float("nan"), "many", True, [9], None])
def test_what_is_no_count_counts_nothing(claimed: Any) -> None:
    usage = read_usage({"prompt_tokens": 7, "completion_tokens": claimed}, ENDPOINT, ASKED, SAID)
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 0)


@pytest.mark.parametrize(("usd_per_mtok", "cost"), [(float("inf"), MOST_CALL_USD), (1e300, MOST_CALL_USD), (0.0, 0.0)])
def test_no_call_costs_more_than_can_be_added_up(usd_per_mtok: float, cost: float) -> None:
    dear = ENDPOINT.model_copy(update={"input_usd_per_mtok": usd_per_mtok, "output_usd_per_mtok": usd_per_mtok})
    assert price(dear, 1000, 1000) == cost
