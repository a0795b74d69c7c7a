"""What happens to a text when one of its values cannot be had."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ossa.vortex.exchange.call import Resolver
from ossa.vortex.exchange.errors import ResolutionFailed
from ossa.vortex.exchange.placeholder import Placeholder

UNAVAILABLE = "[unavailable]"


@dataclass(frozen=True, slots=True)
class Degrade:
    """A text stands in for the value, in the result and for whatever depends on it."""

    text: str = UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Fallback:
    """Another resolver is asked, in the time that is left; when it fails too, `text` stands in."""

    resolver: Resolver
    text: str = UNAVAILABLE


@dataclass(frozen=True, slots=True)
class StaleOk:
    """The last known value, up to `max_stale_s` past its lifetime; without one, `text` stands in."""

    max_stale_s: float = 3600.0
    text: str = UNAVAILABLE


@dataclass(frozen=True, slots=True)
class SkipDependants:
    """It is left out, and so is every placeholder that depends on it; their resolvers are not called."""


@dataclass(frozen=True, slots=True)
class Propagate:
    """The whole resolution raises the `ResolutionFailed`."""


FailureMode = Degrade | Fallback | StaleOk | SkipDependants | Propagate


class Remedy(StrEnum):
    """What was done in the end."""

    DEGRADED = "degraded"
    FALLBACK = "fallback"
    STALE = "stale"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Failure:
    """A value that could not be had as wanted. `code` and `message` are the error's."""

    placeholder: Placeholder
    remedy: Remedy
    code: str
    message: str

    @classmethod
    def of(cls, placeholder: Placeholder, remedy: Remedy, error: ResolutionFailed) -> Failure:
        return cls(placeholder, remedy, error.code, error.message)
