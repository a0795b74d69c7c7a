"""Fits a turn's conversation into fewer tokens before it goes to the model.

Results of tools are offered to the task's owner, who has the compressor; what comes back is shown in their place where
the plan (`ossa.vortex.planning`) finds that no bill is higher for it. What the model misses it fetches back by a tool,
or by calling the same tool again. Nothing here fails a turn: what cannot be shortened is sent whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ossa.agent.conversation import Conversation, Entry, Shown
from ossa.agent.fetch import FETCH, fetch_tool
from ossa.agent.results import Result, results_of
from ossa.agent.tool_calls import calls_of
from ossa.contracts.compression import Compressed, CompressionOrder
from ossa.contracts.configuration import Endpoint, PromptCache, VortexSettings
from ossa.contracts.errors import OssaError
from ossa.contracts.turn import Ask, TurnSink
from ossa.models.estimate import CHARS_PER_TOKEN, message_tokens, prompt_tokens, text_tokens
from ossa.vortex.billing import Bill
from ossa.vortex.originals import handle_of
from ossa.vortex.planning import Part, plan

log = logging.getLogger("ossa.agent")

HINT = "\n[call again for more]"
HINT_TOKENS = 6
ANSWER_TOKENS = 512
"""Of the model's context, left for its answer."""

COMPLETE_TOKENS = 60
"""A content of so many tokens is written shorter where nothing is lost by it."""

SEEN_CHARS = 100_000
"""Of earlier results, what a new one is compared with."""

REPEAT_TOKENS = 16
"""Of the words that stand for a content that was shown before."""


class Fitted(NamedTuple):
    """What the model is to be shown from here on, by key; and whether it is offered the tool that fetches originals."""

    shown: dict[str, Shown]
    offer: bool


class Context:
    """One turn's.

    Args:
        fetches: whether the model can be offered the tool that fetches originals.
        again: says of a tool's name whether the model may simply call it again.
        max_calls: model calls the turn may make.
    """

    def __init__(
        self,
        settings: VortexSettings,
        endpoint: Endpoint,
        *,
        fetches: bool,
        again: Callable[[str], bool],
        max_calls: int,
    ) -> None:
        self._settings = settings
        self._cache = endpoint.prompt_cache or PromptCache()
        self._model = endpoint.model
        self._most_tokens = None if endpoint.context_tokens is None else _room(endpoint.context_tokens)
        self._tool_tokens = prompt_tokens((), [fetch_tool().function]) if fetches else 0
        self._again = again
        self._max_calls = max_calls
        self._found: dict[str, Compressed | None] = {}
        self._bill = Bill(self._cache)
        self._sent_at: float | None = None

    async def fit(self, talk: Conversation, sink: TurnSink, *, fixed_tokens: int) -> Fitted | None:
        """None: the model is shown no more shorter contents than so far.

        Args:
            fixed_tokens: of what is sent besides the messages.
        """
        entries = talk.entries()
        await self._shorten(entries, talk, sink)
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
            look_ups=self._settings.look_ups * (1 + sum(entry.name == FETCH for entry in entries)),
            calls_left=max(1, min(calls, self._max_calls - calls + 1)),
            banked=self._bill.banked,
            most_tokens=self._most_tokens,
        )
        tool = self._tool_tokens if made.offer else 0
        same = kept and made.offer == talk.fetchable
        self._count(entries, parts, made.short, fixed=fixed_tokens, tool=tool, same=same, kept=kept)
        self._sent_at = now
        hint = HINT if self._tool_tokens and not made.offer else ""
        shown: dict[str, Shown] = {}
        for number in sorted(made.short):
            found = self._found.get(entries[number].key)
            if found is not None and talk.shown(entries[number].key) is None:
                shown[entries[number].key] = _shown(found, hint if found.dropped else "")
        return Fitted(shown, made.offer) if shown else None

    async def _shorten(self, entries: Sequence[Entry], talk: Conversation, sink: TurnSink) -> None:
        """Have the owner make shorter forms of what is long and new; each content is asked for once."""
        wanted = self._wanted(results_of(entries), talk)
        if not wanted:
            return
        seen = _seen(entries, talk)
        orders = tuple(
            CompressionOrder(
                content=result.content,
                question=result.question,
                reduction=self._settings.reduction if self._is_long(result.content) else 0,
                model=self._model,
                seen=seen if self._is_long(result.content) else "",
            )
            for result in wanted
        )
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                answer = await sink.ask(Ask(compress=orders))
        except (OssaError, TimeoutError) as error:
            log.info("context_sent_whole", extra={"reason": type(error).__name__, "contents": len(orders)})
            return
        for result, found in zip(wanted, answer.compressed, strict=False):
            if found.handles and found.tokens_after < found.tokens_before:
                self._found[result.entry.key] = found

    def _wanted(self, results: Sequence[Result], talk: Conversation) -> list[Result]:
        """A content that stands in the conversation already is named instead.

        What is called again in the same words, because its result was shortened, goes whole: all of it is wanted.
        """
        wanted: list[Result] = []
        contents: set[str] = set()
        shortened: set[str] = set()
        for result in results:
            key, content = result.entry.key, result.content
            known = content in contents
            contents.add(content)
            if talk.shown(key) is not None:
                shortened.add(result.call)
            elif key not in self._found and len(content) >= COMPLETE_TOKENS * CHARS_PER_TOKEN:
                self._found[key] = None
                if result.entry.name == FETCH or (result.call and result.call in shortened):
                    continue
                if known and self._is_long(content):
                    self._found[key] = _named(content)
                else:
                    wanted.append(result)
        return wanted

    def _is_long(self, content: str) -> bool:
        return len(content) >= self._settings.min_tokens * CHARS_PER_TOKEN

    def _part(self, entry: Entry, talk: Conversation) -> Part:
        shown = talk.shown(entry.key) if entry.key else None
        if shown is not None:
            return Part(shown.tokens_before, shown.tokens_after, sent=entry.sent, as_short=True)
        found = self._found.get(entry.key) if entry.key else None
        if found is not None:
            if not found.dropped:
                return Part(found.tokens_before, found.tokens_after, sent=entry.sent, complete=True)
            short, again = found.tokens_after + HINT_TOKENS, self._again(entry.name)
            return Part(found.tokens_before, short, sent=entry.sent, again=again)
        return Part(message_tokens(entry.message), sent=entry.sent)

    def _count(
        self,
        entries: Sequence[Entry],
        parts: Sequence[Part],
        short: frozenset[int],
        *,
        fixed: int,
        tool: int,
        same: bool,
        kept: bool,
    ) -> None:
        """On the bill, as it is sent and as it would have been: without what look-ups added."""
        tokens = fixed + tool
        cached = tokens if same and self._sent_at is not None else 0
        whole = fixed
        whole_cached = fixed if kept and self._sent_at is not None else 0
        for number, (entry, part) in enumerate(zip(entries, parts, strict=True)):
            shorter = number in short
            size = (part.short or 0) if shorter else part.tokens
            same = same and part.sent and part.as_short == shorter
            tokens += size
            cached += size if same else 0
            if not _is_look_up(entry):
                whole += part.tokens
                whole_cached += part.tokens if part.sent and kept else 0
        if entries and _is_look_up(entries[-1]):
            self._bill.add_look_up(tokens=tokens, cached=cached)
        else:
            self._bill.add(tokens=tokens, cached=cached, whole_tokens=whole, whole_cached=whole_cached)


def _seen(entries: Sequence[Entry], talk: Conversation) -> str:
    """Results that the model was shown in earlier calls, as it was shown them; the latest ones."""
    found: list[str] = []
    room = SEEN_CHARS
    for entry in reversed(entries):
        if entry.key and entry.sent and room > 0:
            shown = talk.shown(entry.key)
            text = str(entry.message["content"]) if shown is None else shown.text
            found.append(text[-room:])
            room -= len(text)
    return "\n".join(reversed(found))


def _room(context_tokens: int) -> int:
    return max(context_tokens // 2, context_tokens - ANSWER_TOKENS)


def _is_look_up(entry: Entry) -> bool:
    """A fetch of what was left out, or its result."""
    calls = calls_of(entry.message)
    return entry.name == FETCH or (bool(calls) and all(call.name == FETCH for call in calls))


def _shown(found: Compressed, hint: str) -> Shown:
    return Shown(
        text=found.text + hint,
        tokens_before=found.tokens_before,
        tokens_after=found.tokens_after + (HINT_TOKENS if hint else 0),
        handle=found.handles[0] if found.handles else "",
    )


def _named(content: str) -> Compressed:
    handle = handle_of(content)
    return Compressed(
        text=f"[the same as an earlier result: {handle}]",
        tokens_before=text_tokens(content),
        tokens_after=REPEAT_TOKENS,
        fidelity=1.0,
        handles=(handle,),
    )
