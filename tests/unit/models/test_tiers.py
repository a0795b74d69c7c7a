from __future__ import annotations

import pytest

from ossa.contracts.agent_spec import ModelPreference
from ossa.contracts.configuration import Endpoint, Models
from ossa.contracts.errors import NotReady
from ossa.models.tiers import choose_endpoint, needs_embedded, with_embedded

SMALL = Endpoint(base_url="http://a/v1", model="small")
LARGE = Endpoint(base_url="http://b/v1", model="large")


def test_the_tier_asked_for_serves_when_it_is_configured() -> None:
    models = Models(tiers={"standard": SMALL, "premium": LARGE})
    choice = choose_endpoint(models, ModelPreference(tier="premium"))
    assert (choice.tier, choice.endpoint) == ("premium", LARGE)


def test_a_missing_tier_falls_back_to_standard_and_then_to_any() -> None:
    assert (
        choose_endpoint(Models(tiers={"premium": LARGE, "standard": SMALL}), ModelPreference(tier="specialized")).tier
        == "standard"
    )
    assert choose_endpoint(Models(tiers={"premium": LARGE}), ModelPreference(tier="lightweight")).tier == "premium"


def test_a_named_model_is_used_where_an_endpoint_has_it() -> None:
    models = Models(tiers={"standard": SMALL, "premium": LARGE})
    assert choose_endpoint(models, ModelPreference(tier="standard", model="large")).tier == "premium"
    assert choose_endpoint(models, ModelPreference(tier="standard", model="unknown")).tier == "standard"


def test_of_two_tiers_with_the_named_model_the_preferred_one_serves() -> None:
    models = Models(tiers={"lightweight": LARGE, "standard": SMALL, "premium": LARGE})
    assert choose_endpoint(models, ModelPreference(tier="premium", model="large")).tier == "premium"


def test_no_endpoint_at_all_says_what_to_set() -> None:
    with pytest.raises(NotReady, match="OSSA_MODELS"):
        choose_endpoint(Models(), ModelPreference())


def test_the_embedded_model_is_needed_only_without_tiers() -> None:
    assert needs_embedded(Models())
    assert not needs_embedded(Models(embedded=False))
    assert not needs_embedded(with_embedded(Models(), SMALL))
    assert with_embedded(Models(), SMALL).tiers == {"standard": SMALL}
