"""The spawn predictor from its material to the registry."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.spawn_training.trainer import FIRST, SpawnTrainer, results_of
from jobs.tuning.options import Plan
from jobs.tuning.promotion import Comparison, Verdict, compare, decide
from jobs.tuning.search import Found, search
from lab.forecasting.judging import Judged
from lab.forecasting.panels import joined, of_files, of_samples, recorded
from lab.forecasting.split import split
from ossa.contracts.routing import ModelKind, RoutingStore
from ossa.contracts.scaling import ScalingStore
from ossa.scaling.forecast.model import ForecastModel, ForecastModelError, load
from ossa.scaling.forecast.series import Panel

KIND: ModelKind = "forecast"
SIMPLE = "the simple experts"


@dataclass(frozen=True)
class Current:
    """The model in use. `model` None means the simple experts; `live` is the live version, readable or not."""

    name: str = SIMPLE
    model: ForecastModel | None = None
    live: int | None = None


@dataclass(frozen=True)
class Candidate:
    """The result of a search. `model` is fitted on all minutes; figures are of a fit without the held-out ones."""

    model: ForecastModel
    compared_with: str
    replaces: int | None
    found: Found
    held_out: list[dict[str, Any]]
    verdict: Verdict
    seconds: float

    def told(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "name": self.model.version,
            "compared_with": self.compared_with,
            "parameters": self.found.parameters,
            "validation": round(self.found.value, 5),
            "trials": self.found.trials,
            "trained": self.model.card["trained"],
            "skipped": self.model.card["skipped"],
            "held_out": self.held_out,
            "promote": self.verdict.promote,
            "reason": self.verdict.reason,
            "seconds": round(self.seconds, 1),
        }


async def fleet_minutes(store: ScalingStore, *, days: float, pools: Sequence[str] | None) -> Panel | None:
    """Returns the minutes of the last `days`; None without samples. Raises `StoreUnavailable`."""
    samples = await store.samples(since=datetime.now(UTC) - timedelta(days=days), pools=pools)
    return await asyncio.to_thread(of_samples, samples)


def material(samples: Panel | None, files: Sequence[Path], turn_s: float | None) -> Panel:
    """`turn_s`: what a turn takes, where a file does not say. Raises `InvalidRequest`: nothing, or a wrong file."""
    return joined(samples, of_files([recorded(file, turn_s) for file in files]))


async def current_model(store: RoutingStore) -> Current:
    """The live model; the simple experts without one, or where it cannot be read."""
    live = next((one for one in await store.live() if one.kind == KIND), None)
    if live is None:
        return Current()
    content = await store.model_file(KIND, live.version)
    try:
        return Current(f"version {live.version}", load(content), live.version)
    except ForecastModelError:
        return Current(live=live.version)  # what cannot be read forecasts nothing


def trainer_of(panel: Panel, current: Current) -> SpawnTrainer:
    """A model that does not know all pools forecasts none of them: then the simple experts are compared with.

    Raises `InvalidRequest` when there are too few minutes.
    """
    model = current.model
    if model is None or not set(model.pools) >= set(panel.names):
        return SpawnTrainer(panel, split(panel, None), SIMPLE, replaces=current.live)
    return SpawnTrainer(panel, split(panel, model.card), current.name, model, current.live)


def train_candidate(trainer: SpawnTrainer, plan: Plan) -> Candidate:
    """Search, fit on all but the end, compare there, fit on all. Minutes to hours of CPU; not in a loop."""
    began = time.monotonic()
    found = search(trainer, plan, first=(FIRST,))
    plan.tell(f"fitting {found.parameters} on all minutes but the held-out ones")
    ours, theirs = trainer.held_out(trainer.fit(found.parameters)), trainer.held_out(trainer.current)
    comparisons = [compare(results_of(one), results_of(other)) for one, other in zip(ours, theirs, strict=True)]
    told = [_told(*three) for three in zip(ours, theirs, comparisons, strict=True)]
    plan.tell("fitting the same on all minutes")
    fitted = trainer.whole(found.parameters)
    card = {
        **fitted.card,
        "held_out": [figures for one in ours for figures in one.pools],
        "compared": {"with": trainer.current_name, "horizons": told},
        "parameters": found.parameters,
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    model = ForecastModel(card, fitted.fitted)
    return Candidate(
        model=model,
        compared_with=trainer.current_name,
        replaces=trainer.replaces,
        found=found,
        held_out=told,
        verdict=decide(comparisons),
        seconds=time.monotonic() - began,
    )


async def register(store: RoutingStore, candidate: Candidate) -> tuple[int, Verdict]:
    """Into the registry, and live when it is better than what is in use still. Its version, and what became of it."""
    content = await asyncio.to_thread(candidate.model.dump)
    card = json.loads(json.dumps(candidate.model.card))
    record = await store.add_model(KIND, content, card=card, digest=candidate.model.version.removeprefix("forecast-"))
    verdict = candidate.verdict
    if verdict.promote and (now := (await current_model(store)).live) != candidate.replaces:
        verdict = Verdict(False, f"it was compared with {candidate.compared_with}, and version {now} is live by now")
    if verdict.promote:
        await store.promote(KIND, record.version)
    return record.version, verdict


def _told(ours: Judged, theirs: Judged, comparison: Comparison) -> dict[str, Any]:
    """`loss` and WAPE, of the candidate and of what it was compared with; `gain` in loss with its 95% interval."""
    return {
        "horizon_min": ours.horizon,
        "minutes": comparison.items,
        "loss": round(ours.loss, 5),
        "loss_current": round(theirs.loss, 5),
        "gain": [round(one, 5) for one in (comparison.gain.mean, comparison.gain.low, comparison.gain.high)],
        "wape": _rounded(ours.wape),
        "wape_current": _rounded(theirs.wape),
        "wape_persistence": _rounded(ours.persistence_wape),
        "coverage_90": _rounded(ours.coverage_90),
        "better": comparison.better,
        "worse": comparison.worse,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
