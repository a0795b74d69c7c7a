"""A manifest's system prompt, resolved so that prompts begin alike.

Providers keep a prompt by its beginning. What changes by the minute (STATE, METRICS, TEMPORAL) would make each
conversation's beginning another: it is named where it was written, and its value comes at the end.

    You watch {STATE:pool:intelligence:ready} agents for {CONTEXT:agent:current:card}

becomes `You watch [pool intelligence ready] agents for ...` and, after everything else that stays,
`Now: [pool intelligence ready] = 12`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ossa.vortex.exchange.exchange import TokenExchange
from ossa.vortex.exchange.failure import Failure
from ossa.vortex.exchange.placeholder import CURRENT, REFERENCE, Placeholder, PlaceholderType
from ossa.vortex.exchange.template import Template

VOLATILE = frozenset({PlaceholderType.STATE, PlaceholderType.METRICS, PlaceholderType.TEMPORAL})


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """`text` begins the prompt, `values` end the system message; empty where nothing in it changes."""

    text: str
    values: str
    failures: tuple[Failure, ...] = ()


async def resolve_prompt(
    exchange: TokenExchange, role: str, *, tenant: str, bindings: Mapping[str, str] | None = None
) -> SystemPrompt:
    """What begins like a placeholder and is none, and `{INPUT:...}`, stays text: a role may well speak of such things.

    Raises what `TokenExchange.resolve` raises.
    """
    volatile: dict[Placeholder, None] = {}
    pieces: list[Template] = []
    for part in _parts(role):
        if isinstance(part, Placeholder) and part.type in VOLATILE:
            volatile[part] = None
            pieces.append(Template((_label(part),)))
        else:
            pieces.append(Template((part,)))
    values: list[Template] = []
    for placeholder in volatile:
        values += [Template((f"{', ' if values else 'Now: '}{_label(placeholder)} = ",)), Template((placeholder,))]
    found = await exchange.resolve_all([Template.of(*pieces), Template.of(*values)], tenant=tenant, bindings=bindings)
    return SystemPrompt(found.texts[0], found.texts[1], found.failures)


def _parts(role: str) -> Iterator[str | Placeholder]:
    """Text and placeholders, in order. A backslash makes a placeholder text."""
    at = 0
    for match in REFERENCE.finditer(role):
        escaped = role[match.start() - 1 : match.start()] == "\\"
        before = role[at : match.start() - escaped]
        if before:
            yield before
        yield match.group() if escaped else Placeholder.of_match(match)
        at = match.end()
    if role[at:]:
        yield role[at:]


def _label(placeholder: Placeholder) -> str:
    scope = "" if placeholder.scope == CURRENT else f"{placeholder.scope} "
    return f"[{placeholder.namespace} {scope}{placeholder.id}]"
