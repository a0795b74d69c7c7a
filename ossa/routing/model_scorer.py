"""The learned models in use as one `ossa.routing.Scorer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ossa.contracts.agent_spec import Tier
from ossa.contracts.routing import TIERS, ModelKind
from ossa.routing.descriptions import Descriptions
from ossa.routing.features import RequestFeatures
from ossa.routing.index import FleetIndex
from ossa.routing.learned.labels import LabelModel
from ossa.routing.learned.quality import QualityModel
from ossa.routing.learned.reading import Reading, read
from ossa.routing.loaded_model import LoadedModel


@dataclass(frozen=True)
class ModelScorer:
    """`ossa.routing.Scorer` over the models of one moment. It never changes, so a decision sees one set of models."""

    models: Mapping[ModelKind, LoadedModel] = field(default_factory=dict)
    seen: Callable[[str], None] = lambda _: None
    """Called with each text whose agents are scored; must return at once."""
    descriptions: Descriptions = field(default_factory=Descriptions, repr=False, compare=False)

    _readings: dict[str, tuple[str, Reading]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def name(self) -> str:
        """Kinds and digests, as `labels:0f3a quality:77b1`; `rules` without any."""
        return " ".join(f"{kind}:{model.digest}" for kind, model in sorted(self.models.items())) or "rules"

    def fits(self, index: FleetIndex, features: RequestFeatures) -> Sequence[float] | None:
        """Scores by trained labels if one is likely enough and the fleet has it, else by agents' descriptions.

        Returns None without a model for either, and until the fleet's descriptions are arranged.
        """
        self.seen(features.text)
        reading = self._reading(features.text)
        return self._by_labels(index, reading) or self._by_descriptions(index, reading)

    def prepare(self, index: FleetIndex) -> None:
        """Arranges the fleet's descriptions. Takes seconds of CPU for ten thousand agents: call it in a thread."""
        loaded = self.models.get("agents")
        if loaded is not None:
            self.descriptions.arrange(index, loaded.model)

    def qualities(self, features: RequestFeatures) -> Mapping[Tier, float] | None:
        """Returns qualities by tier; None if the model does not estimate tiers."""
        loaded = self.models.get("quality")
        if loaded is None:
            return None
        model: QualityModel = loaded.model
        positions = {tier: model.models.index(tier) for tier in TIERS if tier in model.models}
        if not positions:
            return None
        quality = model.predict(self._reading(features.text)).quality.tolist()
        return {tier: quality[position] for tier, position in positions.items()}

    def _reading(self, text: str) -> Reading:
        """Reads a text once for both questions of a decision."""
        latest = self._readings.get("latest")
        if latest is None or latest[0] != text:
            latest = self._readings["latest"] = (text, read(text))
        return latest[1]

    def _by_labels(self, index: FleetIndex, reading: Reading) -> Sequence[float] | None:
        """A group's fit is the likelihood of its manifest, or of its pool if the labels do not have the manifest."""
        loaded = self.models.get("labels")
        if loaded is None:
            return None
        labels: LabelModel = loaded.model
        scores = labels.predict(reading)
        if not scores.in_scope:
            return None
        pools = dict(zip(labels.group_names, labels.of_groups(scores.likely).tolist(), strict=True))
        fits = [
            float(scores.likely[labels.positions[group.manifest]])
            if group.manifest in labels.positions
            else pools.get(group.pool)
            for group in index.groups
        ]
        return None if all(fit is None for fit in fits) else [fit or 0.0 for fit in fits]

    def _by_descriptions(self, index: FleetIndex, reading: Reading) -> Sequence[float] | None:
        loaded = self.models.get("agents")
        if loaded is None or not reading.words:
            return None
        likely = self.descriptions.likely(index, loaded.model, reading)
        return None if likely is None else list(likely.tolist())
