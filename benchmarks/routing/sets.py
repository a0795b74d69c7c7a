"""The open sets, as splits."""

from __future__ import annotations

import json
from pathlib import Path

from lab.routing.forms import ChoiceSet, LabelSet, by_part, choice_file, read_csv
from lab.routing.labels import Labelled
from lab.routing.quality import Answered
from lab.routing.splitting import parts, unseen


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
    shown, kept, test = by_part(rows, (0.65, 0.10, 0.25))
    return LabelSet(
        "toole", "toole group", shown, kept, test, cards, split="65/10/25 by near-duplicate clusters (MinHash)"
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
