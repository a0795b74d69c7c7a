"""Files in the labels and model-choice forms, as material."""

from __future__ import annotations

from pathlib import Path

from jobs.router_training.material import Material, Source
from lab.routing.forms import choice_file, is_choice, labels_file
from lab.routing.splitting import parts
from ossa.contracts.errors import InvalidRequest
from ossa.contracts.routing import TIERS, ModelKind

KEPT_SHARE = 0.15


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
    sides = parts([one.prompt for one in found.shown], (1 - KEPT_SHARE, KEPT_SHARE), salt="kept")
    shown, kept = ([one for one, side in zip(found.shown, sides, strict=True) if side == at] for at in (0, 1))
    split = f"{found.split}; 15% of train, by near-duplicate clusters, chose parameters"
    return Material(Source(found.name, len(found.shown), len(found.test), split), shown, kept, found.test)
