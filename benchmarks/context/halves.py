"""Which problems of a set a model may be trained on: half of its documents, by the hash of their name.

A document (a meeting, a task with all its runs) is in one half with all that is asked about it.
`benchmarks.compression` reports the other half of these sets.
"""

from __future__ import annotations

import hashlib

from benchmarks.context.problem import Problem

TRAINED_ON = ("taubench", "qmsum", "hotpotqa")
"""Sets whose first half has been trained on; no problem of any other has."""


def for_training(name: str, problem: Problem) -> bool:
    document = problem.id.split("/")[0]
    return name in TRAINED_ON and hashlib.sha256(f"{name}/{document}".encode()).digest()[0] % 2 == 0


def held_out(name: str, problems: list[Problem]) -> list[Problem]:
    return [problem for problem in problems if not for_training(name, problem)]
