"""Limits. One that is understood but wrong is an error: a limit that is silently ignored is none."""

from __future__ import annotations

from collections.abc import Mapping

from ossa.contracts.agent_spec import Limits
from ossa.manifest.layout import Rule, Unit
from ossa.manifest.place import Place

_CURRENCIES = {"", "USD", "US$", "$"}


def read_limits(root: Place, table: Mapping[str, tuple[Rule, ...]]) -> Limits:
    """Every written rule is checked; the first that holds a value counts. Raises `ManifestError`."""
    found: dict[str, float | int] = {}
    for name, rules in table.items():
        values = [value for rule in rules if (value := _read(root.at(*rule.path), rule.unit)) is not None]
        if values:
            found[name] = values[0]
    return Limits.model_validate(found)


def _read(place: Place, unit: Unit) -> float | int | None:
    if place.value is None:
        return None
    if unit is Unit.USD:
        _check_currency(place)
        return place.real(0, "an amount in US dollars of at least 0")
    if unit is Unit.SECONDS:
        return place.seconds()
    if unit is Unit.MILLISECONDS:
        return place.seconds(0.001)
    return place.whole(1)


def _check_currency(amount: Place) -> None:
    """An amount in another currency cannot be enforced: costs are counted in US dollars."""
    currency = Place.root(amount.tree, amount.env).at(*map(str, amount.path[:-1])).at("currency")
    if currency.text_or("").upper() not in _CURRENCIES:
        raise currency.fail("USD, in which costs are counted")
