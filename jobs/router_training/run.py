"""One kind of model from its material to the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.router_training.label_trainer import LabelTrainer
from jobs.router_training.material import LEAST, Material, RouterTrainer, labelled, observed
from jobs.router_training.quality_trainer import QualityTrainer
from jobs.tuning.options import Plan, same_as_before
from jobs.tuning.promotion import Verdict, compare, decide
from jobs.tuning.search import Found, search
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.routing import Example, ModelKind, RoutingStore
from ossa.routing.drift import REFERENCE, shares_of
from ossa.routing.learned.archive import ModelFile, ModelFileError, dump, load, packaged
from ossa.routing.model_scorer import build, look_at

REFERENCE_TEXTS = 5_000
TRAINER = "trainer.pickle"


@dataclass(frozen=True)
class Candidate:
    """The result of a search. `current` is the model it was compared with."""

    kind: ModelKind
    file: ModelFile
    current: str
    found: Found
    comparisons: list[dict[str, Any]]
    verdict: Verdict

    def told(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "digest": self.file.digest,
            "compared_with": self.current,
            "parameters": self.found.parameters,
            "validation": round(self.found.value, 5),
            "trials": self.found.trials,
            "held_back": self.comparisons,
            "promote": self.verdict.promote,
            "reason": self.verdict.reason,
        }


async def journal_examples(store: RoutingStore, *, days: float, limit: int, tenant: str | None) -> list[Example]:
    return await store.examples(since=datetime.now(UTC) - timedelta(days=days), limit=limit, tenant=tenant)


async def current_model(store: RoutingStore | None, kind: ModelKind) -> tuple[str, ModelFile | None]:
    """(its name, the model in use): the live one, else the packaged one, else rules."""
    live = [] if store is None else [one for one in await store.live() if one.kind == kind]
    if store is not None and live:
        content = await store.model_file(kind, live[0].version)
        try:
            return f"version {live[0].version}", load(content, source=f"router model {kind} {live[0].version}")
        except ModelFileError:
            pass  # what cannot be read serves nobody
    try:
        return "the packaged model", packaged(kind)
    except ModelFileError:
        return "rules", None


def trainer_of(
    kind: ModelKind, examples: Sequence[Example], sets: Sequence[Material], current: ModelFile | None
) -> RouterTrainer:
    """Raises `InvalidRequest` when there is too little to learn from."""
    journal = observed(examples) if kind == "quality" else labelled(examples)
    materials = [*sets, *([journal] if journal.source.shown >= LEAST and journal.test else [])]
    if not materials:
        raise InvalidRequest(
            f"{kind}: {journal.source.shown} examples in the journal and no set; {LEAST} are needed. "
            "Rate answers (`ossa feedback`), or give sets with --data."
        )
    return QualityTrainer(materials, current) if kind == "quality" else LabelTrainer(materials)


def train_candidate(trainer: RouterTrainer, current: ModelFile | None, current_name: str, plan: Plan) -> Candidate:
    """Search, fit on all that is shown, compare on what was held back. Hours of CPU; call it outside of a loop."""
    trainer = same_as_before(plan.path / f"{trainer.kind}.{TRAINER}", trainer)
    found = search(trainer, plan)
    plan.tell(f"{trainer.kind}: fitting {found.parameters} on all that is shown")
    file = trainer.fit(found.parameters)
    build(trainer.kind, file, "the candidate")
    ours, theirs = trainer.judge(file), trainer.judge(current)
    comparisons = [compare(one, other) for one, other in zip(ours, theirs, strict=True)]
    told = [one.told() for one in comparisons]
    card = {
        **file.card,
        REFERENCE: _reference(trainer, file),
        "parameters": found.parameters,
        "held_back": {"compared_with": current_name, "comparisons": told},
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Candidate(trainer.kind, ModelFile(card, file.arrays), current_name, found, told, decide(comparisons))


async def register(store: RoutingStore, candidate: Candidate) -> int:
    """Into the registry, and live when it is better. Its version."""
    content = await asyncio.to_thread(dump, candidate.file)
    card = dict(load(content).card)  # as the file has it: plain JSON
    record = await store.add_model(candidate.kind, content, card=card, digest=candidate.file.digest)
    if candidate.verdict.promote:
        await store.promote(candidate.kind, record.version)
    return record.version


def _reference(trainer: RouterTrainer, file: ModelFile) -> dict[str, list[float]]:
    """Returns the distribution of the model's inputs on the material, to detect drift later."""
    model = build(trainer.kind, file, "the candidate")
    return shares_of(look_at(model, trainer.texts()[:REFERENCE_TEXTS]))
