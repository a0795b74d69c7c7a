"""The token exchange: placeholders `{TYPE:namespace:scope:id}` in texts of ours become values just in time.

exchange = TokenExchange(standard_registry(fleet=snapshots, tasks=journal), cache=TieredCache(store))
template = Template.parse(Trusted("{STATE:pool:intelligence:ready} agents are ready. {INPUT:question}", "a prompt"))
(await exchange.resolve(template.fill({"question": Untrusted(text)}), tenant="acme")).text
"""

from ossa.vortex.exchange.cache import TieredCache
from ossa.vortex.exchange.call import ResolveCall, Resolver
from ossa.vortex.exchange.chat import ResolvedChat, TrustedMessage, UntrustedMessage, resolve_chat
from ossa.vortex.exchange.errors import (
    InvalidTemplate,
    PlaceholderCycle,
    PlaceholderLimit,
    ResolutionFailed,
    ResolverTimedOut,
    ResolverUnknown,
    ValueRefused,
)
from ossa.vortex.exchange.exchange import Exchanged, Resolved, ResolvedTexts, TokenExchange
from ossa.vortex.exchange.failure import (
    Degrade,
    Failure,
    FailureMode,
    Fallback,
    Propagate,
    Remedy,
    SkipDependants,
    StaleOk,
)
from ossa.vortex.exchange.fetch import Origin
from ossa.vortex.exchange.limits import ExchangeLimits
from ossa.vortex.exchange.placeholder import CURRENT, Placeholder, PlaceholderType
from ossa.vortex.exchange.registry import Registration, ResolverRegistry
from ossa.vortex.exchange.system_prompt import SystemPrompt, resolve_prompt
from ossa.vortex.exchange.template import Slot, Template, Trusted, Untrusted

__all__ = [
    "CURRENT",
    "Degrade",
    "ExchangeLimits",
    "Exchanged",
    "Failure",
    "FailureMode",
    "Fallback",
    "InvalidTemplate",
    "Origin",
    "Placeholder",
    "PlaceholderCycle",
    "PlaceholderLimit",
    "PlaceholderType",
    "Propagate",
    "Registration",
    "Remedy",
    "ResolutionFailed",
    "ResolveCall",
    "Resolved",
    "ResolvedChat",
    "ResolvedTexts",
    "Resolver",
    "ResolverRegistry",
    "ResolverTimedOut",
    "ResolverUnknown",
    "SkipDependants",
    "Slot",
    "StaleOk",
    "SystemPrompt",
    "Template",
    "TieredCache",
    "TokenExchange",
    "Trusted",
    "TrustedMessage",
    "Untrusted",
    "UntrustedMessage",
    "ValueRefused",
    "resolve_chat",
    "resolve_prompt",
]
