"""Prices the configured models from the list in the `genai-prices` package (no network).

Runs in the composition root: the list is large, and agents get endpoints that carry their price.
"""

from __future__ import annotations

import ipaddress
import logging
from decimal import Decimal
from urllib.parse import urlsplit

from ossa.contracts.agent_spec import Tier
from ossa.contracts.configuration import Endpoint, Models, PromptCache
from ossa.contracts.value import Value

log = logging.getLogger("ossa.cost")

_PROBE_TOKENS = 1000
"""Priced as a short call: a list with tiers by prompt size gives its first one."""


AUTOMATIC_STEP = 128
"""Tokens; OpenAI's prompt caching guide: prompts of 1,024 tokens and more are cached in increments of 128."""


class Price(Value):
    """USD for a million tokens. `cache`: what the provider's prompt cache charges; None: the list does not say."""

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cache: PromptCache | None = None


def priced(models: Models) -> Models:
    """The same settings, each endpoint with its price where settings gave none.

    A price in settings wins, also one of two. A model the list does not know
    keeps None, counts as free, and is warned about (`model_price_unknown`).
    """
    tiers = {tier: _priced(tier, endpoint) for tier, endpoint in models.tiers.items()}
    return models.model_copy(update={"tiers": tiers})


def find_price(model: str, base_url: str, *, price_as: str | None = None) -> Price | None:
    """The price list's answer for an endpoint; None when it has none.

    `price_as` (`gpt-4o`, or with its provider `openai/gpt-4o`) is looked up
    whatever the URL. Otherwise the URL names the provider; an unknown public
    host is looked up by the model's name alone, and a private one not at all:
    a model of one's own machine has no price by the token.
    """
    if price_as is not None:
        provider, _, name = price_as.partition("/")
        return (_look_up(name, provider=provider) if name else None) or _look_up(price_as)
    if _private(base_url):
        return None
    return _look_up(model, base_url=base_url) or _look_up(model)


def _priced(tier: Tier, endpoint: Endpoint) -> Endpoint:
    given = (endpoint.input_usd_per_mtok, endpoint.output_usd_per_mtok, endpoint.prompt_cache)
    if all(value is not None for value in given):
        return endpoint
    price = find_price(endpoint.model, endpoint.base_url, price_as=endpoint.price_as)
    if price is None:
        if None in given[:2]:
            log.warning("model_price_unknown", extra={"tier": tier, "model": endpoint.price_as or endpoint.model})
        return endpoint
    listed = {
        "input_usd_per_mtok": price.input_usd_per_mtok,
        "output_usd_per_mtok": price.output_usd_per_mtok,
        "prompt_cache": price.cache,
    }
    return endpoint.model_copy(
        update={name: value for name, value in listed.items() if getattr(endpoint, name) is None}
    )


def _look_up(model: str, *, provider: str | None = None, base_url: str | None = None) -> Price | None:
    # Imported on use: nothing else in this package needs the list.
    from genai_prices import Usage, calc_price

    where = {"provider_id": provider} if provider is not None else {"provider_api_url": base_url}
    n = _PROBE_TOKENS
    try:
        cost = calc_price(Usage(input_tokens=n, output_tokens=n), model, **where)
        read = calc_price(Usage(input_tokens=n, output_tokens=n, cache_read_tokens=n), model, **where)
        written = calc_price(Usage(input_tokens=n, output_tokens=n, cache_write_tokens=n), model, **where)
    except LookupError:
        return None
    return Price(
        input_usd_per_mtok=_per_million(cost.input_price),
        output_usd_per_mtok=_per_million(cost.output_price),
        cache=_cache(cost.input_price, read.input_price, written.input_price),
    )


def _cache(plain: Decimal, read: Decimal, written: Decimal) -> PromptCache | None:
    """None where the list has no price for what is read from the cache."""
    if not plain or not 0 <= read < plain:
        return None
    write = float(written / plain) if written > plain else 1.0
    # Who charges nothing for writing keeps prompts by itself, in steps.
    step = 1 if write > 1 else AUTOMATIC_STEP
    return PromptCache(read=float(read / plain), write=write, step_tokens=step)


def _per_million(price: Decimal) -> float:
    return float(price * 1_000_000 / _PROBE_TOKENS)


def _private(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".svc", ".localhost"))
    return not address.is_global
