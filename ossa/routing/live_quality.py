"""What requests look like to a model, and how its estimates compare with what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ossa.contracts.routing import Example
from ossa.routing.learned.labels import LabelModel
from ossa.routing.learned.quality import QualityModel
from ossa.routing.learned.reading import Reading, read
from ossa.routing.model_scorer import LoadedModel
from ossa.routing.tally import Count

GOOD = 0.5
"""A rating from which on an answer counts as right."""


def look(model: Any, reading: Reading) -> dict[str, float]:
    """What `ossa.routing.drift` compares, of one request."""
    found = {"characters": float(reading.characters)}
    buckets = reading.word_buckets
    if len(buckets) and isinstance(model, LabelModel | QualityModel):
        found["unknown words"] = float(np.mean(model.encoder.row_of[buckets] < 0))
    if isinstance(model, LabelModel):
        found["likelihood"] = float(model.predict(reading).likely.max(initial=0.0))
    return found


def look_at(model: Any, texts: Iterable[str]) -> list[dict[str, float]]:
    return [look(model, read(text)) for text in texts]


def evidence(loaded: LoadedModel, example: Example) -> Count | None:
    """None where the model says nothing of the example."""
    model = loaded.model
    if isinstance(model, QualityModel):
        return _of_tier(model, example)
    if isinstance(model, LabelModel):
        return _of_agent(model, example)
    return None


def _of_tier(model: QualityModel, example: Example) -> Count | None:
    if example.tier not in model.models:
        return None
    expected = float(model.predict(read(example.text)).quality[model.models.index(example.tier)])
    if example.rating is None:
        return Count(example.tenant, "outcome", expected, float(example.succeeded))
    return Count(example.tenant, "rating", expected, example.rating)


def _of_agent(model: LabelModel, example: Example) -> Count | None:
    """Only what users said of it: that a task succeeded does not tell that the agent was the right one."""
    scores = model.predict(read(example.text))
    if example.rating is None or not scores.in_scope:
        return None
    best = scores.best
    names = {model.labels[best], model.group_names[model.groups[best]]}
    if example.expected:
        return Count(example.tenant, "rating", float(scores.likely[best]), float(example.expected in names))
    if names & {example.manifest, example.pool}:
        return Count(example.tenant, "rating", float(scores.likely[best]), float(example.rating >= GOOD))
    return None
