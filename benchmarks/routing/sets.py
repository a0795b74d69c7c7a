"""The open sets, and files in the labels and model-choice forms, as splits."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.routing.splitting import parts, unseen
from benchmarks.training.router_labels import OUT_OF_SCOPE, Labelled
from benchmarks.training.router_quality import Answered

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


def clinc150(data: Path) -> LabelSet:
    rows = read_csv(data / "routing/clinc150_full.csv.gz")
    by: dict[str, list[Labelled]] = {"train": [], "val": [], "test": []}
    for row in rows:
        by[row["split"].removeprefix("oos_")].append(Labelled(row["text"], row["intent"], row["domain"]))
    rest = [*by["val"], *by["test"]]
    shown = unseen(by["train"], rest, lambda one: one.text)
    outside = [row["query"] for row in read_csv(data / TOOLE)]
    step = max(1, len(outside) // OUTSIDE_TEXTS)
    split = f"the set's own; {len(by['train']) - len(shown)} train texts with the words of a val or test text dropped"
    return LabelSet(
        "clinc150 intent", "clinc150 domain", shown, by["val"], by["test"], outside=outside[::step], split=split
    )


TOOLE = Path("routing/metatool_toole_single_tool.csv.gz")
OUTSIDE_TEXTS = 2_500


def toole(data: Path) -> LabelSet:
    rows = [Labelled(row["query"], row["tool"]) for row in read_csv(data / TOOLE)]
    cards = json.loads((data / "routing/metatool_tool_descriptions.json").read_text(encoding="utf-8"))
    shown, kept, test = _by_part(rows, (0.65, 0.10, 0.25))
    return LabelSet(
        "toole", "toole group", shown, kept, test, cards, split="65/10/25 by near-duplicate clusters (MinHash)"
    )


def labels_file(file: Path) -> LabelSet:
    rows = [
        (
            row["split"],
            Labelled(
                row["text"], OUT_OF_SCOPE if row.get("group") == OUT_OF_SCOPE else row["label"], row.get("group", "")
            ),
        )
        for row in read_csv(file)
    ]
    test = [one for split, one in rows if split == "test"]
    train = unseen([one for split, one in rows if split == "train"], test, lambda one: one.text)
    if not train or not test:
        raise SystemExit(f"{file}: a labels file needs rows of the splits train and test")
    shown, kept, _ = _by_part(train, (1 - KEPT_SHARE, KEPT_SHARE, 0.0))
    return LabelSet(
        file.stem, f"{file.stem} group", shown, kept, test, split="the file's own; 15% of train kept for calibration"
    )


def routerbench(data: Path) -> ChoiceSet:
    return choice_file(data / "routing/routerbench_mbpp_arc_winogrande.csv.gz", name="routerbench")


def routellm_mmlu(data: Path) -> ChoiceSet:
    rows = [row for row in read_csv(data / "routing/routellm_mmlu.csv.gz") if row["contaminated"] == "False"]
    answered = [
        Answered(
            row["domain"],
            row["prompt"],
            {
                "mixtral-8x7b": float(row["mixtral_8x7b_correct"] == "True"),
                "gpt-4-1106": float(row["gpt4_1106_correct"] == "True"),
            },
            {name: price * len(row["prompt"]) / 4 for name, price in MMLU_USD_A_TOKEN.items()},
        )
        for row in rows
    ]
    at = parts([one.prompt for one in answered], (0.5, 0.5), salt="mmlu")
    shown, test = ([one for one, part in zip(answered, at, strict=True) if part == side] for side in (0, 1))
    return ChoiceSet(
        "routellm_mmlu", shown, test, "gpt-4-1106", "mixtral-8x7b", "half and half by near-duplicate clusters (MinHash)"
    )


MMLU_USD_A_TOKEN = {"mixtral-8x7b": 0.6e-6, "gpt-4-1106": 10e-6}
"""List prices of input in RouterBench's time (its Mixtral and GPT-4 rows); four characters count as a token."""


def choice_file(file: Path, name: str = "") -> ChoiceSet:
    rows = read_csv(file)
    models = [column.removeprefix("score|") for column in rows[0] if column.startswith("score|")]
    if not models:
        raise SystemExit(f"{file}: a model-choice file needs columns score|MODEL and cost_usd|MODEL")
    found: dict[str, list[Answered]] = {"train": [], "test": []}
    for row in rows:
        score = {model: float(row[f"score|{model}"]) for model in models}
        cost = {model: float(row[f"cost_usd|{model}"]) for model in models}
        task = row.get("task") or row.get("eval_name") or ""
        found.setdefault(row["split"], []).append(Answered(task, row["prompt"], score, cost))
    if not found["train"] or not found["test"]:
        raise SystemExit(f"{file}: rows of the splits train and test are needed")
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


def _by_part(rows: Sequence[Labelled], shares: Sequence[float]) -> tuple[list[Labelled], ...]:
    at = parts([one.text for one in rows], shares, salt="labels")
    return tuple([one for one, part in zip(rows, at, strict=True) if part == side] for side in range(3))
