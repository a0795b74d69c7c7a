"""Text of ours with placeholders in it, and text of others that can never hold one.

    template = Template.parse(Trusted("Pool: {STATE:pool:intelligence:ready} ready.\n{INPUT:question}", source="..."))
    template.fill({"question": Untrusted(what_the_user_wrote)})

The template's own text is read once, before anything is put into it. What is put in stays
text: nothing looks for placeholders in it, whatever it holds. A `Trusted` is what somebody who
may change the program or the fleet wrote; a message, a tool's answer or a document never is.

A backslash before a placeholder makes it plain text; a backslash anywhere else is a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ossa.vortex.exchange.errors import InvalidTemplate, PlaceholderLimit
from ossa.vortex.exchange.placeholder import REFERENCE, TYPES, Placeholder

MAX_TEMPLATE_CHARS = 2**20

_MARK = re.compile(rf"\{{(?=(?:{TYPES}|INPUT):)")
_SLOT = re.compile(r"\{INPUT:([a-z][a-z0-9_]{0,63})\}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trusted:
    """Text that may hold placeholders. `source` says where it is from, for error messages."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Untrusted:
    """Text of a user, a tool, a model or a document."""

    text: str


@dataclass(frozen=True, slots=True)
class Slot:
    """`{INPUT:name}`: where a text of others goes."""

    name: str

    def __str__(self) -> str:
        return f"{{INPUT:{self.name}}}"


Part = str | Placeholder | Slot


@dataclass(frozen=True, slots=True)
class Template:
    """Plain text, placeholders and slots, in order. No plain text is empty or follows another."""

    parts: tuple[Part, ...] = ()

    @classmethod
    def parse(cls, trusted: Trusted) -> Template:
        """Read a text of ours.

        Raises `InvalidTemplate` for what begins like a placeholder and is none, `PlaceholderLimit`
        when the text is too long, and `TypeError` for anything but a `Trusted`.
        """
        if not isinstance(trusted, Trusted):
            raise TypeError(f"Only a Trusted text is read as a template, not a {type(trusted).__name__}.")
        if len(trusted.text) > MAX_TEMPLATE_CHARS:
            raise PlaceholderLimit(
                f"The template {trusted.source} has {len(trusted.text)} characters; {MAX_TEMPLATE_CHARS} are allowed.",
                details={"limit": "template_chars", "allowed": MAX_TEMPLATE_CHARS},
            )
        return cls(_joined(_read(trusted)))

    @classmethod
    def of(cls, *pieces: Template | Trusted | Untrusted | Placeholder) -> Template:
        """Pieces one after the other. Two pieces never make a placeholder together."""
        return cls(_joined(part for piece in pieces for part in _parts_of(piece)))

    @property
    def placeholders(self) -> tuple[Placeholder, ...]:
        """Each once, in order of appearance."""
        return tuple(dict.fromkeys(part for part in self.parts if isinstance(part, Placeholder)))

    @property
    def slots(self) -> tuple[str, ...]:
        """Names, each once, in order of appearance."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Slot)))

    def fill(self, inputs: Mapping[str, Untrusted]) -> Template:
        """Put texts into their slots. Raises `InvalidTemplate` for a slot without a text or a text without a slot."""
        if set(inputs) != set(self.slots):
            raise InvalidTemplate(f"The template takes the inputs {sorted(self.slots)}, not {sorted(inputs)}.")
        return Template(_joined(inputs[part.name].text if isinstance(part, Slot) else part for part in self.parts))

    def source(self) -> str:
        """Text that `parse` reads as this template again."""
        written: list[str] = []
        last = len(self.parts) - 1
        for place, part in enumerate(self.parts):
            written.append(_escaped(part, before_mark=place < last) if isinstance(part, str) else str(part))
        return "".join(written)


def _parts_of(piece: Template | Trusted | Untrusted | Placeholder) -> tuple[Part, ...]:
    match piece:
        case Template():
            return piece.parts
        case Trusted():
            return Template.parse(piece).parts
        case Untrusted():
            return (piece.text,)
        case Placeholder():
            return (piece,)
    raise TypeError(f"A template is not made of a {type(piece).__name__}; say Trusted or Untrusted.")


def _joined(parts: Iterator[Part]) -> tuple[Part, ...]:
    joined: list[Part] = []
    words: list[str] = []
    for part in parts:
        if isinstance(part, str):
            words.append(part)
            continue
        if text := "".join(words):
            joined.append(text)
        words.clear()
        joined.append(part)
    if text := "".join(words):
        joined.append(text)
    return tuple(joined)


def _read(trusted: Trusted) -> Iterator[Part]:
    text, at = trusted.text, 0
    for mark in _MARK.finditer(text):
        start = mark.start()
        slashes = _backslashes_before(text, start, at)
        yield text[at : start - slashes]
        yield "\\" * (slashes // 2)
        if slashes % 2:
            yield "{"
            at = start + 1
            continue
        part, at = _reference(trusted, start)
        yield part
    yield text[at:]


def _reference(trusted: Trusted, start: int) -> tuple[Part, int]:
    if found := REFERENCE.match(trusted.text, start):
        return Placeholder.of_match(found), found.end()
    if slot := _SLOT.match(trusted.text, start):
        return Slot(slot.group(1)), slot.end()
    raise InvalidTemplate(
        f"{trusted.source}, character {start}: {trusted.text[start : start + 60]!r} is no placeholder. Write "
        "{TYPE:namespace:scope:id}, or a backslash before the brace to mean the text itself.",
        details={"source": trusted.source, "offset": start},
    )


def _backslashes_before(text: str, end: int, start: int) -> int:
    at = end
    while at > start and text[at - 1] == "\\":
        at -= 1
    return end - at


def _escaped(text: str, *, before_mark: bool) -> str:
    """Backslashes doubled before every mark, and one more where the mark is only text."""
    written: list[str] = []
    at = 0
    for mark in _MARK.finditer(text):
        slashes = _backslashes_before(text, mark.start(), at)
        written += [text[at : mark.start()], "\\" * slashes, "\\{"]
        at = mark.end()
    written.append(text[at:])
    if before_mark:
        written.append("\\" * _backslashes_before(text, len(text), at))
    return "".join(written)
