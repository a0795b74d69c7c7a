"""Which manifest or pool a text is for, from what users expected and liked, and from sets in the labels form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.router_training.material import Material, first
from jobs.tuning.promotion import Results
from jobs.tuning.trainer import Choice, Parameters, Range
from lab.routing.labels import OUT_OF_SCOPE, LabelJob, Labelled, train
from lab.routing.network import Plan
from ossa.contracts.routing import ModelKind
from ossa.routing.learned.archive import ModelFile
from ossa.routing.learned.labels import LabelModel
from ossa.routing.learned.reading import read


@dataclass(frozen=True)
class LabelTrainer:
    """Half of what is kept calibrates, the other half chooses parameters."""

    materials: Sequence[Material]
    kind: ModelKind = "labels"

    @property
    def space(self) -> Mapping[str, Range | Choice]:
        return {
            "rate": Range(0.002, 0.01),
            "decay": Range(0.01, 0.3),
            "input_dropout": Choice((0.3, 0.45, 0.6)),
            "hidden": Choice((64, 128, 160)),
            "epochs": Choice((10, 20)),
        }

    def fit(self, parameters: Parameters, *, share: float = 1.0, held_back: bool = False) -> ModelFile:
        kept = self._rows("kept")
        about = {
            "name": "manifests and pools",
            "data": [one.source.name for one in self.materials],
            "split": {one.source.name: one.source.split for one in self.materials},
        }
        job = LabelJob(
            shown=first(self._rows("shown"), share),
            kept=kept[::2] if held_back else kept,
            about=about,
            plan=Plan(**{"members": 1, **parameters}),
        )
        return train(job)

    def texts(self) -> list[str]:
        return [row.text for row in self._rows("shown")]

    def validate(self, model: ModelFile) -> float:
        right = _right(LabelModel.of(model), self._rows("kept")[1::2])
        return sum(right) / max(1, len(right))

    def judge(self, model: ModelFile | None) -> list[Results]:
        labels = None if model is None else LabelModel.of(model)
        found = []
        for material in self.materials:
            if material.test:
                gain = self._most_common(material.test) if labels is None else _right(labels, material.test)
                found.append(Results(material.source.name, gain, [0.0] * len(gain)))
        return found

    def _rows(self, part: str) -> list[Labelled]:
        return [row for material in self.materials for row in getattr(material, part)]

    def _most_common(self, rows: Sequence[Labelled]) -> list[float]:
        """Without a model the most frequent label is what one would guess."""
        guess = Counter(row.label for row in self._rows("shown")).most_common(1)[0][0]
        return [float(row.label == guess) for row in rows]


def _right(model: LabelModel, rows: Sequence[Labelled]) -> list[float]:
    """1 for the right label, or group where the label is a group's name; out of scope for being unsure of all."""
    found = []
    for row in rows:
        scores = model.predict(read(row.text))
        label, group = model.labels[scores.best], model.group_names[model.groups[scores.best]]
        if row.label == OUT_OF_SCOPE:
            found.append(float(not scores.in_scope))
        else:
            found.append(float(row.label in (label, group)))
    return found
