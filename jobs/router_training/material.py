"""Training and test data of a model, for two jobs: expected quality of tiers, and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jobs.tuning.trainer import Trainer
from lab.routing.forms import choice_file, is_choice, labels_file
from lab.routing.labels import Labelled
from lab.routing.splitting import key_of, parts
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.fleet import POOLS
from ossa.contracts.routing import TIERS, Example, ModelKind
from ossa.routing.learned.archive import ModelFile


class RouterTrainer(Trainer[ModelFile], Protocol):
    def texts(self) -> list[str]:
        """Returns the training texts, as a reference of the inputs."""


@dataclass(frozen=True)
class Source:
    """Where material came from, for the card."""

    name: str
    shown: int
    tested: int
    split: str


@dataclass(frozen=True)
class Material:
    """Data of one source, split by time (journal) or by clusters of near duplicates (sets)."""

    source: Source
    shown: Sequence[Any]
    kept: Sequence[Any]
    test: Sequence[Any]
    whole: bool = field(default=True)
    """Whether each item says how every tier did; of the journal's it is the one that answered alone."""


def first(items: Sequence[Any], share: float) -> list[Any]:
    """Evenly out of all of them, so that a share looks like the whole."""
    count = max(1, round(len(items) * share))
    return [items[at * len(items) // count] for at in range(count)]


TEST_SHARE, KEPT_SHARE = 0.2, 0.15
GOOD = 0.5
LEAST = 50
"""Fewer examples teach nothing."""

SPLIT = "by time: the newest 20% are held back, 15% before them chose parameters; same words stand on one side"


@dataclass(frozen=True)
class Observed:
    """A prompt, the tier that answered it, and how good the answer was; `score` None: nobody said, and it did not fail.

    `cost_usd` is of the whole task.
    """

    prompt: str
    topic: str
    tier: str
    score: float | None
    cost_usd: float


def observed(examples: Sequence[Example]) -> Material:
    """For expected quality: what users said, else 0 for what failed. Explored choices count like others."""
    rows = [
        Observed(one.text, one.manifest or one.pool, one.tier, _score(one), one.cost_usd)
        for one in _oldest_first(examples)
        if one.tier is not None
    ]
    return _split(rows, [row.prompt for row in rows], whole=False)


def labelled(examples: Sequence[Example]) -> Material:
    """For labels: whom users expected, or who gave an answer they liked. What nobody rated says nothing."""
    pool_of = {one.manifest: one.pool for one in examples if one.manifest}
    rows = []
    for one in _oldest_first(examples):
        wanted = one.expected or (one.manifest if one.rating is not None and one.rating >= GOOD else "")
        if wanted:
            pool = wanted if wanted in POOLS else pool_of.get(wanted, "")
            rows.append(Labelled(one.text, wanted, pool or wanted))
    return _split(rows, [row.text for row in rows], whole=True)


def _score(example: Example) -> float | None:
    if example.rating is not None:
        return example.rating
    return None if example.succeeded else 0.0


def _oldest_first(examples: Sequence[Example]) -> list[Example]:
    return sorted((one for one in examples if one.text.strip()), key=lambda one: (one.at, one.task_id))


def _split(rows: Sequence[object], texts: Sequence[str], *, whole: bool) -> Material:
    """`rows` oldest first; of equal texts the older ones are dropped from what is shown."""
    count = len(rows)
    test_from = round(count * (1 - TEST_SHARE))
    kept_from = round(count * (1 - TEST_SHARE - KEPT_SHARE))
    keys = [key_of(text) for text in texts]
    in_test, in_kept = set(keys[test_from:]), set(keys[kept_from:])
    shown = [row for row, key in zip(rows[:kept_from], keys, strict=False) if key not in in_kept]
    kept = [row for row, key in zip(rows[kept_from:test_from], keys[kept_from:], strict=False) if key not in in_test]
    test = list(rows[test_from:])
    return Material(Source("journal", len(shown) + len(kept), len(test), SPLIT), shown, kept, test, whole)


SET_KEPT_SHARE = 0.15


def kind_of(file: Path) -> ModelKind:
    """Raises `InvalidRequest` for a file that is not there."""
    if not file.is_file():
        raise InvalidRequest(f"There is no file {file}.", param="data")
    return "quality" if is_choice(file) else "labels"


def material_of(file: Path) -> Material:
    """The file's own test rows are held back; of the others near duplicates stand on one side.

    Raises `InvalidRequest` for a file that lacks something, and for models that are not tiers.
    """
    return _labels(file) if kind_of(file) == "labels" else _choices(file)


def _labels(file: Path) -> Material:
    found = labels_file(file)
    source = Source(found.name, len(found.shown) + len(found.kept), len(found.test), found.split)
    return Material(source, found.shown, found.kept, found.test)


def _choices(file: Path) -> Material:
    found = choice_file(file)
    models = set(found.shown[0].score)
    if not models <= set(TIERS):
        raise InvalidRequest(
            f"{file}: the models must be called as tiers are ({', '.join(TIERS)}), not {', '.join(sorted(models))}.",
            param="data",
        )
    sides = parts([one.prompt for one in found.shown], (1 - SET_KEPT_SHARE, KEPT_SHARE), salt="kept")
    shown, kept = ([one for one, side in zip(found.shown, sides, strict=True) if side == at] for at in (0, 1))
    split = f"{found.split}; 15% of train, by near-duplicate clusters, chose parameters"
    return Material(Source(found.name, len(found.shown), len(found.test), split), shown, kept, found.test)
