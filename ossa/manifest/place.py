"""A place in a document, for the readers of single fields: its value, its path and line, and how to refuse it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ossa.contracts.errors import ManifestError
from ossa.manifest.bounds import MAX_CHARS, MAX_INT
from ossa.manifest.fault import Path, fault, shown
from ossa.manifest.tree import Tree

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?\Z")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|sec|seconds?|m|min|minutes?|h|hours?)\Z")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_REF_PREFIX = "#/"


@dataclass(frozen=True, slots=True)
class Place:
    """`value` is None where the document has nothing. `env` is what variables expand from."""

    tree: Tree
    env: Mapping[str, str]
    path: Path
    value: Any

    @classmethod
    def root(cls, tree: Tree, env: Mapping[str, str]) -> Place:
        return cls(tree, env, (), tree.data)

    def at(self, *keys: str) -> Place:
        """The value further down, None when a step is missing or no mapping."""
        value = self.value
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return Place(self.tree, self.env, self.path + keys, value)

    def items(self) -> list[Place]:
        """The elements of a list; nothing for anything else."""
        if not isinstance(self.value, list):
            return []
        return [Place(self.tree, self.env, (*self.path, index), item) for index, item in enumerate(self.value)]

    def entries(self) -> list[tuple[str, Place]]:
        """The pairs of a mapping; nothing for anything else."""
        return [(key, self.at(key)) for key in self.value] if isinstance(self.value, dict) else []

    def followed(self) -> Place:
        """Follows a mapping's local `$ref` (`#/components/tools/x`); without one this is the place."""
        reference = self.value.get("$ref") if isinstance(self.value, dict) else None
        if not isinstance(reference, str) or not reference.startswith(_REF_PREFIX):
            return self
        keys = [part.replace("~1", "/").replace("~0", "~") for part in reference[len(_REF_PREFIX) :].split("/")]
        target = Place.root(self.tree, self.env).at(*keys)
        return self if target.value is None else target

    def fail(self, expected: str, problem: str = "") -> ManifestError:
        """The error to raise about this place. It quotes the value as written, never what a variable holds."""
        problem = problem or ("is missing" if self.value is None else f"is {shown(self.value)}")
        line = self.tree.line(self.path) or None
        return fault(problem, source=self.tree.source, line=line, path=self.path, expected=expected)

    def text(self, expected: str = "text") -> str:
        """Expanded and stripped; empty where nothing is written. Raises for a mapping or list."""
        if isinstance(self.value, dict | list):
            raise self.fail(expected)
        return self.text_or("")

    def text_or(self, default: str) -> str:
        """Like `text`, but `default` for a mapping, a list, nothing or blank text."""
        value = self.value
        if value is None or isinstance(value, dict | list):
            return default
        if isinstance(value, bool):
            return "true" if value else "false"
        return self._expanded(value) or default if isinstance(value, str) else str(value)

    def whole(self, minimum: int) -> int | None:
        """A whole number, also as text. None where nothing is written. Raises for anything else."""
        expected = f"a whole number of at least {minimum}"
        number = self._number(expected)
        if number is None:
            return None
        if number != int(number) or not minimum <= number <= MAX_INT:
            raise self.fail(expected)
        return int(number)

    def real(self, minimum: float, expected: str) -> float | None:
        """A number, also as text. None where nothing is written. Raises for anything else."""
        number = self._number(expected)
        if number is not None and number < minimum:
            raise self.fail(expected)
        return None if number is None else float(number)

    def seconds(self, unit: float = 1.0) -> float | None:
        """A time above zero in seconds: a number of `unit` seconds, or text such as `90s`, `5m`, `500ms`."""
        expected = "a time above zero, such as 90 or 90s" if unit == 1.0 else "a number of milliseconds above zero"
        duration = _DURATION.match(self._expanded(self.value)) if isinstance(self.value, str) else None
        if duration:
            suffix = duration[2] if duration[2] == "ms" else duration[2][0]
            value: float | None = float(duration[1]) * _SECONDS[suffix]
        else:
            number = self._number(expected)
            value = None if number is None else number * unit
        if value is not None and value <= 0:
            raise self.fail(expected)
        return value

    def _expanded(self, written: str) -> str:
        try:
            return expand(written, self.env).strip()
        except TooLong as error:
            raise self.fail("shorter text", problem=str(error)) from None

    def _number(self, expected: str) -> int | float | None:
        value = self.value
        if value is None:
            return None
        if isinstance(value, str):
            text = self._expanded(value)
            variable = unresolved(text)
            if variable:
                raise self.fail(expected, problem=f"is {shown(value)}, and variable {variable} is not set")
            if not _NUMBER.match(text) or len(text) > 32:
                raise self.fail(expected)
            value = float(text) if re.search(r"[.eE]", text) else int(text)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.fail(expected)
        return value


_VARIABLE = re.compile(
    r"""\$\{ ([A-Za-z_][A-Za-z0-9_]*)                      # the name; `${outputs.x}` and `${{ x }}` are not ours
        (?: (:?-) ( (?: [^{}$] | \$(?!\{) | \$\{[^{}]*\} )*+ ) )?  # a default, which may hold one more variable
        \}""",
    re.VERBOSE,
)


class TooLong(ValueError):
    """Few characters of text can ask for a long variable many times."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """`text` with variables put in, as a shell would.

    `:-` takes the default when the variable is unset or empty, `-` when it is
    unset. Unset without a default it stays as written. What a variable holds
    is not expanded again. Raises `TooLong`.
    """
    if "${" not in text:
        return text
    length = len(text)

    def put_in(match: re.Match[str]) -> str:
        nonlocal length
        value = _value(match, env)
        length += len(value)
        if length > MAX_CHARS:
            raise TooLong(f"expands to more than {MAX_CHARS} characters")
        return value

    return _VARIABLE.sub(put_in, text)


def unresolved(text: str) -> str | None:
    """The first variable that still stands in an expanded text."""
    match = _VARIABLE.search(text)
    return match[1] if match else None


def _value(match: re.Match[str], env: Mapping[str, str]) -> str:
    name, operator, default = match.groups()
    value = env.get(name)
    if value is not None and (value or operator != ":-"):
        return value
    return match[0] if default is None else expand(default, env)
