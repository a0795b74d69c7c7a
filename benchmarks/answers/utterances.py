"""Utterances with the intent they were labelled with: CLINC150, or a file in the labels form."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

OUT_OF_SCOPE = "oos"
CLINC150 = Path("routing/clinc150_full.csv.gz")


@dataclass(frozen=True)
class Utterance:
    """`label` is `oos` for one that belongs to no intent."""

    split: str
    text: str
    label: str

    def same(self, other: Utterance) -> bool:
        """Whether both are of one intent; nothing is of one intent with what is out of scope."""
        return self.label == other.label != OUT_OF_SCOPE


def clinc150(data: Path) -> list[Utterance]:
    """Its 15,000 train, 3,000 val and 4,500 test utterances, and the out-of-scope ones of each split."""
    return [Utterance(row["split"].removeprefix("oos_"), row["text"], row["intent"]) for row in _rows(data / CLINC150)]


def labels(file: Path) -> list[Utterance]:
    """The labels form: `split`, `text`, `label`, `group` (`oos`: out of scope)."""
    return [
        Utterance(row["split"], row["text"], OUT_OF_SCOPE if row.get("group") == OUT_OF_SCOPE else row["label"])
        for row in _rows(file)
    ]


def held_out(label: str) -> bool:
    """A third of the intents, by the name's digest: no pair of theirs is trained on."""
    return hashlib.sha256(label.encode()).digest()[0] % 3 == 0


def _rows(file: Path) -> list[dict[str, str]]:
    content = file.read_bytes()
    text = gzip.decompress(content) if file.suffix == ".gz" else content
    return list(csv.DictReader(io.StringIO(text.decode("utf-8"))))
