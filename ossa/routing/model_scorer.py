"""The models in use as one `ossa.routing.Scorer`: what a decision asks, and what it names in its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from ossa.contracts.agent_spec import Tier
from ossa.contracts.routing import TIERS, ModelKind
from ossa.routing.features import RequestFeatures
from ossa.routing.index import AgentGroup, FleetIndex
from ossa.routing.learned.agents import AgentTable
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
    _tables: dict[str, tuple[FleetIndex, AgentTable]] = field(default_factory=dict, repr=False, compare=False)
    """The descriptions of the index that was scored last."""

    @cached_property
    def name(self) -> str:
        """Kinds and digests, as `labels:0f3a quality:77b1`; `rules` without any."""
        return " ".join(f"{kind}:{one.digest}" for kind, one in sorted(self.models.items())) or "rules"

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float] | None:
        """By trained labels where one is likely enough and this fleet has it, else by agents' descriptions.

        None when there is no model for either.
        """
        self.seen(features.text)
        reading = read(features.text)
        return self._by_labels(index, reading) or self._by_descriptions(index, reading)

    def qualities(self, features: RequestFeatures) -> Mapping[Tier, float] | None:
        """By tier; None when the model does not estimate tiers."""
        loaded = self.models.get("quality")
        if loaded is None:
            return None
        quality: QualityModel = loaded.model
        at = {tier: quality.models.index(tier) for tier in TIERS if tier in quality.models}
        if not at:
            return None
        estimate = quality.predict(read(features.text)).quality.tolist()
        return {tier: estimate[position] for tier, position in at.items()}

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
        known = self._tables.get("latest")
        if known is None or known[0] is not index:
            known = index, AgentTable.of([_description(group) for group in index.groups], loaded.model)
            self._tables["latest"] = known
        likely: list[float] = known[1].likely(reading).tolist()
        return likely


def _description(group: AgentGroup) -> str:
    """What the group's agents say of themselves; nothing while none is ready, as none is then asked."""
    if not group.seats:
        return ""
    agent = group.seats[0][0]
    words = (group.pool, group.manifest, agent.description, *agent.capabilities, *agent.tools)
    return " ".join(words).replace("_", " ").replace("-", " ").replace(".", " ")
