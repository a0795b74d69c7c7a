"""Trains `ossa/vortex/ranking/values.json` on one half of the tau-bench tasks.

`python -m benchmarks.training.values --data DIR`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import ossa.vortex.ranking
from benchmarks.context.halves import for_training
from benchmarks.context.sets import taubench
from ossa.vortex.kinds.leaves import value_of
from ossa.vortex.ranking.values import features
from ossa.vortex.splitting import split

Table = NDArray[np.float64]
STEPS = 4000
RATE = 1.0
DECAY = 1e-3
LEAST_TIMES = 40
"""A feature seen less often tells nothing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    args = parser.parse_args()
    rows: list[dict[str, float]] = []
    wanted: list[float] = []
    for problem in taubench(args.data):
        if not for_training("taubench", problem):
            continue
        used = {value for fact in problem.facts for value in fact}
        pieces = [piece for block in split(problem.content, terse=True) for piece in block.pieces]
        for piece, row in zip(pieces, features(pieces, problem.question), strict=True):
            if row:
                rows.append(row)
                wanted.append(float(value_of(piece) in used))
    counts: dict[str, int] = {}
    for row in rows:
        for name in row:
            counts[name] = counts.get(name, 0) + 1
    names = {name: number for number, name in enumerate(sorted(n for n, c in counts.items() if c >= LEAST_TIMES))}
    table = np.zeros((len(rows), len(names)))
    for number, row in enumerate(rows):
        for name, value in row.items():
            if name in names:
                table[number, names[name]] = value
    weights = fit(table, np.asarray(wanted))
    out = Path(ossa.vortex.ranking.__file__).with_name("values.json")
    report = {"trained_on": "tau-bench airline, half of the tasks", "values": len(rows), "used": int(sum(wanted))}
    made = {**report, "weights": {name: round(float(weights[number]), 3) for name, number in names.items()}}
    out.write_text(json.dumps(made, indent=1) + "\n")
    print(json.dumps(made))


def fit(table: Table, wanted: Table) -> Table:
    """Logistic regression with a ridge, by gradient descent."""
    weights = np.zeros(table.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-table @ weights))
        weights -= RATE * (table.T @ (chance - wanted) / len(wanted) + DECAY * weights)
    return weights


if __name__ == "__main__":
    main()
