"""Train the answer cache's pair model: `python -m benchmarks.training.answer_pairs --data DIR [--out FILE.json]`.

From CLINC150's train split alone, less a third of the intents (`held_out`): pairs of one content, labelled by whether
both are of one intent. Prints how well pairs of the val split that the rules let pass are told apart: of the intents
that were trained on, and of the others. The default output is the packaged file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers.utterances import Utterance, clinc150, held_out
from ossa.vortex.answers.agreement import PairModel, disagreement, from_json
from ossa.vortex.answers.reading import FRAMING, base, read
from ossa.vortex.vectors import word_vectors

Array = NDArray[np.float64]

PACKAGED = Path("ossa/vortex/answers/pair_model.json")
LEAST_INTENTS = 4
"""A word of fewer intents is as rare as a new one: its rarity would tell intents apart by their vocabulary."""

MOST_PAIRS = 60
"""Of one content, so that frequent ones do not outweigh the rest."""

L2_MEASURES, L2_FRAMING = 0.3, 3.0

SIGNS = {
    "cosine": 1, "overlap": 1, "rarest_unmatched": -1, "unmatched": -1, "length_ratio": 1, "content_words": 1,
    "content_rarity": 1, "other_forms": -1, "inversions": -1, "bigrams": 1, "one_sided_persons": -1, "same_act": 1,
}  # fmt: skip
"""Which way a measure may count."""

MEASURES = tuple(SIGNS)


@dataclass(frozen=True)
class Pair:
    one: str
    other: str
    cosine: float
    same: bool


def rarities(utterances: Sequence[Utterance]) -> tuple[dict[str, float], float]:
    """ln(intents / intents that use the word), for words of `LEAST_INTENTS` or more; and the largest of them."""
    intents: dict[str, set[str]] = defaultdict(set)
    for utterance in utterances:
        for word in read(utterance.text).words:
            intents[base(word)].add(utterance.label)
    count = len({utterance.label for utterance in utterances})
    found = {word: math.log(count / len(by)) for word, by in sorted(intents.items()) if len(by) >= LEAST_INTENTS}
    return {word: round(value, 3) for word, value in found.items()}, round(math.log(count / 2), 3)


def pairs(utterances: Sequence[Utterance], rng: random.Random, *, strict: bool) -> Iterator[Pair]:
    """Pairs of one content; with `strict` those alone that the rules let pass."""
    vectors = word_vectors()
    alike: dict[tuple[object, ...], list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        reading = read(utterance.text)
        alike[tuple(sorted(reading.content)), reading.numbers, reading.quoted].append(utterance)
    for group in alike.values():
        found = [
            (one, other)
            for one, other in combinations(group, 2)
            if one.text != other.text and (not strict or disagreement(read(one.text), read(other.text)) is None)
        ]
        rng.shuffle(found)
        same = [pair for pair in found if pair[0].same(pair[1])][:MOST_PAIRS]
        apart = [pair for pair in found if not pair[0].same(pair[1])][:MOST_PAIRS]
        for one, other in same + apart:
            cosine = float(vectors.of_question(one.text) @ vectors.of_question(other.text))
            yield Pair(one.text, other.text, cosine, one.same(other))


def matrix(model: PairModel, found: Sequence[Pair], framing: Sequence[str]) -> tuple[Array, Array]:
    """Shapes (pairs, measures + framing words) and (pairs,)."""
    number = {word: len(MEASURES) + at for at, word in enumerate(framing)}
    values = np.zeros((len(found), len(MEASURES) + len(framing)))
    for row, pair in enumerate(found):
        one, other = read(pair.one), read(pair.other)
        measured = model.measure(one, other, pair.cosine)
        values[row, : len(MEASURES)] = [measured[name] for name in MEASURES]
        for word in one.framing ^ other.framing:
            if word in number:
                values[row, number[word]] = 1.0
    return values, np.asarray([pair.same for pair in found], dtype=np.float64)


def fit(values: Array, same: Array, penalty: Array, signs: Array, steps: int = 4000) -> tuple[float, Array]:
    """Bias and weights by accelerated projected gradient descent (Beck and Teboulle 2009), with an L2 penalty a weight.

    Classes weigh the same. A weight with a sign of 1 is never negative, with -1 never positive: a word that only one
    side has makes no pair more alike.
    """
    design = np.column_stack((np.ones(len(values)), values))
    strength, sign = np.concatenate(([1e-6], penalty)), np.concatenate(([0.0], signs))
    share = same.mean()
    importance = np.where(same > 0, 0.5 / share, 0.5 / (1 - share))
    rate = 1 / (np.linalg.eigvalsh((design * (importance / 4)[:, None]).T @ design)[-1] + strength.max())
    weights = ahead = np.zeros(design.shape[1])
    momentum = 1.0
    for _ in range(steps):
        likely = 1 / (1 + np.exp(-np.clip(design @ ahead, -30, 30)))
        moved = ahead - rate * (design.T @ (importance * (likely - same)) + strength * ahead)
        moved = np.where(moved * sign < 0, 0.0, moved)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - weights)
        weights, momentum = moved, following
    return float(weights[0]), weights[1:]


def train(utterances: Sequence[Utterance]) -> PairModel:
    rarity, rarest = rarities(utterances)
    blank = PairModel(0.0, dict.fromkeys(MEASURES, 0.0), {}, rarity, rarest)
    found = list(pairs(utterances, random.Random(7), strict=False))
    apart = Counter(word for pair in found for word in read(pair.one).framing ^ read(pair.other).framing)
    framing = sorted(word for word in FRAMING if apart[word] >= 5)
    values, same = matrix(blank, found, framing)
    penalty = np.asarray([L2_MEASURES] * len(MEASURES) + [L2_FRAMING] * len(framing))
    signs = np.asarray([float(SIGNS[name]) for name in MEASURES] + [-1.0] * len(framing))
    bias, weights = fit(values, same, penalty, signs)
    print(f"train: {len(found)} pairs, {same.mean():.1%} of one intent")
    rounded = [round(float(weight), 4) for weight in weights]
    return PairModel(
        round(bias, 4),
        dict(zip(MEASURES, rounded, strict=False)),
        dict(zip(framing, rounded[len(MEASURES) :], strict=True)),
        rarity,
        rarest,
    )


def report(name: str, model: PairModel, utterances: Sequence[Utterance]) -> None:
    found = list(pairs(utterances, random.Random(7), strict=True))
    scores = np.asarray([model.likelihood(read(pair.one), read(pair.other), pair.cosine) for pair in found])
    same = np.asarray([pair.same for pair in found])
    if not len(same) or same.all() or not same.any():
        print(f"{name}: {len(found)} pairs, of one kind only")
        return
    ranked = (scores[same][:, None] > scores[~same][None, :]).mean()
    print(f"{name}: {len(found)} pairs, {same.mean():.1%} of one intent, area under the ROC curve {ranked:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSSA_DATA", "../shared/data")))
    parser.add_argument("--out", type=Path, default=PACKAGED)
    args = parser.parse_args()
    utterances = clinc150(args.data)
    shown = [one for one in utterances if one.split == "train" and not held_out(one.label)]
    model = train(shown)
    val = [one for one in utterances if one.split == "val"]
    report("val, intents trained on", model, [one for one in val if not held_out(one.label)])
    report("val, other intents", model, [one for one in val if held_out(one.label)])
    report("val, all", model, val)
    text = json.dumps(vars(model), indent=1)
    from_json(text)
    args.out.write_text(text + "\n", encoding="utf-8")
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
