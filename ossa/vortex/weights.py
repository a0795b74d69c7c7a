"""Weights of a score's parts, set by hand, and floors of fidelity, by kind. Trained weights are in `ranking`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ossa.contracts.compression import Kind


@dataclass(frozen=True)
class Weights:
    """Weights of the parts of a score. `lexical` and `meaning` are the piece's, `group_*` those of its group.

    `spread`: standard deviation, in pieces, of the bell over which the score of a piece's neighbours counts.
    `named`: for what the question calls by name. `odd`: for a rare template. `prior`: for a piece's prior.
    `title`: for a group whose title the question says; `bridge`: for one whose title the best pieces say (the second
    step of a question that needs two); `first`: for a group's first piece, which says what it is about.
    `length`: worth is divided by this power of the tokens: the best pieces (0) or the best use of the budget (1).
    """

    lexical: float = 1.0
    meaning: float = 1.0
    group_lexical: float = 0.0
    group_meaning: float = 0.0
    spread: float = 0.0
    named: float = 2.0
    prior: float = 0.5
    odd: float = 0.0
    title: float = 0.0
    bridge: float = 0.0
    first: float = 0.0
    length: float = 0.5


WEIGHTS: Mapping[Kind, Weights] = {
    "prose": Weights(1.0, 1.0, 1.5, 1.5, prior=0.1, title=1.0, bridge=1.5, first=0.8, length=0.1),
    "dialogue": Weights(0.0, 0.0, 1.0, 1.0, spread=20.0, prior=0.0, length=0.0),
    "log": Weights(1.0, 0.7, named=0.3, prior=3.0, odd=0.7),
    "shell": Weights(1.0, 0.7, named=0.5, prior=2.0, odd=0.3),
    "stack": Weights(0.7, 0.5, named=0.7, prior=1.5),
    "table": Weights(1.0, 0.7, named=1.0, prior=1.5, odd=0.5),
    "json": Weights(1.0, 0.3, named=2.0, prior=2.0, odd=0.4),
    "code": Weights(1.0, 1.5, named=0.3, prior=0.7, length=0.6),
    "diff": Weights(0.7, 0.5, named=1.0, prior=1.2),
}


@dataclass(frozen=True)
class Floor:
    """A content of a kind is not compressed below this when the floor is on.

    Attributes:
        fidelity: the least.
        chance: the least sum of the chances of what stays, where a trained model tells them.
        tiny_share: of the tokens of a content of some hundred, at least so many stay (`LEAST_TOKENS` at most).
        least_share: of a longer one's, up to `least_tokens`.
        most_wider: the budget that was asked for is exceeded at most so many times.
    """

    fidelity: float
    chance: float = 0.0
    tiny_share: float = 0.7
    least_share: float = 0.5
    least_tokens: int = 1500
    most_wider: float = 1.5


FLOORS: Mapping[Kind, Floor] = {
    "json": Floor(0.50, chance=0.9, tiny_share=0.3, least_share=0.3, least_tokens=400),
    "table": Floor(0.45),
    "log": Floor(0.45),
    "stack": Floor(0.50),
    "shell": Floor(0.45),
    "diff": Floor(0.60),
    "code": Floor(0.50),
    "prose": Floor(0.30, chance=0.965, tiny_share=0.25, least_tokens=0, most_wider=2.5),
    "dialogue": Floor(0.30, chance=0.72, least_tokens=0, most_wider=2.4),
}
"""Measured: below these the answers to the benchmark's sets get worse faster than tokens are saved
(`benchmarks.compression`)."""


MIXED = Floor(0.70, chance=0.95, least_tokens=1500)
"""The floor of contents of several kinds."""
