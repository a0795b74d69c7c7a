"""Fits a turn's conversation into fewer tokens before it goes to the model.

Results of tools are offered to the task's owner, who has the compressor; what comes back is shown in their place where
the plan (`ossa.vortex.planning`) finds that no bill is higher for it. What the model asks back is fetched by a tool.
Nothing here fails a turn: what cannot be shortened is sent whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from ossa.agent.conversation import Conversation, Entry, Shown
from ossa.agent.fetch import FETCH, fetch_tool
from ossa.agent.tool_calls import ToolCall, calls_of
from ossa.contracts.compression import Compressed, CompressionOrder
from ossa.contracts.configuration import Endpoint, PromptCache, VortexSettings
from ossa.contracts.errors import OssaError
from ossa.contracts.task import Message
from ossa.contracts.turn import Ask, TurnSink
from ossa.models.estimate import CHARS_PER_TOKEN, message_tokens, prompt_tokens, text_tokens
from ossa.vortex.billing import Bill
from ossa.vortex.originals import handle_of
from ossa.vortex.planning import Part, plan

log = logging.getLogger("ossa.agent")

QUESTION_CHARS = 2000
REPEAT_TOKENS = 16
"""Of the words that stand for a content that was shown before."""


class Context:
    """One turn's.

    Args:
        fetches: whether the model can be offered the tool that fetches originals.
        max_calls: model calls the turn may make.
    """

    def __init__(self, settings: VortexSettings, endpoint: Endpoint, *, fetches: bool, max_calls: int) -> None:
        self.fetches = fetches
        self._settings = settings
        self._cache = endpoint.prompt_cache or PromptCache()
        self._model = endpoint.model
        self._tool_tokens = prompt_tokens((), [fetch_tool().function]) if fetches else 0
        self._max_calls = max_calls
        self._found: dict[str, Compressed | None] = {}
        self._bill = Bill(self._cache)
        self._sent_at: float | None = None

    async def fit(self, talk: Conversation, sink: TurnSink, *, fixed_tokens: int) -> dict[str, Shown] | None:
        """What the model is to be shown shorter from here on; None: no more than so far.

        Args:
            fixed_tokens: of what is sent besides the messages.
        """
        entries = talk.entries()
        await self._shorten([entry for entry in entries if self._wants(entry, talk)], entries, sink)
        now = asyncio.get_running_loop().time()
        kept = self._sent_at is None or now - self._sent_at < self._cache.lifetime_s
        parts = [self._part(entry, talk) for entry in entries]
        calls = self._bill.calls + 1
        made = plan(
            parts,
            self._cache,
            fixed_tokens=fixed_tokens,
            tool_tokens=self._tool_tokens,
            offered=talk.fetchable,
            kept=kept,
            look_ups=self._settings.look_ups,
            calls_left=max(1, min(calls, self._max_calls - calls + 1)),
            banked=self._bill.banked,
        )
        self._count(parts, made.short, fixed_tokens, kept, offered=made.offer, was_offered=talk.fetchable)
        self._sent_at = now
        fresh = {entries[number].key for number in made.short} - {
            entry.key for entry in entries if talk.shown(entry.key)
        }
        return {key: _shown(found) for key in sorted(fresh) if (found := self._found.get(key))} or None

    def _wants(self, entry: Entry, talk: Conversation) -> bool:
        if not entry.key or entry.name == FETCH or entry.key in self._found or talk.shown(entry.key) is not None:
            return False
        return len(entry.message["content"]) >= self._settings.min_tokens * CHARS_PER_TOKEN

    async def _shorten(self, wanted: Sequence[Entry], entries: Sequence[Entry], sink: TurnSink) -> None:
        self._found.update(dict.fromkeys(entry.key for entry in wanted))
        wanted = self._without_repeats(wanted, entries)
        if not wanted:
            return
        questions = _questions(entries)
        orders = tuple(
            CompressionOrder(
                content=entry.message["content"],
                question=questions.get(entry.key, ""),
                reduction=self._settings.reduction,
                model=self._model,
            )
            for entry in wanted
        )
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await sink.ask(Ask(compress=orders))
        except (OssaError, TimeoutError) as error:
            log.info("context_sent_whole", extra={"reason": type(error).__name__, "contents": len(orders)})
            return
        for entry, found in zip(wanted, answer.compressed, strict=False):
            if found.handles and found.tokens_after < found.tokens_before:
                self._found[entry.key] = found

    def _without_repeats(self, wanted: Sequence[Entry], entries: Sequence[Entry]) -> list[Entry]:
        """A content that stands in the conversation already is named, and needs nobody."""
        first: dict[str, str] = {}
        for entry in entries:
            if entry.key:
                first.setdefault(entry.message["content"], entry.key)
        fresh: list[Entry] = []
        for entry in wanted:
            content = entry.message["content"]
            if first[content] == entry.key:
                fresh.append(entry)
            else:
                handle = handle_of(content)
                self._found[entry.key] = Compressed(
                    text=f"[the same as an earlier result: {handle}]",
                    tokens_before=text_tokens(content),
                    tokens_after=REPEAT_TOKENS,
                    fidelity=1.0,
                    handles=(handle,),
                )
        return fresh

    def _part(self, entry: Entry, talk: Conversation) -> Part:
        shown = talk.shown(entry.key) if entry.key else None
        if shown is not None:
            return Part(shown.tokens_before, shown.tokens_after, sent=entry.sent, as_short=True)
        found = self._found.get(entry.key) if entry.key else None
        if found is not None:
            return Part(found.tokens_before, found.tokens_after, sent=entry.sent)
        return Part(message_tokens(entry.message), sent=entry.sent)

    def _count(
        self,
        parts: Sequence[Part],
        short: frozenset[int],
        fixed_tokens: int,
        kept: bool,
        *,
        offered: bool,
        was_offered: bool,
    ) -> None:
        """On the bill, as it is sent and as it would have been."""
        whole = fixed_tokens + sum(part.tokens for part in parts)
        sent_whole = fixed_tokens + sum(part.tokens for part in parts if part.sent) if kept else 0
        tool = self._tool_tokens if offered else 0
        tokens = fixed_tokens + tool
        same = not (offered and not was_offered) and kept
        cached = tokens if same else 0
        for number, part in enumerate(parts):
            now = number in short
            size = (part.short or 0) if now else part.tokens
            tokens += size
            same = same and part.sent and part.as_short == now
            cached += size if same else 0
        self._bill.add(tokens=tokens, cached=cached, whole_tokens=whole, whole_cached=sent_whole)


def _shown(found: Compressed) -> Shown:
    return Shown(
        text=found.text,
        tokens_before=found.tokens_before,
        tokens_after=found.tokens_after,
        handle=found.handles[0] if found.handles else "",
    )


def _questions(entries: Sequence[Entry]) -> dict[str, str]:
    """What each tool was asked for: the last thing a user said before it, and the call.

    Only what came before counts, so that a caller who sends a conversation again, one message longer, has each result
    shortened as it was before.
    """
    found: dict[str, str] = {}
    calls: dict[str, ToolCall] = {}
    said = ""
    for entry in entries:
        message = entry.message
        if message.get("role") == "user":
            said = _text(message)[-QUESTION_CHARS:]
        calls.update({call.call_id: call for call in calls_of(message)})
        if entry.key:
            call = calls.get(str(message.get("tool_call_id")))
            found[entry.key] = f"{said}\n{call.name} {call.arguments[:QUESTION_CHARS]}" if call else said
    return found


def _text(message: Message) -> str:
    content: Any = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""
