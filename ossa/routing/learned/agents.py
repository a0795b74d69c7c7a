"""Which agent fits a text by what each says of itself, without ever having been trained on it.

    score = cosine(meaning of the text, meaning of the agent) + `shared_weight` * (weights of the words they share)
    fit   = 1 / (1 + exp(-(score - level) / spread))

A word of the text weighs by how rare it is among requests, a word of an agent by how rare it is among agents.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.routing.learned.archive import ModelFile
from ossa.routing.learned.meanings import vectors_of
from ossa.routing.learned.reading import BUCKETS, Reading, read
from ossa.vortex.vectors import DIMENSIONS, unit
from ossa.vortex.words import STOP, stem

Floats = NDArray[np.float32]
KIND = "agents"
STOP_WEIGHT = 0.1
MOST_SHARED = 256
"""Of a text's different words so many are looked up."""

BATCH = 256
"""Words whose vectors are asked for at a time."""

FARTHEST = 30.0
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class AgentMatcher:
    """How words of requests weigh.

    Attributes:
        rarity: of a word's bucket, its idf among requests relative to the rarest; shape (BUCKETS,).
        shared_weight: of shared words beside the cosine.
        level, spread: of the score, for `fit`.
        temperature: of the scores, where agents are taken as the only choices there are.
    """

    rarity: Floats
    shared_weight: float
    level: float
    spread: float
    temperature: float

    @classmethod
    def of(cls, file: ModelFile) -> AgentMatcher:
        card, arrays = file.of_kind(KIND).card, file.arrays
        rarity = np.ones(BUCKETS, dtype=np.float32)
        rarity[arrays["buckets"]] = arrays["rarity"].astype(np.float32)
        calibration = card["calibration"]
        return cls(
            rarity,
            float(card["shared_weight"]),
            float(calibration["level"]),
            float(calibration["spread"]),
            float(calibration["temperature"]),
        )

    def weights(self, reading: Reading) -> Floats:
        """Of each word of the text; shape (words,)."""
        stops = np.asarray([STOP_WEIGHT if word in STOP else 1.0 for word in reading.words], dtype=np.float32)
        found: Floats = stops * self.rarity[reading.word_buckets]
        return found


@dataclass(frozen=True)
class Told:
    """What one agent says of itself, read once for every table it stands in."""

    reading: Reading
    stems: Counter[str]

    @classmethod
    def of(cls, description: str) -> Told:
        """namesInCamelCase are read word by word."""
        reading = read(_CAMEL.sub(" ", description))
        return cls(reading, Counter(stem(word) for word in reading.words if word not in STOP))


@dataclass(frozen=True)
class AgentTable:
    """Agents by their descriptions, arranged once for many texts.

    Attributes:
        meanings: unit vectors, shape (agents, DIMENSIONS).
        number_of: stem -> its position in `starts`.
        starts: where a stem's agents begin in `holders`; shape (stems + 1,).
        holders: agents that have a stem, stem after stem.
        shares: what the stem weighs there.
    """

    matcher: AgentMatcher
    meanings: Floats
    number_of: dict[str, int]
    starts: NDArray[np.int64]
    holders: NDArray[np.int64]
    shares: Floats

    @classmethod
    def of(cls, descriptions: Sequence[str], matcher: AgentMatcher) -> AgentTable:
        """Of texts that say what each agent is for."""
        return cls.of_told([Told.of(description) for description in descriptions], matcher)

    @classmethod
    def of_told(cls, told: Sequence[Told], matcher: AgentMatcher) -> AgentTable:
        """The same, of descriptions that were read before."""
        starts, holders, shares, number_of = _postings([one.stems for one in told])
        meanings = _meanings([one.reading for one in told], matcher)
        return cls(matcher, meanings, number_of, starts, holders, shares)

    def __len__(self) -> int:
        return len(self.meanings)

    def fits(self, reading: Reading) -> Floats:
        """Of each agent, in [0, 1]; shape (agents,). All alike where the text says nothing."""
        away = (self.scores(reading) - self.matcher.level) / self.matcher.spread
        found: Floats = 1.0 / (1.0 + np.exp(-np.minimum(np.maximum(away, -FARTHEST), FARTHEST)))
        return found

    def likely(self, reading: Reading) -> Floats:
        """How likely each is the one meant, if one is; shape (agents,), sums to 1."""
        chance = np.exp((scores := self.scores(reading) / self.matcher.temperature) - scores.max(initial=-np.inf))
        found: Floats = chance / max(float(chance.sum()), 1e-9)
        return found

    def scores(self, reading: Reading) -> Floats:
        """Shape (agents,)."""
        words = reading.words
        if not words or not len(self):
            return np.zeros(len(self), dtype=np.float32)
        weights = self.matcher.weights(reading)
        meant = weights @ reading.vectors
        meant /= max(float(np.sqrt(meant @ meant)), 1e-6)
        found: Floats = self.meanings @ meant
        return found + np.float32(self.matcher.shared_weight) * self._shared(words, weights)

    def _shared(self, words: list[str], weights: Floats) -> Floats:
        weight_of: dict[int, float] = {}
        for word, weight in zip(words[:MOST_SHARED], weights.tolist(), strict=False):
            number = self.number_of.get(stem(word))
            if number is not None:
                weight_of[number] = weight
        if not weight_of:
            return np.zeros(len(self), dtype=np.float32)
        spans = [(self.starts[number], self.starts[number + 1], weight) for number, weight in weight_of.items()]
        holders = np.concatenate([self.holders[first:last] for first, last, _ in spans])
        shares = np.concatenate([self.shares[first:last] * weight for first, last, weight in spans])
        return np.bincount(holders, weights=shares, minlength=len(self)).astype(np.float32)


def _meanings(readings: Sequence[Reading], matcher: AgentMatcher) -> Floats:
    holders = Counter(word for reading in readings for word in set(reading.words))
    number_of = {word: number for number, word in enumerate(holders)}
    vectors = _in_batches(list(holders))
    counts = np.asarray(list(holders.values()), dtype=np.float64)
    plain = np.asarray([STOP_WEIGHT if word in STOP else 1.0 for word in holders], dtype=np.float32)
    weight_of = plain * np.log(1 + len(readings) / (counts + 0.5)).astype(np.float32)
    made = np.zeros((len(readings), DIMENSIONS), dtype=np.float32)
    for at, reading in enumerate(readings):
        words = reading.words
        if words:
            numbers = [number_of[word] for word in words]
            weights = weight_of[numbers] * np.sqrt(matcher.rarity[reading.word_buckets])
            made[at] = weights @ vectors[numbers]
    return unit(made)


def _in_batches(words: list[str]) -> Floats:
    """Vectors of many words. Decisions share their lock, and wait for a batch at most."""
    made = [vectors_of(words[at : at + BATCH]) for at in range(0, len(words), BATCH)]
    return np.concatenate(made) if made else np.zeros((0, DIMENSIONS), dtype=np.float32)


def _postings(
    stems: Sequence[Counter[str]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, dict[str, int]]:
    """Okapi's saturated counts (Robertson and Zaragoza 2009) times idf, over the root of each agent's length."""
    number_of: dict[str, int] = {}
    numbers: list[int] = []
    for found in stems:
        numbers.extend([number_of.setdefault(one, len(number_of)) for one in found])
    stem_at = np.asarray(numbers, dtype=np.int64)
    agent_at = np.repeat(np.arange(len(stems)), [len(found) for found in stems])
    times = np.asarray([count for found in stems for count in found.values()], dtype=np.float64)
    holding = np.bincount(stem_at, minlength=len(number_of))
    weights = np.log(1 + len(stems) / (holding[stem_at] + 0.5)) * times / (times + 1.0)
    length = np.sqrt(np.bincount(agent_at, weights=weights**2, minlength=len(stems)))
    weights /= np.sqrt(np.maximum(length[agent_at], 1e-6))
    order = np.argsort(stem_at, kind="stable")
    starts = np.concatenate(([0], np.cumsum(holding))).astype(np.int64)
    return starts, agent_at[order].astype(np.int64), weights[order].astype(np.float32), number_of
