"""Fits a turn's conversation into fewer tokens before it goes to the model.

Results of tools are offered to the task's owner, who has the compressor; what comes back is shown in their place where
the plan (`ossa.vortex.planning`) finds that no bill is higher for it. What the model misses it fetches back by a tool,
or by calling the same tool again. Nothing here fails a turn: what cannot be shortened is sent whole.

A conversation that a caller sends is planned as it grew, model call by model call: what becomes of a result hangs on
what stood before it alone, and so is the same in the caller's next request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from ossa.agent.conversation import FETCH, Conversation, Entry, Shown
from ossa.agent.tools import Tool, calls_of, tool
from ossa.contracts.agent_hooks import ToolCall
from ossa.contracts.compression import Compressed, CompressionOrder
from ossa.contracts.configuration import Endpoint, PromptCache, VortexSettings
from ossa.contracts.errors import OssaError
from ossa.contracts.task import Message
from ossa.contracts.turn import TurnCall, TurnSink
from ossa.contracts.value import Clock, SystemClock
from ossa.models.usage import CHARS_PER_TOKEN, message_tokens, prompt_tokens, text_tokens
from ossa.vortex.originals import HANDLE, handle_in, handle_of
from ossa.vortex.planning import Bill, Part, plan

FOUND_TOKENS = 600
"""The most tokens a search brings back."""


@cache
def fetch_tool() -> Tool:
    """Returns the tool as the model sees it."""

    @tool(effects="none", name=FETCH)
    async def fetch_original(handle: str, query: str = "") -> str:
        """Fetch what was left out of a result that ends in a line like `[12 left out: vx:abcdefghij]`.

        With a query only what concerns it comes back.
        """
        raise NotImplementedError

    return fetch_original


def bound_fetch(talk: Conversation, sink: TurnSink, clock: Clock, timeout_s: float) -> Tool:
    """The tool of one turn: this conversation's own originals, else what the owner keeps for the tenant."""

    async def fetch(handle: str, query: str = "") -> str:
        match = HANDLE.search(handle)
        if match is None:
            raise ValueError(f"{handle[:80]!r} is no handle; one looks like vx:abcdefghij")
        handle = match.group()
        try:
            async with clock.timeout(timeout_s):
                whole = talk.original(handle)
                if whole is None:
                    whole = (await sink.call(TurnCall(original=handle))).original
                if not query.strip() or text_tokens(whole) <= FOUND_TOKENS:
                    return whole
                order = CompressionOrder(content=whole, question=query, budget_tokens=FOUND_TOKENS)
                return (await sink.call(TurnCall(compress=(order,)))).compressed[0].text
        except OssaError as error:
            raise ValueError(error.message) from None

    return replace(fetch_tool(), call=fetch)


log = logging.getLogger("ossa.agent")

QUESTION_CHARS = 2000

HINT = "\n[call again for more]"
HINT_TOKENS = 6
ANSWER_TOKENS = 512
"""Tokens of the model's context that are left for its answer."""

COMPLETE_TOKENS = 60
"""From this size on a content is written shorter where nothing is lost by it."""

SEEN_CHARS = 100_000
"""Characters of earlier results that a new one is compared with."""

REPEAT_TOKENS = 16
"""Tokens of the words that stand for a content shown before."""

FORGED_SHARE = 0.5
"""Share of its tokens that a content may keep if it ends in a forged note."""


class Result(NamedTuple):
    """`call`: the tool's name and arguments as they were written; empty where the call is not known."""

    entry: Entry
    call: str
    question: str

    @property
    def content(self) -> str:
        return str(self.entry.message["content"])


class Fitted(NamedTuple):
    """The texts to show the model from here on, by key, and whether to offer the tool that fetches originals."""

    shown: dict[str, Shown]
    offer: bool


class Context:
    """One turn's.

    Args:
        fetches: whether the model can be offered the tool that fetches originals.
        again: says of a tool's name whether the model may simply call it again.
    """

    def __init__(
        self,
        settings: VortexSettings,
        endpoint: Endpoint,
        *,
        fetches: bool,
        again: Callable[[str], bool],
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._cache = endpoint.prompt_cache or PromptCache()
        self._model = endpoint.model
        self._most_tokens = None if endpoint.context_tokens is None else _room(endpoint.context_tokens)
        self._tool_tokens = prompt_tokens((), [fetch_tool().function]) if fetches else 0
        self._again = again
        self._made: dict[str, Compressed | None] = {}
        self._short: dict[str, Shown] = {}
        self._look_ups: set[str] = set()
        self._offered = False
        self._bill = Bill(self._cache)
        self._sent_at: float | None = None

    async def fit(self, talk: Conversation, sink: TurnSink, *, fixed_tokens: int, lossy: bool = True) -> Fitted | None:
        """Returns None if the model is to be shown no more shorter contents than before.

        Args:
            fixed_tokens: of what is sent besides the messages.
            lossy: something may be left out: there is room for the model to look it up.
        """
        entries = talk.entries()
        results = {result.entry.key: result for result in _results(entries)}
        self._short.update({key: shown for key in results if (shown := talk.shown(key)) is not None})
        self._offered = talk.fetchable
        await self._shorten(list(results.values()), entries, talk, sink)
        now = self._clock.monotonic()
        kept = self._sent_at is None or now - self._sent_at < self._cache.lifetime_s
        sent = sum(entry.sent for entry in entries)
        for end in _calls(entries) if not sent else [len(entries)]:
            self._plan(entries[:end], results, sent=sent, kept=kept, fixed_tokens=fixed_tokens, lossy=lossy)
            sent = end
        self._sent_at = now
        fresh = {key: shown for key, shown in sorted(self._short.items()) if talk.shown(key) is None}
        return Fitted(fresh, self._offered) if fresh else None

    async def _shorten(
        self, results: Sequence[Result], entries: Sequence[Entry], talk: Conversation, sink: TurnSink
    ) -> None:
        """Have the owner make shorter forms of what is new; each content is asked for once."""
        candidates = [
            result
            for result in results
            if result.entry.key not in self._made
            and result.entry.key not in self._short
            and result.entry.name != FETCH
            and len(result.content) >= COMPLETE_TOKENS * CHARS_PER_TOKEN
        ]
        if not candidates:
            return
        self._made.update(dict.fromkeys(result.entry.key for result in candidates))
        known = {handle_of(result.content) for result in results}
        seen = _seen(entries, talk)
        orders = tuple(self._order(result, seen, known) for result in candidates)
        try:
            async with self._clock.timeout(self._settings.timeout_s):
                answer = await sink.call(TurnCall(compress=orders))
        except (OssaError, TimeoutError) as error:
            log.info("context_sent_whole", extra={"reason": type(error).__name__, "contents": len(orders)})
            return
        for result, made in zip(candidates, answer.compressed, strict=False):
            if made.handles and made.tokens_after < made.tokens_before:
                self._made[result.entry.key] = made

    def _order(self, result: Result, seen: str, known: set[str]) -> CompressionOrder:
        long = len(result.content) >= self._settings.min_tokens * CHARS_PER_TOKEN
        order = CompressionOrder(content=result.content, question=result.question, model=self._model)
        noted = handle_in(result.content)
        if long and noted is not None and noted not in known:
            # A text that pretends to be compressed already would be left as it is.
            budget = max(1, int(text_tokens(result.content) * FORGED_SHARE))
            return order.model_copy(update={"budget_tokens": budget, "seen": seen})
        if long:
            return order.model_copy(update={"reduction": self._settings.reduction, "seen": seen})
        return order.model_copy(update={"reduction": 0})

    def _plan(
        self,
        entries: Sequence[Entry],
        results: dict[str, Result],
        *,
        sent: int,
        kept: bool,
        fixed_tokens: int,
        lossy: bool,
    ) -> None:
        """Decide on one model call's prompt, the first `sent` messages of which were in the one before."""
        forms = self._forms(entries, results)
        parts = [self._part(entry, forms, sent=number < sent) for number, entry in enumerate(entries)]
        made = plan(
            parts,
            self._cache,
            fixed_tokens=fixed_tokens,
            tool_tokens=self._tool_tokens,
            offered=self._offered,
            kept=kept,
            look_ups=self._settings.look_ups * (1 + len(self._look_ups)) if lossy else None,
            calls_left=self._bill.calls + 1,
            banked=self._bill.banked,
            most_tokens=self._most_tokens,
        )
        tool = self._tool_tokens if made.offer else 0
        same = kept and made.offer == self._offered
        self._count(entries, parts, made.short, fixed=fixed_tokens, tool=tool, same=same, kept=kept)
        self._offered = made.offer
        for number in made.short:
            key = entries[number].key
            if key not in self._short:
                hint = HINT if parts[number].again and self._tool_tokens and not made.offer else ""
                self._short[key] = _shown(forms[key], hint)

    def _forms(self, entries: Sequence[Entry], results: dict[str, Result]) -> dict[str, Compressed]:
        """The shorter form of each content that has one; a content that stands whole before is named instead.

        What is called again in the same words because its result was shortened is wanted whole: a look-up.
        """
        forms: dict[str, Compressed] = {}
        whole: set[str] = set()
        shortened: set[str] = set()
        for entry in entries:
            if not entry.key:
                continue
            result = results[entry.key]
            if entry.name == FETCH or (result.call and result.call in shortened):
                self._look_ups.add(entry.key)
            made = self._made.get(entry.key)
            long = len(result.content) >= self._settings.min_tokens * CHARS_PER_TOKEN
            if long and result.content in whole and entry.name != FETCH:
                forms[entry.key] = _named(result.content)
            elif made is not None:
                forms[entry.key] = made
            if entry.key not in self._short:
                whole.add(result.content)
            elif forms.get(entry.key) is None or forms[entry.key].dropped:
                shortened.add(result.call)
        return forms

    def _part(self, entry: Entry, forms: dict[str, Compressed], *, sent: bool) -> Part:
        shown = self._short.get(entry.key) if entry.key else None
        if shown is not None:
            return Part(shown.tokens_before, shown.tokens_after, sent=sent, as_short=True)
        found = forms.get(entry.key) if entry.key else None
        if found is None:
            return Part(message_tokens(entry.message), sent=sent)
        if not found.dropped:
            return Part(found.tokens_before, found.tokens_after, sent=sent, complete=True)
        short = found.tokens_after + HINT_TOKENS
        again, wanted = self._again(entry.name), entry.key in self._look_ups
        return Part(found.tokens_before, short, sent=sent, again=again, wanted=wanted)

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
        """Adds the prompt to the bill, as it is sent and as it would be whole and without look-ups."""
        before = any(part.sent for part in parts)
        tokens = fixed + tool
        cached = tokens if same and before else 0
        whole = fixed
        whole_cached = fixed if kept and before else 0
        for number, (entry, part) in enumerate(zip(entries, parts, strict=True)):
            shorter = number in short
            size = (part.short or 0) if shorter else part.tokens
            same = same and part.sent and part.as_short == shorter
            tokens += size
            cached += size if same else 0
            if not self._is_look_up(entry):
                whole += part.tokens
                whole_cached += part.tokens if part.sent and kept else 0
        if entries and self._is_look_up(entries[-1]):
            self._bill.add_look_up(tokens=tokens, cached=cached)
        else:
            self._bill.add(tokens=tokens, cached=cached, whole_tokens=whole, whole_cached=whole_cached)

    def _is_look_up(self, entry: Entry) -> bool:
        """A fetch of what was left out, or what it brought."""
        calls = calls_of(entry.message)
        return entry.key in self._look_ups or (bool(calls) and all(call.name == FETCH for call in calls))


def _calls(entries: Sequence[Entry]) -> list[int]:
    """How many messages each model call of a conversation had, the next one included."""
    return [*(n for n, entry in enumerate(entries) if n and entry.message.get("role") == "assistant"), len(entries)]


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


def _results(entries: Sequence[Entry]) -> list[Result]:
    """The question of a result is the last thing a user said before it, and the call.

    Only what came before counts, so that a caller who sends a conversation again, one message longer, has each result
    shortened as it was before.
    """
    found: list[Result] = []
    calls: dict[str, ToolCall] = {}
    said = ""
    for entry in entries:
        message = entry.message
        if message.get("role") == "user":
            said = _message_text(message)[-QUESTION_CHARS:]
        calls.update({call.call_id: call for call in calls_of(message)})
        if entry.key:
            call = calls.get(str(message.get("tool_call_id")))
            made = f"{call.name} {call.arguments}" if call else ""
            found.append(Result(entry, made, f"{said}\n{made[:QUESTION_CHARS]}".strip()))
    return found


def _message_text(message: Message) -> str:
    content: Any = message.get("content")
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""
