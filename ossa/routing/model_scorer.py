"""The models in use as one `ossa.routing.Scorer`: what a decision asks, and what it names in its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from ossa.contracts.agent_spec import Tier
from ossa.contracts.routing import TIERS, ModelKind
from ossa.routing.descriptions import Descriptions
from ossa.routing.features import RequestFeatures
from ossa.routing.index import FleetIndex
from ossa.routing.learned.labels import LabelModel
from ossa.routing.learned.quality import QualityModel
from ossa.routing.learned.reading import Reading, read


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that was read and tried. `version` None: it came with the package. Equal to itself alone."""

    kind: ModelKind
    digest: str
    version: int | None
    model: Any
    card: Mapping[str, Any]
    since: datetime


@dataclass(frozen=True)
class ModelScorer:
    """`ossa.routing.Scorer` over the models of one moment; never changes, so a decision sees one set of them."""

    models: Mapping[ModelKind, LoadedModel] = field(default_factory=dict)
    seen: Callable[[str], None] = lambda _: None
    """Told each text whose agents are scored; it must return at once."""
    descriptions: Descriptions = field(default_factory=Descriptions, repr=False, compare=False)

    _readings: dict[str, tuple[str, Reading]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def name(self) -> str:
        """Kinds and digests, as `labels:0f3a quality:77b1`; `rules` without any."""
        return " ".join(f"{kind}:{one.digest}" for kind, one in sorted(self.models.items())) or "rules"

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float] | None:
        """By trained labels where one is likely enough and this fleet has it, else by agents' descriptions.

        None when there is no model for either, or the fleet's descriptions are not arranged yet.
        """
        self.seen(features.text)
        reading = self._reading(features.text)
        return self._by_labels(index, reading) or self._by_descriptions(index, reading)

    def prepare(self, index: FleetIndex) -> None:
        """Arranges the fleet's descriptions now: seconds of CPU for ten thousand agents, so call it in a thread."""
        loaded = self.models.get("agents")
        if loaded is not None:
            self.descriptions.arrange(index, loaded.model)

    def qualities(self, features: RequestFeatures) -> Mapping[Tier, float] | None:
        """By tier; None when the model does not estimate tiers."""
        loaded = self.models.get("quality")
        if loaded is None:
            return None
        quality: QualityModel = loaded.model
        at = {tier: quality.models.index(tier) for tier in TIERS if tier in quality.models}
        if not at:
            return None
        estimate = quality.predict(self._reading(features.text)).quality.tolist()
        return {tier: estimate[position] for tier, position in at.items()}

    def _reading(self, text: str) -> Reading:
        """Read once for both questions of a decision."""
        known = self._readings.get("latest")
        if known is None or known[0] != text:
            known = self._readings["latest"] = (text, read(text))
        return known[1]

    def _by_labels(self, index: FleetIndex, reading: Reading) -> Sequence[float] | None:
        """A group's fit is the likelihood of its manifest, or of its pool where the labels do not have the manifest."""
        loaded = self.models.get("labels")
        if loaded is None:
            return None
        labels: LabelModel = loaded.model
        scores = labels.predict(reading)
        if not scores.in_scope:
            return None
        of_pools = dict(zip(labels.group_names, labels.of_groups(scores.likely).tolist(), strict=True))
        found = [
            float(scores.likely[labels.positions[group.manifest]])
            if group.manifest in labels.positions
            else of_pools.get(group.pool)
            for group in index.groups
        ]
        if all(fit is None for fit in found):
            return None
        return [fit or 0.0 for fit in found]

    def _by_descriptions(self, index: FleetIndex, reading: Reading) -> Sequence[float] | None:
        loaded = self.models.get("agents")
        if loaded is None or not reading.words:
            return None
        likely = self.descriptions.likely(index, loaded.model, reading)
        return None if likely is None else list(likely.tolist())
