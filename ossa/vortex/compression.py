"""`compress`: split, score, choose, check the floor, render. Needs no server and no network."""

from __future__ import annotations

from ossa.contracts.compression import KINDS, Compressed, Kind
from ossa.contracts.errors import InvalidRequest
from ossa.vortex.fidelity import fidelity
from ossa.vortex.originals import Originals, handle_in, handle_of
from ossa.vortex.piece import FEW_TOKENS, note_of
from ossa.vortex.selection import TERSE_TOKENS, Selection
from ossa.vortex.tokens import counter_for
from ossa.vortex.vectors import Encoder

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
        question: what the content is wanted for; empty: nothing in particular.
        reduction: share of the tokens to leave out, 0 to below 1 (0.85 when neither this nor a budget is given). With 0
            nothing is left out, and JSON is written with less around it.
        budget_tokens: the most tokens the result may have, its closing note (a dozen) apart where not even that fits.
            The floor does not widen it. Give this or `reduction`.
        kind: of the whole content, when it is known; else it is found out, stretch by stretch.
        floor: give more room than was asked for where the kind's fidelity floor or a protected piece needs it.
        model: whose vocabulary tokens are counted in.
        originals: where the original goes, so that its handle can be followed.
        seen: what the reader has before it already, such as earlier results in a conversation: lines that stand there
            too go first, and those that differ in numbers alone are worth less.
        encoder: a larger one of yours in place of the static word vectors: texts to an array (texts, dimensions). It
            decides the speed; floors and weights were measured with the word vectors.

    Raises:
        InvalidRequest: names the argument. Any text is taken; nothing that is in it raises.
    """
    _check(content, reduction, budget_tokens, kind)
    counter = counter_for(model)
    before = counter.count(content)
    budget = (
        budget_tokens if budget_tokens is not None else int(before * (1 - (0.85 if reduction is None else reduction)))
    )
    small = before <= SMALL_TOKENS and floor and budget_tokens is None
    again = budget_tokens is None and handle_in(content) is not None
    rewrite = reduction == 0
    if (before <= budget and not rewrite) or small or again:
        return Compressed(text=content, tokens_before=before, tokens_after=before, fidelity=1.0)
    handle = handle_of(content)
    work = Selection(content, question, kind, counter, terse=before <= TERSE_TOKENS, encoder=encoder, seen=seen)
    tight = budget < FEW_TOKENS or rewrite
    note = note_of(len(work.pieces), handle, tight=tight)
    room = max(0, budget - counter.count(f"\n{note}"))
    kept = work.everything() if rewrite else work.choose(room)
    widened = False
    if floor and budget_tokens is None and not rewrite:
        wider = work.widen(room, kept, before)
        widened = wider is not None
        kept = wider if wider is not None else kept
    text, kept = work.fit(kept, handle, None if widened or rewrite else budget, tight=tight)
    after = counter.count(text)
    if after >= before:
        return Compressed(text=content, tokens_before=before, tokens_after=before, fidelity=1.0, kinds=work.kinds())
    if originals is not None:
        originals.put(content, tenant=tenant)
    return Compressed(
        text=text,
        tokens_before=before,
        tokens_after=after,
        fidelity=round(fidelity(work.scored.vectors, kept), 4),
        handles=(handle,),
        dropped=work.left_out(kept),
        kinds=work.kinds(),
        widened=widened,
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
