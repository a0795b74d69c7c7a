"""Files in the labels and model-choice forms, as splits.

labels         split, text, label, group            `oos` as the group: it belongs to no label
model choice   split, task, prompt, score|MODEL, cost_usd|MODEL
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.routing.labels import OUT_OF_SCOPE, Labelled
from lab.routing.quality import Answered
from lab.routing.splitting import parts, unseen
from ossa.contracts.errors import InvalidRequest

KEPT_SHARE = 0.15


@dataclass(frozen=True)
class LabelSet:
    """
    Attributes:
        kept: for the temperature and thresholds; never trained on.
        cards: what each label says of itself, where there is something.
        outside: texts of another set, shown as out of scope.
    """

    name: str
    group_name: str
    shown: list[Labelled]
    kept: list[Labelled]
    test: list[Labelled]
    cards: dict[str, str] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)
    split: str = ""


@dataclass(frozen=True)
class ChoiceSet:
    name: str
    shown: list[Answered]
    test: list[Answered]
    strong: str
    """The most expensive model."""
    weak: str
    """The cheapest one."""
    split: str = ""


def labels_file(file: Path) -> LabelSet:
    """Raises `InvalidRequest` that says what the file lacks."""
    rows = [
        (
            row["split"],
            Labelled(
                row["text"], OUT_OF_SCOPE if row.get("group") == OUT_OF_SCOPE else row["label"], row.get("group", "")
            ),
        )
        for row in _rows(file, ("split", "text", "label"))
    ]
    test = [one for split, one in rows if split == "test"]
    train = unseen([one for split, one in rows if split == "train"], test, lambda one: one.text)
    if not train or not test:
        raise InvalidRequest(f"{file}: a labels file needs rows of the splits train and test.", param="data")
    shown, kept, _ = by_part(train, (1 - KEPT_SHARE, KEPT_SHARE, 0.0))
    return LabelSet(
        file.stem, f"{file.stem} group", shown, kept, test, split="the file's own; 15% of train kept for calibration"
    )


def choice_file(file: Path, name: str = "") -> ChoiceSet:
    """Raises `InvalidRequest` that says what the file lacks."""
    rows = _rows(file, ("split", "prompt"))
    models = [column.removeprefix("score|") for column in rows[0] if column.startswith("score|")]
    if not models or any(f"cost_usd|{model}" not in rows[0] for model in models):
        raise InvalidRequest(f"{file}: a model-choice file needs columns score|MODEL and cost_usd|MODEL.", param="data")
    found: dict[str, list[Answered]] = {"train": [], "test": []}
    for row in rows:
        score = {model: _number(file, row, f"score|{model}") for model in models}
        cost = {model: _number(file, row, f"cost_usd|{model}") for model in models}
        task = row.get("task") or row.get("eval_name") or ""
        found.setdefault(row["split"], []).append(Answered(task, row["prompt"], score, cost))
    if not found["train"] or not found["test"]:
        raise InvalidRequest(f"{file}: rows of the splits train and test are needed.", param="data")
    shown = unseen(found["train"], found["test"], lambda one: one.prompt)
    total = {model: sum(one.cost_usd[model] for one in shown) for model in models}
    dropped = len(found["train"]) - len(shown)
    return ChoiceSet(
        name or file.stem,
        shown,
        found["test"],
        strong=max(models, key=lambda model: sum(one.score[model] for one in shown)),
        weak=min(models, key=lambda model: total[model]),
        split=f"the file's own; {dropped} train prompts with the words of a test prompt dropped",
    )


def is_choice(file: Path) -> bool:
    content = file.read_bytes()
    head = gzip.decompress(content) if file.suffix == ".gz" else content
    return b"score|" in head.split(b"\n", 1)[0]


def read_csv(file: Path) -> list[dict[str, str]]:
    content = file.read_bytes()
    text = gzip.decompress(content) if file.suffix == ".gz" else content
    csv.field_size_limit(1 << 30)
    return list(csv.DictReader(io.StringIO(text.decode("utf-8"))))


def _rows(file: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    rows = read_csv(file)
    missing = [column for column in needed if not rows or column not in rows[0]]
    if missing:
        raise InvalidRequest(f"{file}: it needs rows with the columns {', '.join(missing)}.", param="data")
    return rows


def _number(file: Path, row: Mapping[str, str], column: str) -> float:
    try:
        return float(row[column])
    except (TypeError, ValueError):
        raise InvalidRequest(f"{file}: {row[column]!r} in the column {column} is no number.", param="data") from None


def by_part(rows: Sequence[Labelled], shares: Sequence[float]) -> tuple[list[Labelled], ...]:
    at = parts([one.text for one in rows], shares, salt="labels")
    return tuple([one for one, part in zip(rows, at, strict=True) if part == side] for side in range(3))
