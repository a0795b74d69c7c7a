"""Features of turns that may tell whether a question is about them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from ossa.vortex.piece import Piece
from ossa.vortex.vectors import TextVectors, unit
from ossa.vortex.words import WORD, Floats, Words, stem, terms_of

REACHES = (2, 6, 12, 25, 60)
"""Turns to either side that are looked at as one."""

MIDDLE = 25
"""The reach by which the most promising turns are found."""

APART = 40
"""Turns between the best one and the next best of another place."""

FAR = 60.0
"""Turns over which a likeness with the best one counts a third."""

NARROW = 8
"""Turns to either side for what is said there, and whether the subject changes."""

WIDEST_QUESTION = 32
"""Stems of a question that are followed from turn to turn."""

SPEAKER_CHARS = 60

_LISTED = files("ossa.vortex.ranking").joinpath("asking_words.txt").read_text(encoding="utf-8")
ASKING = frozenset(stem(word) for word in _LISTED.split())
"""Stems by which a question says what it wants, not what it is about."""

_WINDOWED = ("covers", "meaning", "says", "length", "by whom", "pairs", "named")
NAMES = (
    *(f"{name} {reach}" for reach in REACHES for name in _WINDOWED),
    "lexical",
    "own meaning",
    "place",
    "from the end",
    "own length",
    "smoothed",
    "rank",
    "alike",
    "alike near",
    "alike second",
    "valley",
    "best covers",
    "peak distance",
    "covers left",
    "covers right",
    "meaning left",
    "meaning right",
)


def features(
    pieces: Sequence[Piece],
    words: Words,
    vectors: Floats,
    question: str,
    asked: Sequence[str],
    word_vectors: TextVectors,
    parts: dict[str, Floats],
) -> Floats:
    """Shape (turns, len(NAMES)).

    Args:
        vectors: unit vectors of the turns.
        parts: `lexical`, `meaning`, `named` and `smoothed`, each (turns,).
    """
    lengths = np.bincount(words.owner, minlength=len(pieces)).astype(np.float32)
    speaker, who = _speakers(pieces, question)
    about = [term for term in asked if term not in ASKING and term not in who] or list(asked)
    topic = " ".join(word for word in WORD.findall(question.lower()) if stem(word) in set(about))
    said = _said(words, about[:WIDEST_QUESTION])
    heavy = vectors * np.sqrt(lengths)[:, None]
    made: dict[str, Any] = {"own length": np.log1p(lengths)}
    made["lexical"], made["own meaning"] = parts["lexical"], parts["meaning"]
    around = {"said": said, "heavy": heavy, "length": lengths, "named": parts["named"], "speaker": speaker}
    _windows(made, around, word_vectors.of_question(topic))
    _places(made, parts["smoothed"], unit(windowed(heavy, NARROW)))
    return np.stack([made[name] for name in NAMES], axis=1).astype(np.float32)


def _windows(made: dict[str, Any], around: dict[str, Floats], topic: Floats) -> None:
    """Measures how much of the question is said around each turn, by whom, and how close the meaning is."""
    for reach in REACHES:
        window = 2 * reach + 1
        near = windowed(around["said"], reach)
        present = 1.0 - np.exp(-near)
        times = (near > 0).sum(axis=0)
        rarity = np.log(1 + len(near) / (0.5 + times)) * (times > 0)
        rarity /= max(float(rarity.sum()), 1e-6)
        made[f"covers {reach}"] = present @ rarity
        made[f"says {reach}"] = np.log1p(near @ rarity)
        made[f"pairs {reach}"] = (present @ rarity) ** 2
        made[f"meaning {reach}"] = unit(windowed(around["heavy"], reach)) @ topic
        made[f"length {reach}"] = np.log1p(windowed(around["length"][:, None], reach)[:, 0] / window)
        made[f"named {reach}"] = np.minimum(windowed(around["named"][:, None], reach)[:, 0], 2.0)
        made[f"by whom {reach}"] = windowed(around["speaker"][:, None], reach)[:, 0] / window


def _places(made: dict[str, Any], by_hand: Floats, near: Floats) -> None:
    """Measures where a turn stands, and what it has in common with the most promising ones.

    Args:
        near: unit vectors of what is said around each turn.
    """
    count = len(near)
    place = np.arange(count, dtype=np.float32)
    made["place"], made["from the end"] = place / count, np.minimum(count - place, 100) / 100
    made["smoothed"] = by_hand / max(float(by_hand.max(initial=0)), 1e-6)
    order = np.argsort(np.argsort(-by_hand, kind="stable"), kind="stable")
    made["rank"] = np.log1p(order.astype(np.float32))
    wide, meant = made[f"covers {MIDDLE}"], made[f"meaning {MIDDLE}"]
    made["best covers"] = wide / max(float(wide.max(initial=0)), 1e-6)
    promise = made["best covers"] + made["smoothed"] + 2 * meant
    peak = int(np.argmax(promise))
    second = int(np.argmax(np.where(np.abs(place - peak) > APART, promise, -1.0)))
    made["peak distance"] = np.log1p(np.abs(place - peak))
    made["alike"] = near @ near[peak]
    made["alike near"] = made["alike"] * np.exp(-np.abs(place - peak) / FAR)
    made["alike second"] = near @ near[second] * np.exp(-np.abs(place - second) / FAR)
    joined = _joined(near)
    made["valley"] = np.concatenate(
        (np.minimum.accumulate(joined[:peak][::-1])[::-1], [1.0], np.minimum.accumulate(joined[peak + 1 :]))
    )
    for name, feature in (("covers", wide), ("meaning", meant)):
        padded = np.pad(feature, MIDDLE, mode="edge")
        made[f"{name} left"], made[f"{name} right"] = padded[:count] - feature, padded[2 * MIDDLE :] - feature


def windowed(values: Floats, reach: int) -> Floats:
    """Sums over `reach` rows to either side; shape as given, (rows, columns)."""
    count = len(values)
    summed = np.concatenate(
        (np.zeros((1, values.shape[1]), dtype=np.float64), np.cumsum(values, axis=0, dtype=np.float64))
    )
    rows = np.arange(count)
    low, high = np.maximum(rows - reach, 0), np.minimum(rows + reach + 1, count)
    return (summed[high] - summed[low]).astype(np.float32)


def _joined(near: Floats) -> Floats:
    """Returns how alike the windows before and after each turn are, low where the subject changes. Shape (turns,)."""
    before = near[np.maximum(np.arange(len(near)) - NARROW - 1, 0)]
    after = near[np.minimum(np.arange(len(near)) + NARROW + 1, len(near) - 1)]
    likeness: Floats = (before * after).sum(axis=1)
    return likeness


def _said(words: Words, asked: Sequence[str]) -> Floats:
    """Counts how often each turn says each stem; shape (turns, stems)."""
    said = np.zeros((words.texts, len(asked)), dtype=np.float32)
    terms = terms_of(words, asked)
    hit = terms >= 0
    np.add.at(said, (words.owner[hit], terms[hit]), 1.0)
    return said


def _speakers(pieces: Sequence[Piece], question: str) -> tuple[Floats, frozenset[str]]:
    """1 for the turns of somebody whom the question names, shape (turns,); and the stems of those names."""
    folded = question.casefold()
    named: dict[str, float] = {}
    stems: set[str] = set()
    spoken = np.zeros(len(pieces), dtype=np.float32)
    for number, piece in enumerate(pieces):
        who = piece.text[:SPEAKER_CHARS].split(":", 1)[0].split("(", 1)[0].strip().casefold()
        if who not in named:
            last = who.split()[-1] if who else ""
            named[who] = float(len(who) > 2 and (who in folded or (len(last) > 2 and last in folded)))
            if named[who]:
                stems |= {stem(word) for word in WORD.findall(who)}
        spoken[number] = named[who]
    return spoken, frozenset(stems)
