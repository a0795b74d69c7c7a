"""Chat messages with placeholders in those that are ours.

A message's role says nothing about who wrote it: a client may send a `system` message as well.
So the caller says message by message; what it does not call trusted is handed on as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ossa.contracts.task import Message
from ossa.vortex.exchange.exchange import Exchanged, TokenExchange
from ossa.vortex.exchange.failure import Failure, FailureMode
from ossa.vortex.exchange.template import Template


@dataclass(frozen=True, slots=True)
class TrustedMessage:
    """A message of ours, such as the manifest's system prompt."""

    role: str
    template: Template


@dataclass(frozen=True, slots=True)
class UntrustedMessage:
    """A message of a user, a model or a tool, whatever role it claims."""

    message: Message


@dataclass(frozen=True, slots=True)
class ResolvedChat:
    """`messages` in the order given; an untrusted one is the very object that was given."""

    messages: list[Message]
    resolved: tuple[Exchanged, ...] = ()
    failures: tuple[Failure, ...] = ()


async def resolve_chat(
    exchange: TokenExchange,
    chat: Sequence[TrustedMessage | UntrustedMessage],
    *,
    tenant: str,
    bindings: Mapping[str, str] | None = None,
    on_failure: FailureMode | None = None,
) -> ResolvedChat:
    """Resolve the trusted messages in one go. Raises what `TokenExchange.resolve` raises."""
    found = await exchange.resolve_all(
        [piece.template for piece in chat if isinstance(piece, TrustedMessage)],
        tenant=tenant,
        bindings=bindings,
        on_failure=on_failure,
    )
    texts = iter(found.texts)
    messages = [
        {"role": piece.role, "content": next(texts)} if isinstance(piece, TrustedMessage) else piece.message
        for piece in chat
    ]
    return ResolvedChat(messages, found.resolved, found.failures)
