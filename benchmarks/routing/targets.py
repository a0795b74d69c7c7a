"""What must be shown on the open sets. A set that was not run asks nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.routing.choosing import Bill
from benchmarks.routing.results import Result, Target
from lab.routing.noise import NOISES

OURS = "ossa"
MOST_LOST = 0.02
MOST_ECE = 0.03
ACCURACY = {
    "clinc150 intent": 0.95, "clinc150 domain": 0.965, "clinc150 domain+refusing": 0.95,
    "toole": 0.75, "toole+top5": 0.93,
}  # fmt: skip
REFUSED = {"clinc150 domain+refusing": 0.60}
APGR = {"routellm_mmlu": 0.66}
COST_OF_STRONG = {"routerbench": 0.5}
SAVED = {"routerbench": 0.25}
CURVES = ("routerbench",)
CALIBRATED = ("clinc150 intent", "clinc150 domain", "toole", "routerbench", "routellm_mmlu")


def targets(results: Sequence[Result], bills: Sequence[Bill]) -> list[Target]:
    ours = {one.set: one for one in results if one.method == OURS}
    return [*_labels(ours), *_choices(results, ours, bills), *_sturdy(ours), *_calibrated(ours)]


def _labels(ours: dict[str, Result]) -> Iterator[Target]:
    for name, asked in ACCURACY.items():
        if name in ours:
            yield Target(f"{name}: accuracy", asked, ours[name].accuracy)
    for name, asked in REFUSED.items():
        if name in ours and (refused := ours[name].oos_recall) is not None:
            yield Target(f"{name}: out-of-scope recall", asked, refused)


def _choices(results: Sequence[Result], ours: dict[str, Result], bills: Sequence[Bill]) -> Iterator[Target]:
    for name, asked in APGR.items():
        if name in ours and (apgr := ours[name].apgr) is not None:
            yield Target(f"{name}: APGR", asked, apgr)
    for bill in bills:
        if bill.method == OURS and bill.set in COST_OF_STRONG:
            share = bill.nearly_usd / bill.fixed_usd
            name = f"{bill.set}: cost of the strong model's accuracy less half a point, of its cost"
            yield Target(name, COST_OF_STRONG[bill.set], share, at_most=True)
        if bill.method == OURS and bill.set in SAVED:
            yield Target(f"{bill.set}: saved at the best fixed model's accuracy", SAVED[bill.set], bill.saved)
    for name in CURVES:
        others = [
            one for one in results if one.set == name and one.method.startswith(("fixed", "knn", "mix", "random"))
        ]
        best = max((one.aiq for one in others if one.aiq is not None), default=0.0)
        if name in ours and (aiq := ours[name].aiq) is not None:
            yield Target(f"{name}: area under the curve, the best of neighbours and fixed models", round(best, 4), aiq)


def _sturdy(ours: dict[str, Result]) -> Iterator[Target]:
    for name, plain in ours.items():
        for noise in NOISES:
            noisy = ours.get(f"{name}+{noise}")
            if noisy is not None and name in CALIBRATED:
                lost = plain.accuracy - noisy.accuracy
                yield Target(f"{name}: accuracy lost to {noise}", MOST_LOST, lost, at_most=True)


def _calibrated(ours: dict[str, Result]) -> Iterator[Target]:
    for name in CALIBRATED:
        if name in ours and (error := ours[name].ece) is not None:
            yield Target(f"{name}: expected calibration error", MOST_ECE, error, at_most=True)
