"""Where a dialect keeps what an agent is made of. A dialect is data; `convert` interprets it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

Keys = tuple[str, ...]


def keys(*dotted: str) -> tuple[Keys, ...]:
    """`"spec.llm"` as `("spec", "llm")`, several at once."""
    return tuple(tuple(path.split(".")) for path in dotted)


class Unit(Enum):
    """What a limit's number counts. `TOKENS`, `REQUESTS` and `STEPS` are whole and at least 1."""

    TOKENS = "tokens"
    REQUESTS = "requests"
    STEPS = "steps"
    USD = "US dollars"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to write a limit."""

    path: Keys
    unit: Unit


def rules(unit: Unit, *dotted: str) -> tuple[Rule, ...]:
    return tuple(Rule(path, unit) for path in keys(*dotted))


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths from the document's root, the more telling first.

    The first that holds something wins, except: `instructions` are added to
    `role`; `tools` and `capabilities` of all places are joined; and every
    limit that is written is checked, though the first counts.
    """

    required: tuple[Keys, ...]
    names: tuple[Keys, ...]
    versions: tuple[Keys, ...]
    descriptions: tuple[Keys, ...]
    titles: tuple[Keys, ...]
    instructions: tuple[Keys, ...] = ()
    models: tuple[Keys, ...] = ()
    tools: tuple[Keys, ...] = ()
    capabilities: tuple[Keys, ...] = ()
    autonomies: tuple[Keys, ...] = ()
    pools: tuple[Keys, ...] = ()
    domains: tuple[Keys, ...] = ()
    labels: tuple[Keys, ...] = ()
    annotations: tuple[Keys, ...] = ()
    limits: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
