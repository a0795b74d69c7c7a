"""How likely it is that a later call passes on a value of a document. Logistic regression on what it looks like."""

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
    """Of each value, by name. Those of pieces without a path are empty."""
    asked = question.casefold()
    said: set[str] = set()
    found: list[dict[str, float]] = []
    count = max(1, sum(1 for piece in pieces if piece.path))
    at = 0
    for piece in pieces:
        if not piece.path:
            found.append({})
            continue
        value, key = value_of(piece), key_of(piece.path)
        one = {"bias": 1.0, f"shape {shape_of(value)}": 1.0, "place": at / count}
        parts = [part.casefold() for part in PART.findall(key)]
        if piece.path.endswith("{}"):
            one["is a key"] = 1.0
        elif parts:
            one[f"key {parts[-1]}"] = 1.0
        if piece.path.endswith("[]"):
            one["listed"] = 1.0
        elif "[]" in piece.path:
            one["in a row"] = 1.0
        if value and value.casefold() in asked:
            one["told"] = 1.0
        if any(len(part) > 2 and part in asked for part in parts):
            one["key asked"] = 1.0
        if value in said:
            one["repeated"] = 1.0
        said.add(value)
        found.append(one)
        at += 1
    return found


def shape_of(value: str) -> str:
    return next((name for name, pattern in SHAPES if pattern.match(value)), "other")


def chances(pieces: Sequence[Piece], question: str, weights: Mapping[str, float] | None = None) -> Floats:
    """0 to 1 for each piece; 0 where it has no path. Shape (pieces,)."""
    known = _weights() if weights is None else weights
    sums = [sum(known.get(name, 0.0) * value for name, value in one.items()) for one in features(pieces, question)]
    found = 1.0 / (1.0 + np.exp(-np.asarray(sums, dtype=np.float32)))
    return np.where([bool(piece.path) for piece in pieces], found, 0.0).astype(np.float32)


@lru_cache(maxsize=1)
def _weights() -> Mapping[str, float]:
    text = files("ossa.vortex.ranking").joinpath("values.json").read_text(encoding="utf-8")
    found: dict[str, float] = json.loads(text)["weights"]
    return found
