"""The model a manifest prefers, and its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ossa.contracts.agent_spec import ModelPreference, Tier
from ossa.manifest.expand import unresolved
from ossa.manifest.fields.tiers import TIERS, guess_tier
from ossa.manifest.layout import Keys
from ossa.manifest.place import Place


def read_model(root: Place, paths: Sequence[Keys]) -> ModelPreference:
    """From `{provider, model|name, temperature, maxTokens, …}`, `{…, parameters: {…}}` or the bare name.

    A variable that is not set and has no default counts as not written.
    Raises `ManifestError` for a parameter that is no number.
    """
    for path in paths:
        place = root.at(*path).followed()
        if isinstance(place.value, dict):
            return _from_mapping(place)
        name = _word(place)
        if name:
            provider = _word(root.at(*path[:-1], "provider"))
            return ModelPreference(tier=guess_tier(name), provider=provider, model=name)
    return ModelPreference()


def _from_mapping(place: Place) -> ModelPreference:
    name = next((word for key in ("model", "name", "id") if (word := _word(place.at(key)))), None)
    tier = _word(place.at("tier"))
    return ModelPreference(
        tier=cast(Tier, tier) if tier in TIERS else guess_tier(name),
        provider=_word(place.at("provider")),
        model=name,
        temperature=_parameter(place, "temperature").real(0, "a number of at least 0"),
        max_tokens=_parameter(place, "maxTokens", "max_tokens").whole(1),
        top_p=_parameter(place, "topP", "top_p").real(0, "a number from 0 to 1"),
    )


def _parameter(place: Place, *names: str) -> Place:
    """The first of `names` that is written, here or under `parameters`."""
    spots = [spot.at(name) for spot in (place, place.at("parameters")) for name in names]
    return next((spot for spot in spots if spot.value is not None), spots[0])


def _word(place: Place) -> str | None:
    text = place.text_or("")
    return None if not text or unresolved(text) else text
