"""Trains `ossa/vortex/ranking/prose.json`: `python -m benchmarks.training.prose --data DIR`.

On Natural Questions that are not in the benchmark's set, on SQuAD (XQuAD's English part), each among passages like it,
and on one half of the HotpotQA questions.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import ossa.vortex.ranking
from benchmarks.context.halves import for_training
from benchmarks.context.problem import open_lines
from benchmarks.context.sets import hotpot
from benchmarks.training.fitting import Example, fit, write
from ossa.vortex.ranking.prose import NAMES
from ossa.vortex.scoring import score
from ossa.vortex.splitting import split
from ossa.vortex.vectors import word_vectors
from ossa.vortex.words import Floats, bm25, question_words, read_words

SEED = 11
HOTPOT_WEIGHT = 6.0
FORMATS = ("Document [{number}] (Title: {title}) {text}", "{title}\n{text}", "{text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    args = parser.parse_args()
    examples = [*natural_questions(args.data), *squad(args.data), *hotpot_half(args.data)]
    weights = fit(examples, hidden=12, epochs=40, rate=3e-3, decay=1e-4, seed=SEED)
    about = {"trained_on": "NQ and SQuAD questions outside the benchmark, half of HotpotQA", "lists": len(examples)}
    write(Path(ossa.vortex.ranking.__file__).with_name("prose.json"), NAMES, weights, about)
    print(json.dumps(about))


def rows(data: Path, name: str) -> list[Any]:
    return [json.loads(line) for line in open_lines(data / "context" / f"{name}.jsonl.gz")]


def natural_questions(data: Path) -> Iterator[Example]:
    measured = {row["question"] for row in rows(data, "nq_multidoc20_built")}
    passages = [row for row in rows(data, "nq_oracle_passages") if row["question"] not in measured]
    yield from among_others([(r["question"], r["title"], r["text"], r["answers"]) for r in passages], 19)


def squad(data: Path) -> Iterator[Example]:
    """Every second one: 240 paragraphs are asked about again and again."""
    found = [(row["question"], "", row["context"], row["answers"]) for row in rows(data, "xquad_en_squad_dev_subset")]
    yield from among_others(found[::2], 12)


def among_others(asked: list[tuple[str, str, str, list[str]]], others: int) -> Iterator[Example]:
    """Each passage among those that are nearest to its question and do not hold its answer."""
    rng = random.Random(SEED)
    texts = list(dict.fromkeys((title, text) for _, title, text, _ in asked))
    words = read_words([f"{title} {text}" for title, text in texts])
    for question, title, text, answers in asked:
        near = np.argsort(-bm25(words, question_words(question)), kind="stable")
        folded = [answer.casefold() for answer in answers]
        picked = [
            texts[n]
            for n in near[: 3 * others]
            if texts[n] != (title, text) and not any(a in texts[n][1].casefold() for a in folded)
        ][:others]
        place = rng.randrange(len(picked) + 1)
        picked.insert(place, (title, text))
        form = FORMATS[rng.randrange(3)] if title else FORMATS[2]
        content = "\n\n".join(form.format(number=n, title=t, text=b) for n, (t, b) in enumerate(picked, start=1))
        one = example(content, question, [folded], any_of=True)
        if one is not None:
            yield one


def hotpot_half(data: Path) -> Iterator[Example]:
    for problem in hotpot(data):
        if for_training("hotpotqa", problem):
            wanted = [[text.casefold()] for text in problem.facts[0]]
            one = example(problem.content, problem.question, wanted, any_of=False, weight=HOTPOT_WEIGHT)
            if one is not None:
                yield one


def example(
    content: str, question: str, wanted: list[list[str]], *, any_of: bool, weight: float = 1.0
) -> Example | None:
    """None when no piece holds what is wanted."""
    blocks = split(content, "prose")
    pieces = [piece for block in blocks for piece in block.pieces]
    seen: list[Floats] = []

    def look(_: str, features: Floats) -> Floats:
        seen.append(features)
        return np.zeros(len(features), dtype=np.float32)

    score(blocks, question, word_vectors(), rank=look)
    target = np.zeros(len(pieces), dtype=np.float32)
    for texts in wanted:
        for number, piece in enumerate(pieces):
            folded = piece.text.casefold()
            if any(text in folded or (len(folded) > 20 and folded.strip() in text) for text in texts):
                target[number] = 1.0
    if not seen or not target.any():
        return None
    return Example(seen[0].astype(np.float64), target / target.sum(), any_of, weight)


if __name__ == "__main__":
    main()
