"""Fits of agents to a text by their descriptions, without training on these agents.

    score = cosine(meaning of the text, meaning of the agent) + `shared_weight` * (weights of the words they share)
    fit   = 1 / (1 + exp(-(score - level) / spread))

A word of the text is weighted by its rarity among requests, a word of an agent by its rarity among agents.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ossa.routing.learned.archive import ModelFile
from ossa.routing.learned.reading import BUCKETS, Floats, Reading, read, vectors_of
from ossa.vortex.vectors import DIMENSIONS, unit
from ossa.vortex.words import STOP, stem

KIND = "agents"
STOP_WEIGHT = 0.1
MOST_SHARED = 256
"""Words of a text that are looked up."""

BATCH = 256
"""Words whose vectors are computed at a time."""

FARTHEST = 30.0
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class AgentMatcher:
    """Weights of the words of requests.

    Attributes:
        rarity: idf of each bucket among requests, relative to the rarest; shape (BUCKETS,).
        shared_weight: weight of shared words beside the cosine.
        level, spread: map the score to `fit`.
        temperature: of the softmax in `AgentTable.likely`.
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
        """Returns the weight of each word of the text; shape (words,)."""
        stops = np.asarray([STOP_WEIGHT if word in STOP else 1.0 for word in reading.words], dtype=np.float32)
        return np.asarray(stops * self.rarity[reading.word_buckets], dtype=np.float32)


@dataclass(frozen=True)
class AgentText:
    """The description of one agent, read once for every table it stands in."""

    reading: Reading
    stems: Counter[str]

    @classmethod
    def of(cls, description: str) -> AgentText:
        """Reads namesInCamelCase word by word."""
        reading = read(_CAMEL.sub(" ", description))
        return cls(reading, Counter(stem(word) for word in reading.words if word not in STOP))


@dataclass(frozen=True)
class AgentTable:
    """Descriptions of agents, indexed once for many texts.

    Attributes:
        meanings: unit vectors, shape (agents, DIMENSIONS).
        number_of: position of a stem in `starts`.
        starts: where the agents of a stem begin in `holders`; shape (stems + 1,).
        holders: agents that have a stem, stem after stem.
        shares: weight of the stem for that agent.
    """

    matcher: AgentMatcher
    meanings: Floats
    number_of: dict[str, int]
    starts: NDArray[np.int64]
    holders: NDArray[np.int64]
    shares: Floats

    @classmethod
    def of(cls, descriptions: Sequence[str], matcher: AgentMatcher) -> AgentTable:
        """Reads the descriptions and builds their table."""
        return cls.of_texts([AgentText.of(description) for description in descriptions], matcher)

    @classmethod
    def of_texts(cls, texts: Sequence[AgentText], matcher: AgentMatcher) -> AgentTable:
        """Builds the table of descriptions that were read before."""
        starts, holders, shares, number_of = _postings([text.stems for text in texts])
        meanings = _meanings([text.reading for text in texts], matcher)
        return cls(matcher, meanings, number_of, starts, holders, shares)

    def __len__(self) -> int:
        return len(self.meanings)

    def fits(self, reading: Reading) -> Floats:
        """Returns the fit of each agent in [0, 1]; shape (agents,). Equal for all if the text has no words."""
        away = np.clip((self.scores(reading) - self.matcher.level) / self.matcher.spread, -FARTHEST, FARTHEST)
        return np.asarray(1.0 / (1.0 + np.exp(-away)), dtype=np.float32)

    def likely(self, reading: Reading) -> Floats:
        """Returns the likelihood that each agent is meant, if one is; shape (agents,), sums to 1."""
        chance = np.exp((scores := self.scores(reading) / self.matcher.temperature) - scores.max(initial=-np.inf))
        return np.asarray(chance / max(float(chance.sum()), 1e-9), dtype=np.float32)

    def scores(self, reading: Reading) -> Floats:
        """Returns the score of each agent; shape (agents,)."""
        words = reading.words
        if not words or not len(self):
            return np.zeros(len(self), dtype=np.float32)
        weights = self.matcher.weights(reading)
        meant = weights @ reading.vectors
        meant /= max(float(np.sqrt(meant @ meant)), 1e-6)
        shared = np.float32(self.matcher.shared_weight) * self._shared(words, weights)
        return np.asarray(self.meanings @ meant + shared, dtype=np.float32)

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
    meanings = np.zeros((len(readings), DIMENSIONS), dtype=np.float32)
    for at, reading in enumerate(readings):
        words = reading.words
        if words:
            numbers = [number_of[word] for word in words]
            weights = weight_of[numbers] * np.sqrt(matcher.rarity[reading.word_buckets])
            meanings[at] = weights @ vectors[numbers]
    return unit(meanings)


def _in_batches(words: list[str]) -> Floats:
    """Returns vectors of many words. Decisions share the lock, and wait for one batch at most."""
    tables = [vectors_of(words[at : at + BATCH]) for at in range(0, len(words), BATCH)]
    return np.concatenate(tables) if tables else np.zeros((0, DIMENSIONS), dtype=np.float32)


def _postings(
    stems: Sequence[Counter[str]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, dict[str, int]]:
    """Returns Okapi's saturated counts (Robertson and Zaragoza 2009) times idf, over the root of agents' lengths."""
    number_of: dict[str, int] = {}
    numbers: list[int] = []
    for counts in stems:
        numbers.extend([number_of.setdefault(word, len(number_of)) for word in counts])
    stem_at = np.asarray(numbers, dtype=np.int64)
    agent_at = np.repeat(np.arange(len(stems)), [len(counts) for counts in stems])
    times = np.asarray([count for counts in stems for count in counts.values()], dtype=np.float64)
    holding = np.bincount(stem_at, minlength=len(number_of))
    weights = np.log(1 + len(stems) / (holding[stem_at] + 0.5)) * times / (times + 1.0)
    length = np.sqrt(np.bincount(agent_at, weights=weights**2, minlength=len(stems)))
    weights /= np.sqrt(np.maximum(length[agent_at], 1e-6))
    order = np.argsort(stem_at, kind="stable")
    starts = np.concatenate(([0], np.cumsum(holding))).astype(np.int64)
    return starts, agent_at[order].astype(np.int64), weights[order].astype(np.float32), number_of
