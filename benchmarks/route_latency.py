"""How long a routing decision takes: `python -m benchmarks.route_latency --data DIR [--out FILE.json]`.

In the caller's process, over the packaged models: read the text, fit of every agent by its description, expected
quality of each model tier, and the pick of agent and tier. Texts are ToolE's and CLINC150's, each asked once, after
others of theirs have warmed the process. Every agent has a manifest of its own. In the same run: a bare product of as
many vectors with one, which no decision by embeddings can do without. Milliseconds of one core.

The exit code is 1 when 250 agents take longer than the bars.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.routing.sets import TOOLE, clinc150, toole
from benchmarks.routing.zero_shot import named
from lab.routing.forms import read_csv
from ossa.contracts.agent_spec import Tier
from ossa.contracts.fleet import POOLS, AgentInfo, AgentState, FleetSnapshot
from ossa.contracts.routing import RoutingPolicy, TierInfo
from ossa.contracts.task import Target
from ossa.routing import Conditions, FleetIndex, RequestFeatures, route
from ossa.routing.learned.agents import AgentMatcher, AgentTable
from ossa.routing.learned.archive import packaged
from ossa.routing.learned.quality import Estimate, QualityModel
from ossa.routing.learned.reading import Reading, read
from ossa.vortex.vectors import DIMENSIONS

SIZES = (10, 100, 250, 1_000, 10_000)
BARRED = 250
P50_MS, P99_MS = 0.3, 1.0
LEAST_TEXTS, MOST_FITS = 300, 2_000_000
"""Of many agents fewer texts are asked."""

STEPS = ("read", "fits", "quality", "pick", "whole")
PRICES: dict[Tier, tuple[float, float]] = {"lightweight": (0.2, 0.2), "standard": (0.6, 0.6), "premium": (10.0, 30.0)}
TIERS: dict[Tier, TierInfo] = {
    tier: TierInfo(tier=tier, model=tier, input_usd_per_mtok=one, output_usd_per_mtok=other)
    for tier, (one, other) in PRICES.items()
}


class Told:
    """A `Scorer` that was told the answers: so the pick is timed alone."""

    name = "told"

    def __init__(self, fits: Sequence[float], qualities: Mapping[Tier, float]) -> None:
        self._fits, self._qualities = fits, qualities

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float]:
        return self._fits

    def qualities(self, features: RequestFeatures) -> Mapping[Tier, float]:
        return self._qualities


def descriptions(data: Path, count: int) -> list[str]:
    """ToolE's tools, then two of them in one."""
    cards = toole(data).cards
    told = [named(label, card) for label, card in sorted(cards.items())]
    pairs = random.Random(7)
    while len(told) < count:
        told.append(" ".join(pairs.sample(told[: len(cards)], 2)))
    return told[:count]


def snapshot(told: Sequence[str]) -> FleetSnapshot:
    agents = tuple(
        AgentInfo(
            agent_id=f"agent-{at}",
            incarnation=str(at),
            pool=POOLS[at % len(POOLS)],
            manifest=f"manifest-{at}",
            version="1",
            digest=str(at),
            description=description,
            state=AgentState.READY,
        )
        for at, description in enumerate(told)
    )
    return FleetSnapshot(version=1, epoch="benchmark", agents=agents)


class InProcess:
    """All of a decision in the caller's process."""

    def __init__(self, told: Sequence[str]) -> None:
        self._index = FleetIndex.of(snapshot(told))
        matcher = AgentMatcher.of(packaged("agents"))
        began = time.perf_counter()
        self.table = AgentTable.of([group.description_text for group in self._index.groups], matcher)
        self.build_s = time.perf_counter() - began
        self._quality = QualityModel.of(packaged("quality"))
        self._rng = random.Random(7)
        self._policy = RoutingPolicy(models="cheapest", dearer=True)

    def decide(self, text: str) -> tuple[int, ...]:
        """Nanoseconds of each of `STEPS`."""
        began = time.perf_counter_ns()
        reading = read(text)
        reading.word_buckets  # noqa: B018  (words are found when first asked for)
        is_read = time.perf_counter_ns()
        fits = self.table.likely(reading).tolist()
        fitted = time.perf_counter_ns()
        estimate = self._estimate(reading)
        estimated = time.perf_counter_ns()
        self._pick(text, fits, estimate)
        ended = time.perf_counter_ns()
        return is_read - began, fitted - is_read, estimated - fitted, ended - estimated, ended - began

    def _estimate(self, reading: Reading) -> Estimate:
        return self._quality.predict(reading)

    def _pick(self, text: str, fits: Sequence[float], estimate: Estimate) -> None:
        qualities: Any = dict(zip(self._quality.models, estimate.quality.tolist(), strict=True))
        route(
            self._index,
            target=Target(),
            features=RequestFeatures(text=text, prompt_tokens=len(text) // 4),
            inflight={},
            tenant="benchmark",
            rng=self._rng,
            conditions=Conditions(policy=self._policy, scorer=Told(fits, qualities), tiers=TIERS),
        )


def through_serve() -> None:
    """The arm of the deployment `router`, which answers over a Serve handle, goes here."""


def bare_product(agents: int, times: int) -> list[int]:
    """Nanoseconds of one product and its largest entry."""
    rng = np.random.default_rng(7)
    table = rng.normal(size=(agents, DIMENSIONS)).astype(np.float32)
    asked = rng.normal(size=(times, DIMENSIONS)).astype(np.float32)
    found = []
    for vector in asked:
        began = time.perf_counter_ns()
        (table @ vector).argmax()
        found.append(time.perf_counter_ns() - began)
    return found


def measure(told: Sequence[str], warm: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    arm = InProcess(told)
    count = max(LEAST_TEXTS, min(len(texts), MOST_FITS // len(told)))
    texts, warm = texts[:count], warm[:count]
    for text in warm:
        arm.decide(text)
    gc.collect()
    gc.freeze()
    taken = np.asarray([arm.decide(text) for text in texts]) / 1e6
    bare = np.asarray(bare_product(len(told), len(texts))) / 1e6
    p50, p99 = np.quantile(taken, 0.5, axis=0), np.quantile(taken, 0.99, axis=0)
    return {
        "agents": len(told),
        "n": len(texts),
        "p50_ms": {step: round(float(value), 4) for step, value in zip(STEPS, p50, strict=True)},
        "p99_ms": {step: round(float(value), 4) for step, value in zip(STEPS, p99, strict=True)},
        "build_s": round(arm.build_s, 3),
        "bare_p50_ms": round(float(np.median(bare)), 4),
        "times_bare": round(float(p50[-1] / np.median(bare)), 1),
    }


def show(found: dict[str, Any]) -> None:
    table = Table(title="milliseconds of a decision, p50 (p99)")
    for column in ("agents", *STEPS, "table built, s", "bare product", "times bare"):
        table.add_column(column, justify="right")
    for row in found["results"]:
        steps = [f"{row['p50_ms'][step]:.3f} ({row['p99_ms'][step]:.3f})" for step in STEPS]
        ends = [f"{row['build_s']:.2f}", f"{row['bare_p50_ms']:.4f}", f"{row['times_bare']:.0f}"]
        table.add_row(f"{row['agents']:,}", *steps, *ends)
    console = Console(width=140)
    console.print(table)
    console.print(f"load before {found['load_before']}, verdict: {found['verdict']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSSA_DATA", "../shared/data")))
    parser.add_argument("--texts", type=int, default=4_000)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--out", type=Path, help="write the figures here")
    args = parser.parse_args()
    if not (args.data / TOOLE).exists():
        raise SystemExit(f"no {TOOLE} in {args.data}: give --data DIR (or OSSA_DATA)")
    load = round(os.getloadavg()[0], 2)
    every = [row["query"] for row in read_csv(args.data / TOOLE)] + [one.text for one in clinc150(args.data).test]
    random.Random(7).shuffle(every)
    texts, warm = every[: args.texts], every[args.texts : 2 * args.texts]
    told = descriptions(args.data, max(args.sizes))
    results = [measure(told[:size], warm, texts) for size in args.sizes]
    barred = [row for row in results if row["agents"] == BARRED]
    found: dict[str, Any] = {
        "results": results,
        "load_before": load,
        "verdict": {
            f"p50_of_{BARRED}_agents_within_{P50_MS}_ms": all(row["p50_ms"]["whole"] <= P50_MS for row in barred),
            f"p99_of_{BARRED}_agents_below_{P99_MS:g}_ms": all(row["p99_ms"]["whole"] < P99_MS for row in barred),
        },
    }
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    show(found)
    sys.exit(0 if all(found["verdict"].values()) else 1)


if __name__ == "__main__":
    main()
