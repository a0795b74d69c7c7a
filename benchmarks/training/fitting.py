"""Fits a `Network` to lists of pieces of which some are wanted: softmax over each list, Adam, plain numpy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]

BETAS = (0.9, 0.999)
BATCH = 32


@dataclass(frozen=True)
class Example:
    """One question to a content.

    Attributes:
        features: of its pieces, shape (pieces, features).
        wanted: weights of what should be on top, adding up to 1; shape (pieces,).
        any_of: one of the wanted is enough; else all of them are needed.
        weight: of this example among the others.
        offset: added to the logits, shape (pieces,): the logarithm of lengths, so that a long piece is many short ones.
    """

    features: Table
    wanted: Table
    any_of: bool
    weight: float = 1.0
    offset: Table | float = 0.0


def fit(
    examples: Sequence[Example], *, hidden: int, epochs: int, rate: float, decay: float, seed: int
) -> dict[str, Table]:
    rng = np.random.default_rng(seed)
    every = np.concatenate([one.features for one in examples])
    mean, scale = every.mean(axis=0), every.std(axis=0) + 1e-3
    width = every.shape[1]
    made = {
        "inner": rng.normal(0, 1 / np.sqrt(width), (width, hidden)),
        "bias": np.zeros(hidden),
        "outer": rng.normal(0, 0.1, hidden),
        "straight": np.zeros(width),
    }
    inputs = [np.clip((one.features - mean) / scale, -5, 5) for one in examples]
    moments = {name: (np.zeros_like(value), np.zeros_like(value)) for name, value in made.items()}
    step = 0
    for epoch in range(epochs):
        order = rng.permutation(len(examples))
        lowered = rate * 0.5 * (1 + np.cos(np.pi * epoch / epochs))
        for at in range(0, len(order), BATCH):
            step += 1
            gradient = {name: decay * value for name, value in made.items()}
            batch = order[at : at + BATCH]
            for number in batch:
                _add_gradient(gradient, made, inputs[number], examples[number], len(batch))
            for name, value in made.items():
                first, second = moments[name]
                first += (1 - BETAS[0]) * (gradient[name] - first)
                second += (1 - BETAS[1]) * (gradient[name] ** 2 - second)
                value -= lowered * (first / (1 - BETAS[0] ** step)) / (np.sqrt(second / (1 - BETAS[1] ** step)) + 1e-8)
    return {"mean": mean, "scale": scale, **made}


def _add_gradient(gradient: dict[str, Table], made: dict[str, Table], x: Table, example: Example, count: int) -> None:
    inside = np.tanh(x @ made["inner"] + made["bias"])
    logits = inside @ made["outer"] + x @ made["straight"]
    logits = logits + example.offset
    chance = np.exp(logits - logits.max())
    chance /= chance.sum()
    target = example.wanted
    if example.any_of:
        target = np.where(example.wanted > 0, chance, 0.0)
        target = target / max(float(target.sum()), 1e-12)
    slope = (chance - target) * example.weight / count
    gradient["outer"] += inside.T @ slope
    gradient["straight"] += x.T @ slope
    through = np.outer(slope, made["outer"]) * (1 - inside**2)
    gradient["inner"] += x.T @ through
    gradient["bias"] += through.sum(axis=0)


def write(path: Path, names: Sequence[str], weights: dict[str, Table], about: dict[str, Any]) -> None:
    rounded = {name: np.round(value.astype(np.float64), 4).tolist() for name, value in weights.items()}
    path.write_text(json.dumps({**about, "names": list(names), **rounded}) + "\n")
