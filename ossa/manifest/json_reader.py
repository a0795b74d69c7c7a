"""JSON text to a tree with lines. YAML's parsers refuse JSON's `\\ud83d\\ude80`; `json` knows no lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from json.decoder import scanstring  # type: ignore[attr-defined]

from ossa.contracts.errors import ManifestError
from ossa.manifest.fault import fault
from ossa.manifest.tree import BadScalar, Scalar, Tree, TreeBuilder, real, whole

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


class NotJson(ValueError):
    """Not JSON at all. `line` says where."""

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.line = line


def read_json(text: str, source: str) -> Tree:
    """The one document of `text`.

    Raises `NotJson` for wrong syntax, `ManifestError` for JSON that is out of
    bounds or has a key twice.
    """
    builder = TreeBuilder(source)
    reader = _Reader(text, builder)
    reader.value()
    reader.skip()
    if reader.at < len(text):
        raise NotJson("text after the end of the document", reader.line())
    return builder.finish()


class _Reader:
    """Recursive over `value`; the builder's depth limit ends it."""

    def __init__(self, text: str, builder: TreeBuilder) -> None:
        self.text = text
        self.builder = builder
        self.at = 0
        self._counted_to = 0
        self._line = 1

    def line(self) -> int:
        """The line of `at`; counts on from the last call."""
        self._line += self.text.count("\n", self._counted_to, self.at)
        self._counted_to = max(self._counted_to, self.at)
        return self._line

    def skip(self) -> str:
        """Goes to the next character that is not space and returns it; nothing at the end."""
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def value(self) -> None:
        char = self.skip()
        if char == "{":
            self.builder.open_mapping(self.line())
            self._collection("}", self._pair)
        elif char == "[":
            self.builder.open_list(self.line())
            self._collection("]", self.value)
        elif char == '"':
            self._string()
        else:
            self._atom()

    def _collection(self, end: str, item: Callable[[], None]) -> None:
        self.at += 1
        if self.skip() != end:
            item()
            while self._comma(end):
                item()
        self.at += 1
        self.builder.close(self.line())

    def _pair(self) -> None:
        if self.skip() != '"':
            raise NotJson("a key must be a string in double quotes", self.line())
        self._string()
        if self.skip() != ":":
            raise NotJson("a colon is missing after a key", self.line())
        self.at += 1
        self.value()

    def _comma(self, end: str) -> bool:
        char = self.skip()
        if char == end:
            return False
        if char != ",":
            raise NotJson(f"a comma or {end} is missing", self.line())
        self.at += 1
        return True

    def _string(self) -> None:
        line = self.line()
        try:
            text, self.at = scanstring(self.text, self.at + 1, True)
        except ValueError as error:
            raise NotJson(str(error).split(":")[0].lower(), line) from None
        self.builder.scalar(text, text, line)

    def _atom(self) -> None:
        line = self.line()
        for word, constant in _WORDS.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                self.builder.scalar(word, constant, line)
                return
        number = _NUMBER.match(self.text, self.at)
        if number is None:
            raise NotJson("a value is missing", line)
        self.at = number.end()
        self.builder.scalar(number[0], self._number(number[0], bool(number[1]), line), line)

    def _number(self, text: str, is_real: bool, line: int) -> Scalar:
        try:
            return real(text) if is_real else whole(text)
        except BadScalar as bad:
            raise self.builder.refuse(str(bad), line, "a value JSON can hold") from None


def not_json(error: NotJson, source: str) -> ManifestError:
    """The refusal of a file that had to be JSON."""
    return fault(f"not JSON: {error}", source=source, line=error.line)
