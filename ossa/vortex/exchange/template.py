"""Placeholders `{TYPE:namespace:scope:id}`, and the trusted texts that hold them.

    {STATE:task:task_0a1b:status}      namespace: who resolves it
    {STATE:pool:intelligence:ready}    scope: of which thing
    {TEMPORAL:time:Europe/Berlin:now}  id: which of its values

The scope `current` stands for the thing at hand; the caller of the exchange says which one that is.

A text is read once, before any value is put into it, and only if it is `Trusted`: written by somebody who may change
the program or the fleet. Messages, answers of tools and documents never are. Values stay text, whatever they hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from ossa.contracts.errors import InvalidRequest

CURRENT = "current"
MAX_TEMPLATE_CHARS = 2**20

_NAMESPACE = r"[a-z][a-z0-9_-]{0,63}"
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.@/+-]{0,127}"
_BODY = rf"({_NAMESPACE}):({_WORD}):({_WORD})"


class InvalidTemplate(InvalidRequest):
    code, title = "template_invalid", "Template cannot be used"


class PlaceholderCycle(InvalidTemplate):
    """`details["cycle"]` names the placeholders in the order they need one another; the first comes last again."""

    code, title = "placeholder_cycle", "Placeholders need one another"


class PlaceholderLimit(InvalidTemplate):
    """`details` holds `limit` and `allowed`."""

    code, title = "placeholder_limit", "Too much to resolve"

    @classmethod
    def over(cls, limit: str, allowed: int, what: str) -> PlaceholderLimit:
        details = {"limit": limit, "allowed": allowed}
        return cls(f"The template leads to more than {allowed} {what}.", details=details)


class PlaceholderType(StrEnum):
    """The kind of a value, which decides how long it is reused."""

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

_REFERENCE = re.compile(rf"(\\?)\{{({'|'.join(PlaceholderType)}):{_BODY}\}}", re.ASCII)
"""A well-formed placeholder and the backslash before it; all repeats are bounded, so a match takes bounded time."""

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

    def bound(self, bindings: Mapping[str, str]) -> Placeholder:
        """The placeholder with `current` replaced, where `bindings` (a scope by namespace) says by what.

        Raises `InvalidTemplate` when that is not a scope.
        """
        scope = bindings.get(self.namespace)
        return replace(self, scope=scope) if self.scope == CURRENT and scope is not None else self

    def __str__(self) -> str:
        return f"{{{self.type}:{self.namespace}:{self.scope}:{self.id}}}"


@dataclass(frozen=True, slots=True)
class Trusted:
    """A text that may hold placeholders."""

    text: str


@dataclass(frozen=True, slots=True)
class Template:
    """Plain text and placeholders, in order."""

    parts: tuple[str | Placeholder, ...] = ()

    @classmethod
    def parse(cls, trusted: Trusted) -> Template:
        """Read a trusted text. What begins like a placeholder and is none stays text; so does one after a backslash.

        Raises `PlaceholderLimit` when the text is too long, and `TypeError` for anything but a `Trusted`.
        """
        if not isinstance(trusted, Trusted):
            raise TypeError(f"Only a Trusted text is read as a template, not a {type(trusted).__name__}.")
        if len(trusted.text) > MAX_TEMPLATE_CHARS:
            raise PlaceholderLimit.over("template_chars", MAX_TEMPLATE_CHARS, "characters")
        return cls(tuple(part for part in _read(trusted.text) if part))

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """Each once, in order of appearance."""
        return tuple(dict.fromkeys(part for part in self.parts if isinstance(part, Placeholder)))


def _read(text: str) -> Iterator[str | Placeholder]:
    end = 0
    for match in _REFERENCE.finditer(text):
        backslash, kind, namespace, scope, name = match.groups()
        yield text[end : match.start()]
        if backslash:
            yield match.group()[1:]
        else:
            yield Placeholder(PlaceholderType(kind), namespace, scope, name)
        end = match.end()
    yield text[end:]
