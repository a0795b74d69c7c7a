"""Fits the label network of `ossa.routing.learned.labels`: softmax cross-entropy, Adam, numpy and sparse tables.

Rows of the input table are updated when a batch has them (lazily), as they are met rarely.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ossa.routing.learned.labels import SCALE

Floats = NDArray[np.float32]
BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class Plan:
    """How the network is fitted.

    Attributes:
        input_dropout: share of a text's words and letters that is left out each time.
        smoothing: share of the target that is spread over all outputs.
        members: so many networks, of other seeds, are fitted; the mean of their logits is one network again, whose
            hidden layer has all of theirs.
    """

    hidden: int = 160
    epochs: int = 20
    batch: int = 256
    rate: float = 0.005
    decay: float = 0.1
    input_dropout: float = 0.6
    dropout: float = 0.5
    smoothing: float = 0.1
    members: int = 3
    seed: int = 7


@dataclass(frozen=True)
class Inputs:
    """Texts as numbers: a sparse table of shape (texts, rows) and a dense one of shape (texts, DENSE)."""

    sparse: Any
    dense: Floats

    def __len__(self) -> int:
        return len(self.dense)

    def __getitem__(self, rows: Any) -> Inputs:
        return Inputs(self.sparse[rows], self.dense[rows])


class Adam:
    """Kingma and Ba 2015 with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(self, weights: dict[str, Floats], decay: float) -> None:
        self._moments = {name: (np.zeros_like(one), np.zeros_like(one)) for name, one in weights.items()}
        self._decay = decay
        self._step = 0

    def update(self, weights: dict[str, Floats], slopes: dict[str, Floats], rows: NDArray[Any], rate: float) -> None:
        """`slopes["inner"]` is of `rows` alone."""
        self._step += 1
        one, two = (1 - beta**self._step for beta in BETAS)
        for name, slope in slopes.items():
            at = rows if name == "inner" else slice(None)
            first, second = (moment[at] for moment in self._moments[name])
            first = BETAS[0] * first + (1 - BETAS[0]) * slope
            second = BETAS[1] * second + (1 - BETAS[1]) * slope * slope
            self._moments[name][0][at], self._moments[name][1][at] = first, second
            decay = self._decay if weights[name].ndim > 1 else 0.0
            step = first / one / (np.sqrt(second / two) + 1e-8) + decay * weights[name][at]
            weights[name][at] -= np.float32(rate) * step


def forward(weights: dict[str, Floats], inputs: Inputs) -> Floats:
    inside = inputs.sparse @ weights["inner"] + inputs.dense @ weights["inner_dense"]
    found: Floats = np.maximum(SCALE * inside + weights["inner_bias"], 0.0)
    return found


def logits(weights: dict[str, Floats], inputs: Inputs) -> Floats:
    found: Floats = forward(weights, inputs) @ weights["outer"] + weights["outer_bias"]
    return found


def fit_all(
    draw: Callable[[NDArray[Any], np.random.Generator], Inputs],
    targets: Floats,
    plan: Plan,
    *,
    advance: Callable[[], object] = lambda: None,
) -> dict[str, Floats]:
    """`plan.members` networks as one, of `plan.members * plan.hidden` hidden units."""
    found = [fit(draw, targets, replace(plan, seed=plan.seed + at), advance=advance) for at in range(plan.members)]
    outer = np.concatenate([one["outer"] for one in found]) / np.float32(plan.members)
    sides = ("inner", "inner_dense", "inner_bias")
    wide = {name: np.concatenate([one[name] for one in found], axis=-1) for name in sides}
    return {**wide, "outer": outer, "outer_bias": np.mean([one["outer_bias"] for one in found], axis=0)}


def fit(
    draw: Callable[[NDArray[Any], np.random.Generator], Inputs],
    targets: Floats,
    plan: Plan,
    *,
    advance: Callable[[], object] = lambda: None,
) -> dict[str, Floats]:
    """
    Args:
        draw: the inputs of these examples, as they are or with noise.
        targets: how likely each output is, shape (examples, outputs).
        advance: called after each epoch.
    """
    rng = np.random.default_rng(plan.seed)
    count, outputs = targets.shape
    probe = draw(np.arange(1), rng)
    rows, dense = probe.sparse.shape[1], probe.dense.shape[1]
    weights: dict[str, Floats] = {
        "inner": rng.normal(0, 0.05, (rows, plan.hidden)).astype(np.float32),
        "inner_dense": rng.normal(0, 0.06, (dense, plan.hidden)).astype(np.float32),
        "inner_bias": np.zeros(plan.hidden, dtype=np.float32),
        "outer": rng.normal(0, 1 / np.sqrt(plan.hidden), (plan.hidden, outputs)).astype(np.float32),
        "outer_bias": np.zeros(outputs, dtype=np.float32),
    }
    adam = Adam(weights, plan.decay)
    steps = plan.epochs * -(-count // plan.batch)
    step = 0
    for _ in range(plan.epochs):
        order = rng.permutation(count)
        for at in range(0, count, plan.batch):
            chosen = order[at : at + plan.batch]
            wanted = (1 - plan.smoothing) * targets[chosen] + plan.smoothing / outputs
            slopes, met = _slopes(weights, draw(chosen, rng), wanted, plan, rng)
            adam.update(weights, slopes, met, plan.rate * 0.5 * (1 + np.cos(np.pi * step / steps)))
            step += 1
        advance()
    return weights


def _slopes(
    weights: dict[str, Floats], inputs: Inputs, wanted: Floats, plan: Plan, rng: np.random.Generator
) -> tuple[dict[str, Floats], NDArray[Any]]:
    sparse = inputs.sparse.copy()
    sparse.data *= (rng.random(sparse.nnz) > plan.input_dropout) / np.float32(1 - plan.input_dropout)
    sparse.eliminate_zeros()
    inputs = Inputs(sparse, inputs.dense)
    hidden = forward(weights, inputs)
    mask = ((rng.random(hidden.shape) > plan.dropout) / (1 - plan.dropout)).astype(np.float32)
    dropped = hidden * mask
    scores = dropped @ weights["outer"] + weights["outer_bias"]
    chance = np.exp(scores - scores.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    slope = ((chance - wanted) / len(wanted)).astype(np.float32)
    inside = (slope @ weights["outer"].T) * mask * (hidden > 0)
    met = np.unique(sparse.indices)
    slopes = {
        "outer": dropped.T @ slope,
        "outer_bias": slope.sum(axis=0),
        "inner": SCALE * np.asarray(sparse[:, met].T @ inside),
        "inner_dense": SCALE * (inputs.dense.T @ inside),
        "inner_bias": inside.sum(axis=0),
    }
    return slopes, met
