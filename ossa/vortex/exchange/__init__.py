"""The token exchange: placeholders `{TYPE:namespace:scope:id}` in trusted texts become values just in time.

exchange = TokenExchange(standard_registry(fleet=snapshots, tasks=journal), cache=TieredCache(store))
template = Template.parse(Trusted("{STATE:pool:intelligence:ready} agents are ready."))
(await exchange.resolve(template, tenant="acme")).text
"""

from ossa.vortex.exchange.cache import TieredCache
from ossa.vortex.exchange.exchange import ExchangeLimits, Failure, Resolved, TokenExchange
from ossa.vortex.exchange.registry import Registration, ResolveCall, Resolver, ResolverRegistry
from ossa.vortex.exchange.system_prompt import SystemPrompt, resolve_prompt
from ossa.vortex.exchange.template import (
    CURRENT,
    InvalidTemplate,
    Placeholder,
    PlaceholderCycle,
    PlaceholderLimit,
    PlaceholderType,
    Template,
    Trusted,
)

__all__ = [
    "CURRENT",
    "ExchangeLimits",
    "Failure",
    "InvalidTemplate",
    "Placeholder",
    "PlaceholderCycle",
    "PlaceholderLimit",
    "PlaceholderType",
    "Registration",
    "ResolveCall",
    "Resolved",
    "Resolver",
    "ResolverRegistry",
    "SystemPrompt",
    "Template",
    "TieredCache",
    "TokenExchange",
    "Trusted",
    "resolve_prompt",
]
