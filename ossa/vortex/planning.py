"""Decides which contents of a conversation go in their shorter form, so that no bill is higher for it.

A prompt that only ever loses tokens is never dearer, with three exceptions, each of which has its rule here:

- One that falls below the shortest prefix that a provider keeps is paid in full at every call. So a prompt that
  would be kept stays as long as that.
- The tool that fetches originals back stands before everything else in a prompt: once it is offered, what was kept
  is paid anew. So it is offered where the first saving is larger than that. Without it only those contents are
  shortened that another call of the same tool would bring back.
- What was left out may have to be fetched. So each saving has to pay for a look-up. A form in which nothing is missing
  (JSON with less around it) needs none of this.

A prompt that the model cannot take is shortened whatever it costs, by its largest savings first.

What was sent already stays as it was, but where its shortening gains more over the calls to come than it costs now,
and earlier savings of this conversation cover that cost should there be no further call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ossa.contracts.configuration import PromptCache


def prompt_cost(tokens: int, cached: int, cache: PromptCache) -> float:
    """Prices one prompt.

    Args:
        tokens: of the whole prompt.
        cached: how many of them, from its start, were in the last prompt and are still kept.
    """
    stored = _stored(tokens, cache)
    hit = min(_stored(cached, cache), stored)
    return hit * cache.read + (stored - hit) * cache.write + (tokens - stored)


def _stored(tokens: int, cache: PromptCache) -> int:
    """Returns the tokens of a prompt that the provider keeps: whole steps, and none of a short prompt."""
    return 0 if tokens < cache.min_prefix_tokens else tokens - tokens % cache.step_tokens


class Bill:
    """One conversation's prompts as they were sent, beside what they would have cost had nothing been shortened.

    `spent` and `whole` are in tokens at the full input price.
    """

    def __init__(self, cache: PromptCache) -> None:
        self._cache = cache
        self.spent = 0.0
        self.whole = 0.0
        self.calls = 0

    @property
    def banked(self) -> float:
        """Returns what shortening has saved so far; below zero, what it has cost."""
        return self.whole - self.spent

    def add(self, *, tokens: int, cached: int, whole_tokens: int, whole_cached: int) -> None:
        """Adds one model call."""
        self.spent += prompt_cost(tokens, cached, self._cache)
        self.whole += prompt_cost(whole_tokens, whole_cached, self._cache)
        self.calls += 1

    def add_look_up(self, *, tokens: int, cached: int) -> None:
        """Adds a call that follows a fetch of what was left out; a whole conversation would have done without."""
        self.spent += prompt_cost(tokens, cached, self._cache)
        self.calls += 1


LOOK_UP_TOKENS = 300
"""A look-up by search brings back so many tokens."""

ASK_TOKENS = 40
"""A look-up costs an answer of so many tokens, at the output price."""

CERTAIN = 0.5
"""The share of the expected calls that is counted on."""

OUTPUT_RATIO = 5.0
"""Output price over input price, of most models in price lists."""


@dataclass(frozen=True)
class Part:
    """One message. `tokens`: of its whole content; `short`: of its shorter form, None when it has none.

    `sent`: it was in the last prompt, in its shorter form when `as_short`. `again`: a tool brings it back when it is
    called again. `complete`: nothing is missing in the shorter form. `wanted`: the model asked for all of it, and it
    goes short only where the prompt would be too long.
    """

    tokens: int
    short: int | None = None
    sent: bool = False
    as_short: bool = False
    again: bool = False
    complete: bool = False
    wanted: bool = False

    @property
    def saving(self) -> int:
        return 0 if self.short is None else max(0, self.tokens - self.short)


@dataclass(frozen=True)
class Plan:
    """`short`: numbers of the parts to send in their shorter form. `offer`: with the tool that fetches originals."""

    short: frozenset[int]
    offer: bool


def plan(
    parts: Sequence[Part],
    cache: PromptCache,
    *,
    fixed_tokens: int = 0,
    tool_tokens: int = 0,
    offered: bool = False,
    kept: bool = True,
    look_ups: float | None = 1.0,
    calls_left: int = 1,
    banked: float = 0.0,
    most_tokens: int | None = None,
) -> Plan:
    """Decide on the prompt of one model call.

    Args:
        parts: the conversation's messages, in order; those that were sent come first.
        fixed_tokens: of what stands before them at every call (tools).
        tool_tokens: of the tool that fetches originals; 0: the model is not offered one, and nothing is fetched.
        offered: whether the last prompt had it.
        kept: whether the provider still keeps the last prompt.
        look_ups: how many look-ups a saving has to pay for; None: there is no room for any, nothing is left out.
        calls_left: model calls expected from here on, this one included.
        banked: what shortening has saved in this conversation, in tokens at the full input price.
        most_tokens: what the model takes; None: it is not known.
    """
    short = {number for number, part in enumerate(parts) if part.sent and part.as_short}
    tool = tool_tokens if offered else 0
    before = fixed_tokens + tool + sum(part.short or 0 if n in short else part.tokens for n, part in enumerate(parts))
    last = fixed_tokens + tool + sum(part.short or 0 if part.as_short else part.tokens for part in parts if part.sent)
    cached = last if kept and any(part.sent for part in parts) else 0
    look_up = cache.read * before + cache.write * LOOK_UP_TOKENS + ASK_TOKENS * OUTPUT_RATIO
    worth = cache.write + cache.read * CERTAIN * (calls_left - 1)
    # What earlier look-ups cost more than was saved is not risked again.
    least = None if look_ups is None or banked < 0 else look_ups * look_up
    fresh = [
        number
        for number, part in enumerate(parts)
        if (not part.sent or not kept)
        and number not in short
        and (part.saving > 0 if part.complete else least is not None and worth * part.saving > least)
        and not part.wanted
    ]
    fresh = _above_shortest(parts, fresh, before, cache)
    offer = offered
    if tool_tokens and not offered and not all(parts[number].complete for number in fresh):
        after = before - sum(parts[number].saving for number in fresh) + tool_tokens
        if after <= before and prompt_cost(after, 0, cache) <= prompt_cost(before, cached, cache):
            offer, cached = True, 0
        else:
            fresh = [number for number in fresh if parts[number].again or parts[number].complete]
    saving = sum(parts[number].saving for number in fresh)
    short.update(fresh)
    if kept and (offer or not tool_tokens) and cached:
        short.update(_rewritten(parts, short, before - saving, cached, cache, calls_left, banked, fixed_tokens + tool))
    if most_tokens is not None:
        forced = _forced(parts, short, fixed_tokens + (tool_tokens if offer else 0), most_tokens)
        offer = offer or (tool_tokens > 0 and any(not (parts[n].again or parts[n].complete) for n in forced))
        short.update(forced)
    return Plan(frozenset(short), offer)


def _forced(parts: Sequence[Part], short: set[int], fixed_tokens: int, most_tokens: int) -> set[int]:
    """Returns what has to go short besides, so that the prompt fits; everything where even that is not enough."""
    tokens = fixed_tokens + sum((part.short or 0) if n in short else part.tokens for n, part in enumerate(parts))
    numbers: set[int] = set()
    for number in sorted(range(len(parts)), key=lambda number: -parts[number].saving):
        if tokens <= most_tokens or not parts[number].saving:
            break
        if number not in short:
            numbers.add(number)
            tokens -= parts[number].saving
    return numbers


def _above_shortest(parts: Sequence[Part], fresh: list[int], before: int, cache: PromptCache) -> list[int]:
    """Drops the smallest savings while the prompt would fall below the shortest one that a provider keeps."""
    if before < cache.min_prefix_tokens:
        return []
    room = before - cache.min_prefix_tokens
    taken: list[int] = []
    for number in sorted(fresh, key=lambda number: -parts[number].saving):
        if parts[number].saving <= room:
            taken.append(number)
            room -= parts[number].saving
    return taken


def _rewritten(
    parts: Sequence[Part],
    short: set[int],
    tokens: int,
    cached: int,
    cache: PromptCache,
    calls_left: int,
    banked: float,
    at: int,
) -> set[int]:
    """Parts that were sent whole and are now worth shortening: all of them from the best place on, or none."""
    best: tuple[float, set[int]] = (0.0, set())
    as_it_is = prompt_cost(tokens, cached, cache)
    starts = {}
    for number, part in enumerate(parts):
        starts[number] = at
        at += (part.short or 0) if number in short else part.tokens
    numbers: set[int] = set()
    saving = 0
    for number in reversed(range(len(parts))):
        part = parts[number]
        if not part.sent or number in short or part.saving <= 0 or part.wanted:
            continue
        numbers = numbers | {number}
        saving += part.saving
        if tokens - saving < cache.min_prefix_tokens:
            break
        loss = prompt_cost(tokens - saving, min(cached, starts[number]), cache) - as_it_is
        gain = (calls_left - 1) * cache.read * saving - loss
        if gain > best[0] and loss <= banked:
            best = gain, numbers
    return best[1]
