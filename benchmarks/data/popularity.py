"""Hit rates on a real trace: which values are asked for follows which functions were called, minute by minute.

The trace is Azure Functions 2019 (764 functions, 1,440 minutes): calls by function and minute, thinned evenly to
`REQUESTS`, in a random order within each minute. The front sees it beside LRU and beside Belady's MIN, which knows what
comes (Belady 1966) and is the best that any cache of that size can do.
"""

from __future__ import annotations

import csv
import gzip
import heapq
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ossa.caching.front import Front

TRACE = Path("workload") / "azure_functions_2019_invocations.csv.gz"
REQUESTS = 400_000
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4)
FOR_EVER = 1e18


def compare(data: Path) -> list[dict[str, Any]]:
    """One row a size of the cache, as a share of the functions. Raises `FileNotFoundError`."""
    asked = _requests(data / TRACE)
    keys = len(set(asked))
    rows = []
    for share in SHARES:
        size = max(1, round(keys * share))
        ours, best = _front(asked, size), _belady(asked, size)
        rows.append(
            {
                **{"requests": len(asked), "keys": keys, "entries": size, "ossa_hits": round(ours, 5)},
                **{"lru_hits": round(_lru(asked, size), 5), "best_hits": round(best, 5)},
                "of_best": round(ours / best, 4),
            }
        )
    return rows


def _requests(path: Path) -> list[int]:
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.reader(file))
    minutes = [place for place, name in enumerate(rows[0]) if name.strip().isdigit()]
    counts = np.asarray([[float(row[place] or 0) for place in minutes] for row in rows[1:]])
    rng = np.random.default_rng(7)
    thinned = rng.poisson(counts * min(1.0, REQUESTS / counts.sum()))
    asked: list[int] = []
    for minute in range(thinned.shape[1]):
        one = np.repeat(np.arange(len(thinned)), thinned[:, minute])
        rng.shuffle(one)
        asked.extend(one.tolist())
    return asked


def _front(asked: Sequence[int], size: int) -> float:
    front: Front[bytes] = Front(len, max_entries=size, max_bytes=2**40)
    hits = 0
    for key in asked:
        if front.get(key, 0.0) is None:
            front.put(key, b"", FOR_EVER)
        else:
            hits += 1
    return hits / len(asked)


def _lru(asked: Sequence[int], size: int) -> float:
    kept: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for key in asked:
        if key in kept:
            hits += 1
            kept.move_to_end(key)
        else:
            if len(kept) >= size:
                kept.popitem(last=False)
            kept[key] = None
    return hits / len(asked)


def _belady(asked: Sequence[int], size: int) -> float:
    """Keeps those that come again soonest."""
    following = [len(asked)] * len(asked)
    last: dict[int, int] = {}
    for place in range(len(asked) - 1, -1, -1):
        following[place] = last.get(asked[place], len(asked))
        last[asked[place]] = place
    kept: dict[int, int] = {}
    latest: list[tuple[int, int]] = []
    hits = 0
    for place, key in enumerate(asked):
        if key in kept:
            hits += 1
        elif len(kept) >= size:
            while True:
                when, gone = heapq.heappop(latest)
                if kept.get(gone) == -when:
                    break
            if -when <= following[place]:  # what comes now is needed last of all: it need not be kept
                heapq.heappush(latest, (when, gone))
                continue
            del kept[gone]
        kept[key] = following[place]
        heapq.heappush(latest, (-following[place], key))
    return hits / len(asked)
