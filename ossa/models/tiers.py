"""Which endpoint serves a manifest's model preference. Pure."""

from __future__ import annotations

from ossa.contracts.agent_spec import ModelPreference, Tier
from ossa.contracts.configuration import Endpoint, Models
from ossa.contracts.errors import NotReady
from ossa.contracts.routing import TierInfo
from ossa.contracts.value import Value


class Choice(Value):
    """`tier` is the one the endpoint is configured under, not the one asked for."""

    tier: Tier
    endpoint: Endpoint


def choose_endpoint(models: Models, preference: ModelPreference) -> Choice:
    """The endpoint whose model the manifest names, else its tier's, else `standard`'s, else any.

    Raises `NotReady` when settings know no endpoint at all.
    """
    order: list[Tier] = [preference.tier, "standard", *models.tiers]
    configured = [tier for tier in dict.fromkeys(order) if tier in models.tiers]
    if not configured:
        raise NotReady("no model endpoint is configured: set OSSA_MODELS__TIERS or leave OSSA_MODELS__EMBEDDED on")
    if preference.model:
        for tier in configured:
            if models.tiers[tier].model == preference.model:
                return Choice(tier=tier, endpoint=models.tiers[tier])
    return Choice(tier=configured[0], endpoint=models.tiers[configured[0]])


def tier_infos(models: Models) -> dict[Tier, TierInfo]:
    """The endpoints as routing sees them, without address and key."""
    return {
        tier: TierInfo(
            tier=tier,
            model=endpoint.model,
            input_usd_per_mtok=endpoint.input_usd_per_mtok,
            output_usd_per_mtok=endpoint.output_usd_per_mtok,
            context_tokens=endpoint.context_tokens,
        )
        for tier, endpoint in models.tiers.items()
    }


def needs_embedded(models: Models) -> bool:
    """Whether the embedded model has to be started for these settings."""
    return models.embedded and not models.tiers


def with_embedded(models: Models, endpoint: Endpoint) -> Models:
    """The settings with the embedded model as the `standard` tier."""
    return models.model_copy(update={"tiers": {**models.tiers, "standard": endpoint}})
