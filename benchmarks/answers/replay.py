"""A stream of questions, each looked up, and kept when nothing was found: in numpy for the curve, and for real."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.answers.utterances import Utterance
from ossa.contracts.answers import Answered, Asked, KeptAnswer
from ossa.vortex.answers.agreement import disagreement, likelihood
from ossa.vortex.answers.cache import CANDIDATES, AnswerCache
from ossa.vortex.answers.reading import read
from ossa.vortex.vectors import word_vectors

Vectors = NDArray[np.float32]
Check = Callable[[str, str, float], float]


@dataclass(frozen=True)
class Served:
    """One hit: positions in the stream of what was asked and of what was served."""

    asked: int
    served: int


@dataclass(frozen=True)
class RealReplay:
    """What came out of the cache itself. Milliseconds by how the look-up ended."""

    served: list[Served]
    ms: dict[str, list[float]]


def vectors_of(stream: Sequence[Utterance]) -> Vectors:
    return np.stack([word_vectors().of_question(one.text) for one in stream])


def cosine_alone(asked: str, earlier: str, cosine: float) -> float:
    """The baseline: the nearest one will do."""
    return cosine


def rules_alone(asked: str, earlier: str, cosine: float) -> float:
    return 0.0 if disagreement(read(asked), read(earlier)) else cosine


@lru_cache(maxsize=2_000_000)
def second_check(asked: str, earlier: str, cosine: float) -> float:
    return likelihood(asked, earlier, cosine)


def replay(
    stream: Sequence[Utterance], vectors: Vectors, *, threshold: float, check: Check, least: float
) -> list[Served]:
    """The best of the nearest `CANDIDATES` by `check` is served when that is `least` or more."""
    kept = np.zeros_like(vectors)
    owners: list[int] = []
    found: list[Served] = []
    for at, one in enumerate(stream):
        cosines = kept[: len(owners)] @ vectors[at]
        near = np.argsort(-cosines)[:CANDIDATES].tolist()
        likely = [
            (check(one.text, stream[owners[place]].text, round(float(cosines[place]), 4)), -rank, owners[place])
            for rank, place in enumerate(near)
            if cosines[place] >= threshold
        ]
        best = max(likely, default=None)
        if best is not None and best[0] >= least:
            found.append(Served(at, best[2]))
        else:
            kept[len(owners)] = vectors[at]
            owners.append(at)
    return found


async def replay_for_real(cache: AnswerCache, stream: Sequence[Utterance]) -> RealReplay:
    """Through the cache and its index. At the end each kept question is asked once more as it was, for exact hits."""
    served: list[Served] = []
    ms: dict[str, list[float]] = {"semantic": [], "miss": [], "exact": [], "keep": []}
    for at, one in enumerate(stream):
        asked = _asked(one.text)
        began = time.perf_counter()
        hit = await cache.look_up(asked)
        took = (time.perf_counter() - began) * 1000
        if hit is not None:
            ms[hit.kind].append(took)
            served.append(Served(at, int(str(hit.answer.message["content"]))))
            continue
        ms["miss"].append(took)
        began = time.perf_counter()
        await cache.keep(asked, Answered(answer=KeptAnswer(message={"role": "assistant", "content": str(at)})))
        ms["keep"].append((time.perf_counter() - began) * 1000)
    hits = {one.asked for one in served}
    for at, one in enumerate(stream):
        if at in hits:
            continue
        began = time.perf_counter()
        hit = await cache.look_up(_asked(one.text))
        if hit is not None and hit.kind == "exact":
            ms["exact"].append((time.perf_counter() - began) * 1000)
    return RealReplay(served, ms)


def _asked(question: str) -> Asked:
    return Asked(tenant="benchmark", agent="assistant", scope="one", question=question)
