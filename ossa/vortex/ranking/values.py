"""Estimates the chance that a later call passes on a value of a document, by logistic regression on its looks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np

from ossa.vortex.kinds.leaves import key_of, value_of
from ossa.vortex.piece import Piece
from ossa.vortex.words import Floats

SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("date", r"\d{4}-\d\d-\d\d$"),
        ("moment", r"\d{4}-\d\d-\d\d[T ]"),
        ("time", r"\d\d:\d\d"),
        ("number", r"-?\d+(?:\.\d+)?$"),
        ("flag", r"(?:true|false|yes|no)$"),
        ("code", r"(?=.*\d)[A-Z0-9]{3,}$"),
        ("capitals", r"[A-Z]{2,}$"),
        ("address", r"\S+@\S+$|https?:"),
        ("path", r"\S*/\S+$"),
        ("identifier", r"(?=.*\d)[\w.:-]+$"),
        ("name", r"[A-Z][a-z]+$"),
        ("word", r"[a-z_-]+$"),
        ("phrase", r".*\s"),
    )
)
PART = re.compile(r"[^\W_]+")


def features(pieces: Sequence[Piece], question: str) -> list[dict[str, float]]:
    """Returns the features of each value by name; a piece without a path has none."""
    asked = question.casefold()
    said: set[str] = set()
    all_features: list[dict[str, float]] = []
    count = max(1, sum(1 for piece in pieces if piece.path))
    at = 0
    for piece in pieces:
        if not piece.path:
            all_features.append({})
            continue
        value, key = value_of(piece), key_of(piece.path)
        own = {"bias": 1.0, f"shape {shape_of(value)}": 1.0, "place": at / count}
        parts = [part.casefold() for part in PART.findall(key)]
        if piece.path.endswith("{}"):
            own["is a key"] = 1.0
        elif parts:
            own[f"key {parts[-1]}"] = 1.0
        if piece.path.endswith("[]"):
            own["listed"] = 1.0
        elif "[]" in piece.path:
            own["in a row"] = 1.0
        if value and value.casefold() in asked:
            own["told"] = 1.0
        if any(len(part) > 2 and part in asked for part in parts):
            own["key asked"] = 1.0
        if value in said:
            own["repeated"] = 1.0
        said.add(value)
        all_features.append(own)
        at += 1
    return all_features


def shape_of(value: str) -> str:
    return next((name for name, pattern in SHAPES if pattern.match(value)), "other")


def chances(pieces: Sequence[Piece], question: str, weights: Mapping[str, float] | None = None) -> Floats:
    """Returns the chance of each piece, from 0 to 1; 0 where it has no path. Shape (pieces,)."""
    weights_used = _weights() if weights is None else weights
    sums = [
        sum(weights_used.get(name, 0.0) * value for name, value in own.items()) for own in features(pieces, question)
    ]
    chance = 1.0 / (1.0 + np.exp(-np.asarray(sums, dtype=np.float32)))
    return np.where([bool(piece.path) for piece in pieces], chance, 0.0).astype(np.float32)


@lru_cache(maxsize=1)
def _weights() -> Mapping[str, float]:
    text = files("ossa.vortex.ranking").joinpath("values.json").read_text(encoding="utf-8")
    weights: dict[str, float] = json.loads(text)["weights"]
    return weights
