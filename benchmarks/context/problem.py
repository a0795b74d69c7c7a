"""A compression problem, in the context form that `--file` takes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """`facts` are groups of strings: a fact is kept when all strings of its group are in the compressed text.

    Attributes:
        answers: accepted answers for a reader; one of them must be in the text for it to count as kept.
        gold: text whose share that was kept is the measure (QMSum), instead of facts.
    """

    id: str
    kind: str | None
    content: str
    question: str = ""
    facts: tuple[tuple[str, ...], ...] = ()
    answers: tuple[str, ...] = ()
    gold: tuple[str, ...] = ()
    # Where strings are matched without regard to case and as whole words.
    words: bool = field(default=False)


def open_lines(path: Path) -> Iterator[str]:
    """Lines of a plain or gzipped text file."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            yield line.decode("utf-8")


def read_file(path: Path) -> list[Problem]:
    """Problems in the context form: `id`, `kind`, `content`, `question`, `must_keep`, `answers`."""
    found = []
    for number, line in enumerate(open_lines(path), start=1):
        row = json.loads(line)
        for name in ("id", "content"):
            if not isinstance(row.get(name), str):
                raise SystemExit(f"{path}:{number}: `{name}` must be a string")
        found.append(
            Problem(
                id=row["id"],
                kind=row.get("kind") or None,
                content=row["content"],
                question=row.get("question") or "",
                facts=tuple((text,) for text in row.get("must_keep") or ()),
                answers=tuple(row.get("answers") or ()),
            )
        )
    return found
