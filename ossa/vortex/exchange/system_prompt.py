"""A manifest's system prompt, resolved so that prompts begin alike.

Providers cache a prompt by its beginning. Values that change by the minute (STATE, METRICS, TEMPORAL) would make each
conversation's beginning another: they are named where they were written, and valued at the end.

    You watch {STATE:pool:intelligence:ready} agents for {CONTEXT:agent:current:card}

becomes `You watch [pool intelligence ready] agents for ...` and, after everything else that stays,
`Now: [pool intelligence ready] = 12`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ossa.vortex.exchange.exchange import Failure, TokenExchange
from ossa.vortex.exchange.template import CURRENT, Placeholder, PlaceholderType, Template, Trusted

VOLATILE = frozenset({PlaceholderType.STATE, PlaceholderType.METRICS, PlaceholderType.TEMPORAL})


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """`text` begins the prompt; `values` end the system message, and are empty where nothing in it changes."""

    text: str
    values: str
    failures: tuple[Failure, ...] = ()


async def resolve_prompt(
    exchange: TokenExchange, role: str, *, tenant: str, bindings: Mapping[str, str] | None = None
) -> SystemPrompt:
    """Resolve the role of a manifest, which whoever may change the fleet wrote.

    Raises what `TokenExchange.resolve` raises.
    """
    template = Template.parse(Trusted(role))
    volatile = [placeholder for placeholder in template.placeholders if placeholder.type in VOLATILE]
    labels = {placeholder: _label(placeholder) for placeholder in volatile}
    text = Template(tuple(labels.get(part, part) if isinstance(part, Placeholder) else part for part in template.parts))
    values: list[str | Placeholder] = []
    for placeholder, label in labels.items():
        values += [f"{', ' if values else 'Now: '}{label} = ", placeholder]
    resolved = await exchange.resolve(text, Template(tuple(values)), tenant=tenant, bindings=bindings)
    return SystemPrompt(resolved.texts[0], resolved.texts[1], resolved.failures)


def _label(placeholder: Placeholder) -> str:
    scope = "" if placeholder.scope == CURRENT else f"{placeholder.scope} "
    return f"[{placeholder.namespace} {scope}{placeholder.id}]"
