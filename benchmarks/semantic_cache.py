"""How often the answer cache hits, and how often it should not have: `python -m benchmarks.semantic_cache --data DIR`.

A stream of CLINC150's test utterances, in scope and out, in random order: each is looked up, and kept on a miss. A hit
is false when the utterance served is of another intent, or differs in a number or a slot value (a place, a day, a name,
a currency ...), which makes another answer of the same intent. Two out-of-scope utterances are false as well, though
nothing says what they ask (column oos). In the same run: cosine alone (the baseline), the second check's rules, and the
whole check, over thresholds; pairs of one intent against the nearest of another; and the stream through the cache
itself over the embedded Qdrant, which the verdict is about.

`--file FILE` takes the labels form (`split,text,label,group`) instead. The exit code is 1 when a claim is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answers.judging import judge
from benchmarks.answers.replay import (
    Check,
    RealReplay,
    Served,
    Vectors,
    cosine_alone,
    replay,
    replay_for_real,
    rules_alone,
    second_check,
    vectors_of,
)
from benchmarks.answers.showing import draw, show
from benchmarks.answers.utterances import CLINC150, OUT_OF_SCOPE, Utterance, clinc150, held_out, labels
from benchmarks.context.measure import interval
from ossa.contracts.configuration import AnswerSettings
from ossa.stores.qdrant.embedded import EmbeddedQdrant
from ossa.vortex.answers.cache import SCHEMA, AnswerCache
from ossa.vortex.vectors import word_vectors

MOST_FALSE = 0.01
WORTH_HAVING = 0.10
"""Of all look-ups; chosen on the val split."""

ORDERS = 5
COSINES = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
LIKELIHOODS = (0.0001, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


def row(
    method: str, threshold: float, least: float, stream: Sequence[Utterance], served: list[Served]
) -> dict[str, Any]:
    """Shares with their 95% intervals: `hit_rate` of all look-ups, `false_rate` of what was served."""
    wrong = [judge(stream[one.asked], stream[one.served]) for one in served]
    false = [float(reason is not None) for reason in wrong]
    hit_low, hit_high = interval([1.0] * len(served) + [0.0] * (len(stream) - len(served)))
    low, high = interval(false)
    return {
        "method": method,
        "threshold": threshold,
        "likelihood": least,
        "n": len(stream),
        "hits": len(served),
        "hit_rate": round(len(served) / len(stream), 4),
        "hit_rate_low": round(hit_low, 4),
        "hit_rate_high": round(hit_high, 4),
        "false_intent": wrong.count("intent"),
        "false_slots": wrong.count("slots"),
        "false_unlabelled": wrong.count("unlabelled"),
        "false_rate": round(sum(false) / len(false), 4) if false else None,
        "false_rate_low": round(low, 4),
        "false_rate_high": round(high, 4),
    }


def curve(stream: Sequence[Utterance], vectors: Vectors, settings: AnswerSettings) -> list[dict[str, Any]]:
    points: list[tuple[str, float, float, Check]] = []
    points += [("cosine", cosine, cosine, cosine_alone) for cosine in COSINES]
    points += [("rules", cosine, cosine, rules_alone) for cosine in COSINES]
    points += [("ossa", cosine, settings.likelihood, second_check) for cosine in COSINES]
    points += [("ossa", settings.threshold, least, second_check) for least in LIKELIHOODS]
    return [
        row(name, cosine, least, stream, replay(stream, vectors, threshold=cosine, check=check, least=least))
        for name, cosine, least, check in points
    ]


def other_orders(stream: Sequence[Utterance], vectors: Vectors, settings: AnswerSettings) -> list[dict[str, Any]]:
    """The same utterances in other orders: what is kept first decides what is served."""
    rows = []
    for seed in range(ORDERS):
        order = np.random.default_rng(seed).permutation(len(stream))
        shuffled = [stream[at] for at in order]
        served = replay(
            shuffled, vectors[order], threshold=settings.threshold, check=second_check, least=settings.likelihood
        )
        rows.append(row("ossa", settings.threshold, settings.likelihood, shuffled, served))
    return rows


def pairs(stream: Sequence[Utterance], vectors: Vectors, settings: AnswerSettings) -> list[dict[str, Any]]:
    """Each utterance with its nearest of the same intent, and with its nearest of another: how many are let pass."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    names = np.asarray([one.label for one in stream])
    found: dict[str, list[tuple[int, int]]] = {"same intent": [], "other intent": []}
    for at, one in enumerate(stream):
        same = (names == one.label) & (one.label != OUT_OF_SCOPE)
        for kind, allowed in (("same intent", same), ("other intent", ~same)):
            if allowed.any():
                found[kind].append((at, int(np.where(allowed, cosines[at], -2).argmax())))
    checks: list[tuple[str, Check, float]] = [
        ("cosine", cosine_alone, settings.threshold),
        ("rules", rules_alone, settings.threshold),
        ("ossa", second_check, settings.likelihood),
    ]
    rows = []
    for kind, chosen in found.items():
        for name, check, least in checks:
            passed = [
                float(
                    cosines[one, other] >= settings.threshold
                    and check(stream[one].text, stream[other].text, round(float(cosines[one, other]), 4)) >= least
                )
                for one, other in chosen
            ]
            low, high = interval(passed)
            rows.append(
                {
                    "pairs": kind,
                    "method": name,
                    "n": len(passed),
                    "passed": round(sum(passed) / max(1, len(passed)), 4),
                    "low": round(low, 4),
                    "high": round(high, 4),
                }
            )
    return rows


async def for_real(stream: Sequence[Utterance], settings: AnswerSettings) -> RealReplay:
    with tempfile.TemporaryDirectory() as folder:
        index = EmbeddedQdrant(Path(folder) / "answers", schema=SCHEMA)
        await index.open()
        try:
            cache = AnswerCache(index, settings, vectorise=lambda text: word_vectors().of_question(text).tolist())
            return await replay_for_real(cache, stream)
        finally:
            await index.close()


def of_unseen_intents(stream: Sequence[Utterance], served: list[Served]) -> dict[str, Any]:
    """The hits on intents no pair of which the pair model was trained on."""
    unseen = [one for one in served if held_out(stream[one.asked].label) or held_out(stream[one.served].label)]
    false = [float(judge(stream[one.asked], stream[one.served]) is not None) for one in unseen]
    low, high = interval(false)
    return {
        "hits": len(unseen),
        "false": int(sum(false)),
        "false_rate": round(sum(false) / len(false), 4) if false else None,
        "low": round(low, 4),
        "high": round(high, 4),
    }


def milliseconds(measured: RealReplay) -> dict[str, Any]:
    rows = {}
    for how, found in measured.ms.items():
        if found:
            p50, p99 = np.quantile(found, (0.5, 0.99))
            rows[how] = {"n": len(found), "p50": round(float(p50), 2), "p99": round(float(p99), 2)}
    return rows


def false_hits(stream: Sequence[Utterance], served: list[Served]) -> list[dict[str, str]]:
    found = []
    for one in served:
        asked, earlier = stream[one.asked], stream[one.served]
        reason = judge(asked, earlier)
        if reason is not None:
            whose = {"intent": asked.label, "of": earlier.label}
            found.append({"why": reason, "asked": asked.text, "served": earlier.text, **whose})
    return found


def load(args: argparse.Namespace) -> list[Utterance]:
    if args.file:
        found = labels(args.file)
    elif (args.data / CLINC150).exists():
        found = clinc150(args.data)
    else:
        raise SystemExit(f"no {CLINC150} in {args.data}: give --data DIR (or OSSA_DATA), or --file FILE")
    stream = [one for one in found if one.split == args.split]
    if not stream:
        raise SystemExit(f"no utterance of the split {args.split!r}")
    random.Random(args.seed).shuffle(stream)
    return stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSSA_DATA", "../shared/data")))
    parser.add_argument("--file", type=Path, help="utterances in the labels form instead of CLINC150")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=7, help="of the stream's order")
    parser.add_argument("--out", type=Path, help="write the figures here")
    parser.add_argument("--picture", type=Path, help="draw the curve here (PNG)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    stream = load(args)
    settings = AnswerSettings(enabled=True, tenants=("*",), deadline_s=5, max_entries_per_tenant=len(stream) + 1)
    vectors = vectors_of(stream)
    measured = asyncio.run(for_real(stream, settings))
    product = row("ossa, as shipped", settings.threshold, settings.likelihood, stream, measured.served)
    result: dict[str, Any] = {
        "results": curve(stream, vectors, settings),
        "product": product,
        "other_orders": other_orders(stream, vectors, settings),
        "pairs": pairs(stream, vectors, settings),
        "milliseconds": milliseconds(measured),
        "unseen_intents": of_unseen_intents(stream, measured.served),
        "false_hits": false_hits(stream, measured.served),
        "verdict": {
            "false_hits_below_1_percent": product["false_rate"] is not None and product["false_rate"] < MOST_FALSE,
            "hit_rate_worth_having": product["hit_rate"] >= WORTH_HAVING,
        },
    }
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.picture:
        draw(result["results"], product, args.picture, most_false=MOST_FALSE)
    print(json.dumps(result, indent=1)) if args.json else show(result)
    sys.exit(0 if all(result["verdict"].values()) else 1)


if __name__ == "__main__":
    main()
