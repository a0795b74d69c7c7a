from __future__ import annotations

import logging

import pytest

from ossa.contracts.configuration import Endpoint, Models
from ossa.cost.prices import find_price, priced

OPENAI = "https://api.openai.com/v1"


def one(**endpoint: object) -> Models:
    return Models(tiers={"standard": Endpoint(**{"base_url": OPENAI, "model": "gpt-4o-mini", **endpoint})})


def test_a_known_model_gets_its_price_a_million_tokens() -> None:
    endpoint = priced(one()).tiers["standard"]
    assert (endpoint.input_usd_per_mtok, endpoint.output_usd_per_mtok) == (0.15, 0.6)


def test_a_price_in_settings_wins_also_one_of_two() -> None:
    both = priced(one(input_usd_per_mtok=7, output_usd_per_mtok=8)).tiers["standard"]
    assert (both.input_usd_per_mtok, both.output_usd_per_mtok) == (7, 8)
    half = priced(one(input_usd_per_mtok=0)).tiers["standard"]
    assert (half.input_usd_per_mtok, half.output_usd_per_mtok) == (0, 0.6)


def test_a_deployment_with_a_name_of_its_own_is_priced_as_settings_say() -> None:
    for name in ("gpt-4o-mini", "openai/gpt-4o-mini"):
        local = one(base_url="http://10.0.0.5:8080/v1", model="ours", price_as=name)
        assert priced(local).tiers["standard"].output_usd_per_mtok == 0.6


def test_an_unknown_model_stays_unpriced_and_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        endpoint = priced(one(model="no-such-model-9")).tiers["standard"]
    assert endpoint.input_usd_per_mtok is None
    assert [(r.message, r.__dict__["model"]) for r in caplog.records] == [("model_price_unknown", "no-such-model-9")]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "10.1.2.3", "[::1]", "vllm", "llm.svc", "box.local"])
def test_a_model_of_ones_own_machine_has_no_price_by_the_token(host: str) -> None:
    assert find_price("gpt-4o", f"http://{host}:8000/v1") is None


def test_an_unknown_public_host_is_priced_by_the_models_name() -> None:
    assert find_price("gpt-4o-mini", "https://llm.example.com/v1") is not None


def test_tiers_and_secrets_are_kept() -> None:
    models = one(api_key="sk-1")
    assert priced(models).tiers["standard"].api_key.get_secret_value() == "sk-1"
    assert priced(models).tiers.keys() == models.tiers.keys()
