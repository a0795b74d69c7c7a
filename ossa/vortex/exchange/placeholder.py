"""`{TYPE:namespace:scope:id}`: a value that is put in just before it is needed.

    {STATE:task:task_0a1b:status}      namespace: who resolves it
    {STATE:pool:intelligence:ready}    scope: of which thing
    {TEMPORAL:time:Europe/Berlin:now}  id: which of its values

The scope `current` stands for the thing at hand; the caller of the exchange says which that is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from ossa.vortex.exchange.errors import InvalidTemplate

CURRENT = "current"

_NAMESPACE = r"[a-z][a-z0-9_-]{0,63}"
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.@/+-]{0,127}"
_BODY = rf"({_NAMESPACE}):({_WORD}):({_WORD})"


class PlaceholderType(StrEnum):
    """What kind of value it is, and by that how long one stays true."""

    CONTEXT = "CONTEXT"
    DATA = "DATA"
    STATE = "STATE"
    METRICS = "METRICS"
    TEMPORAL = "TEMPORAL"

    @property
    def lifetime_s(self) -> float:
        """How long a value is used again; 0: never."""
        return _LIFETIME_S[self]


_LIFETIME_S = {
    PlaceholderType.CONTEXT: 300.0,
    PlaceholderType.DATA: 600.0,
    PlaceholderType.STATE: 60.0,
    PlaceholderType.METRICS: 60.0,
    PlaceholderType.TEMPORAL: 0.0,
}

TYPES = "|".join(PlaceholderType)
REFERENCE = re.compile(rf"\{{({TYPES}):{_BODY}\}}", re.ASCII)
"""One well-formed placeholder; all its repeats are bounded, so a match takes bounded time."""

_PARTS = re.compile(_BODY, re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Placeholder:
    """Raises `InvalidTemplate` when a part holds what its grammar does not allow."""

    type: PlaceholderType
    namespace: str
    scope: str
    id: str

    def __post_init__(self) -> None:
        if not _PARTS.fullmatch(f"{self.namespace}:{self.scope}:{self.id}"):
            raise InvalidTemplate(
                f"Not a placeholder: {str(self)[:200]!r}. A namespace is lower case; scope and id are up to 128 "
                "letters, digits and _ . @ / + -"
            )

    @classmethod
    def parse(cls, text: str) -> Placeholder:
        """From its written form, braces and all. Raises `InvalidTemplate`."""
        match = REFERENCE.fullmatch(text)
        if match is None:
            raise InvalidTemplate(f"Not a placeholder: {text[:200]!r}; expected {{TYPE:namespace:scope:id}}.")
        return cls.of_match(match)

    @classmethod
    def of_match(cls, match: re.Match[str]) -> Placeholder:
        """From a match of `REFERENCE`."""
        kind, namespace, scope, name = match.groups()
        return cls(PlaceholderType(kind), namespace, scope, name)

    def at(self, scope: str) -> Placeholder:
        """The same value of another thing. Raises `InvalidTemplate`."""
        return replace(self, scope=scope)

    def __str__(self) -> str:
        return f"{{{self.type}:{self.namespace}:{self.scope}:{self.id}}}"
