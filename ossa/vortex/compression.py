"""`compress`: split, score, choose, check the floor, render. Needs no server and no network."""

from __future__ import annotations

from ossa.contracts.compression import KINDS, Compressed, Kind
from ossa.contracts.errors import InvalidRequest
from ossa.vortex.originals import Originals, handle_in, handle_of
from ossa.vortex.piece import FEW_TOKENS, note_of
from ossa.vortex.selection import TERSE_TOKENS, Selection
from ossa.vortex.tokens import TokenCounter, counter_for
from ossa.vortex.vectors import Encoder, fidelity

MAX_CHARS = 20_000_000
"""Longer contents are refused."""

SMALL_TOKENS = 48
"""A content of so few tokens is left as it is."""


def compress(
    content: str,
    question: str = "",
    *,
    reduction: float | None = None,
    budget_tokens: int | None = None,
    kind: Kind | None = None,
    floor: bool = True,
    model: str = "",
    originals: Originals | None = None,
    tenant: str = "default",
    seen: str = "",
    encoder: Encoder | None = None,
) -> Compressed:
    """Leave out of a content what the question needs least.

    What is compressed already is left as it is, unless it is over a budget.

    Args:
        question: what the content is needed for; empty: nothing in particular.
        reduction: share of the tokens to leave out, 0 to below 1 (0.85 when neither this nor a budget is given). With 0
            nothing is left out, and JSON is written with less around it.
        budget_tokens: the most tokens of the result; its closing note (a dozen) may exceed them. The floor does not
            widen it. Give this or `reduction`.
        kind: of the whole content, when it is known; else each stretch is classified.
        floor: give more room than was asked for where the kind's fidelity floor or a protected piece needs it.
        model: whose vocabulary tokens are counted in.
        originals: where the original goes, so that its handle can be followed.
        seen: text that the reader has already, such as earlier results in a conversation: its lines go first, and
            lines that differ from them in numbers alone are worth less.
        encoder: replaces the static word vectors: texts to an array (texts, dimensions). It decides the speed; floors
            and weights were measured with the word vectors.

    Raises:
        InvalidRequest: names the argument. Any text is taken; nothing that is in it raises.
    """
    _check(content, reduction, budget_tokens, kind)
    counter = counter_for(model)
    before = counter.count(content)
    share = 0.85 if reduction is None else reduction
    budget = budget_tokens if budget_tokens is not None else int(before * (1 - share))
    rewrite = reduction == 0
    whole = Compressed(text=content, tokens_before=before, tokens_after=before, fidelity=1.0)
    small = (before <= SMALL_TOKENS and floor) or handle_in(content) is not None
    if (before <= budget and not rewrite) or (small and budget_tokens is None):
        return whole
    handle = handle_of(content)
    work = Selection(content, question, kind, counter, terse=before <= TERSE_TOKENS, encoder=encoder, seen=seen)
    shorter = _shortened(work, counter, handle, before, budget, widen=floor and budget_tokens is None, rewrite=rewrite)
    if shorter.tokens_after >= before:
        return whole.model_copy(update={"kinds": shorter.kinds})
    if originals is not None:
        originals.put(content, tenant=tenant)
    return shorter


def _shortened(
    work: Selection, counter: TokenCounter, handle: str, before: int, budget: int, *, widen: bool, rewrite: bool
) -> Compressed:
    """Selects within the budget. `widen`: the floor may exceed it. `rewrite`: everything stays, in fewer characters."""
    tight = budget < FEW_TOKENS or rewrite
    note = note_of(len(work.pieces), handle, tight=tight)
    room = max(0, budget - counter.count(f"\n{note}"))
    kept = work.everything() if rewrite else work.choose(room)
    wider = work.widen(room, kept, before) if widen and not rewrite else None
    kept = kept if wider is None else wider
    text, kept = work.fit(kept, handle, None if wider is not None or rewrite else budget, tight=tight)
    return Compressed(
        text=text,
        tokens_before=before,
        tokens_after=counter.count(text),
        fidelity=round(fidelity(work.scored.vectors, kept), 4),
        handles=(handle,),
        dropped=work.left_out(kept),
        kinds=work.kinds(),
        widened=wider is not None,
    )


def _check(content: object, reduction: float | None, budget_tokens: int | None, kind: str | None) -> None:
    if not isinstance(content, str):
        raise InvalidRequest(f"content must be text, not {type(content).__name__}", param="content")
    if len(content) > MAX_CHARS:
        raise InvalidRequest(f"content has {len(content):,} characters; at most {MAX_CHARS:,}", param="content")
    if reduction is not None and budget_tokens is not None:
        raise InvalidRequest("give reduction or budget_tokens, not both", param="budget_tokens")
    if reduction is not None and not 0 <= reduction < 1:
        raise InvalidRequest(f"reduction must be at least 0 and below 1, not {reduction}", param="reduction")
    if budget_tokens is not None and budget_tokens < 1:
        raise InvalidRequest(f"budget_tokens must be at least 1, not {budget_tokens}", param="budget_tokens")
    if kind is not None and kind not in KINDS:
        raise InvalidRequest(f"kind must be one of {', '.join(KINDS)}, not {kind!r}", param="kind")
