"""Trains `ossa/vortex/ranking/dialogue.json` on one half of the QMSum meetings.

`python -m benchmarks.training.dialogue --data DIR`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import ossa.vortex.ranking
from benchmarks.context.halves import for_training
from benchmarks.context.problem import Problem
from benchmarks.context.sets import qmsum
from benchmarks.training.fitting import Example, fit, write
from ossa.vortex.ranking.dialogue import NAMES
from ossa.vortex.scoring import score
from ossa.vortex.splitting import split
from ossa.vortex.vectors import word_vectors
from ossa.vortex.words import Floats

SEED = 11


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    args = parser.parse_args()
    examples = [example(problem) for problem in qmsum(args.data) if for_training("qmsum", problem)]
    weights = fit(examples, hidden=8, epochs=150, rate=3e-3, decay=3e-3, seed=SEED)
    about = {"trained_on": "half of the QMSum meetings", "lists": len(examples)}
    write(Path(ossa.vortex.ranking.__file__).with_name("dialogue.json"), NAMES, weights, about)
    print(json.dumps(about))


def example(problem: Problem) -> Example:
    blocks = split(problem.content, "dialogue")
    gold = set(problem.gold)
    texts = [piece.text for block in blocks for piece in block.pieces]
    seen: list[Floats] = []

    def look(_: str, features: Floats) -> Floats:
        seen.append(features)
        return np.zeros(len(features), dtype=np.float32)

    score(blocks, problem.question, word_vectors(), rank=look)
    lengths = np.asarray([len(text) for text in texts], dtype=np.float64)
    wanted = lengths * [any(text in turn for turn in gold) if text not in gold else True for text in texts]
    return Example(seen[0].astype(np.float64), wanted / max(wanted.sum(), 1.0), False, offset=np.log(lengths + 1))


if __name__ == "__main__":
    main()
