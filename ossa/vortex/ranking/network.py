"""A small feed-forward network: features to one number a piece. numpy alone; weights from a packaged JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from ossa.vortex.words import Floats

SOFTNESS = 1.0
"""Temperature: the best sentence is not worth a whole page."""


@dataclass(frozen=True)
class Network:
    """tanh((x - mean) / scale @ inner + bias) @ outer.

    Attributes:
        names: of the features, in their order.
        mean, scale: shape (features,).
        inner: shape (features, hidden); `bias` (hidden,); `outer` (hidden,); `straight` (features,), past the tanh.
    """

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    inner: Floats
    bias: Floats
    outer: Floats
    straight: Floats

    def __call__(self, features: Floats) -> Floats:
        """Logits, shape (pieces,), of features of shape (pieces, features)."""
        x = np.clip((features - self.mean) / self.scale, -5.0, 5.0)
        logits: Floats = np.tanh(x @ self.inner + self.bias) @ self.outer + x @ self.straight
        return logits


@lru_cache(maxsize=4)
def network(name: str) -> Network:
    """The packaged network of that name."""
    read = json.loads(files("ossa.vortex.ranking").joinpath(f"{name}.json").read_text(encoding="utf-8"))
    arrays = {
        field: np.asarray(read[field], dtype=np.float32)
        for field in ("mean", "scale", "inner", "bias", "outer", "straight")
    }
    return Network(tuple(read["names"]), **arrays)


def ranked(name: str, features: Floats) -> Floats:
    """Rates pieces with these features by the packaged network, up to 1. Shape (pieces,)."""
    logits = network(name)(features)
    if not len(logits):
        return logits
    ratings: Floats = np.exp((logits - logits.max()) / SOFTNESS).astype(np.float32)
    return ratings


Rank = Callable[[str, Floats], Floats]
