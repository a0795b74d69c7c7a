"""Reads JSON and YAML text as trees of values that know their places."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

import yaml

from ossa.contracts.errors import ManifestError
from ossa.manifest.bounds import MAX_DOCUMENTS
from ossa.manifest.fault import fault
from ossa.manifest.tree import FLATTER, TOO_DEEP, BadScalar, Scalar, Tree, TreeBuilder, plain, real, whole

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


PARSERS: tuple[Any, ...] = tuple(
    loader for loader in (getattr(yaml, "CSafeLoader", None), yaml.SafeLoader) if loader is not None
)
"""libyaml's parser where PyYAML carries it, then the one in Python. Only their events are used, no constructor."""

_STANDARD = "tag:yaml.org,2002:"
_TEXT_TAGS = {"str", "timestamp"}
_TYPES: dict[str, Any] = {"int": int, "float": int | float, "bool": bool}
_PARSER_TOO_DEEP = "maximum nesting depth"


def read_yaml(text: str, source: str, parser: Any = PARSERS[0]) -> Iterator[Tree]:
    """Each document of `text` that is not empty, as soon as it is complete. Raises `ManifestError`."""
    builder = TreeBuilder(source)
    empty = True
    documents = 0
    try:
        for event in yaml.parse(text, Loader=parser):
            if isinstance(event, yaml.DocumentStartEvent):
                empty = True
            elif isinstance(event, yaml.DocumentEndEvent):
                tree = builder.finish()
                if not empty:
                    documents += 1
                    if documents > MAX_DOCUMENTS:
                        raise fault(
                            f"holds more than {MAX_DOCUMENTS} documents", source=source, expected="several files"
                        )
                    yield tree
            else:
                empty = _feed(builder, event) and empty
    except yaml.YAMLError as error:
        refusal = _syntax_fault(error, source)
        refusal.details["kind"] = builder.kind()
        raise refusal from None


def _feed(builder: TreeBuilder, event: Any) -> bool:
    """True while what was read is nothing, as after a `---` at a file's end."""
    line = event.start_mark.line + 1
    match event:
        case yaml.ScalarEvent():
            is_plain = event.implicit[0]
            value = _scalar(builder, event, line)
            builder.scalar(event.value, value, line, event.anchor, is_plain=is_plain)
            return is_plain and event.value == ""
        case yaml.MappingStartEvent():
            _check_collection(builder, event, line, "map")
            builder.open_mapping(line, event.anchor)
        case yaml.SequenceStartEvent():
            _check_collection(builder, event, line, "seq")
            builder.open_list(line, event.anchor)
        case yaml.CollectionEndEvent():
            builder.close(line)
        case yaml.AliasEvent():
            builder.alias(str(event.anchor), line)
        case _:
            return True
    return False


def _scalar(builder: TreeBuilder, event: Any, line: int) -> Scalar:
    text: str = event.value
    tag: str | None = event.tag
    try:
        if event.implicit[0]:
            return plain(text)
        if tag is None or tag == "!" or event.implicit[1]:
            return text
        return _tagged(text, tag)
    except BadScalar as bad:
        raise builder.refuse(str(bad), line, "a value JSON can hold") from None


def _tagged(text: str, tag: str) -> Scalar:
    """Raises `BadScalar`."""
    kind = tag.removeprefix(_STANDARD)
    if kind in _TEXT_TAGS:
        return text
    if kind == "null":
        return None
    if kind not in _TYPES:
        raise BadScalar(f"tag {tag[:60]}, which is not of the JSON types")
    value = plain(text)
    if not isinstance(value, _TYPES[kind]) or isinstance(value, bool) != (kind == "bool"):
        raise BadScalar(f"a value tagged !!{kind} that is none")
    return float(value) if kind == "float" else value


def _check_collection(builder: TreeBuilder, event: Any, line: int, kind: str) -> None:
    if event.tag not in (None, "!", f"{_STANDARD}{kind}"):
        raise builder.refuse(f"tag {event.tag[:60]}", line, "no tags, only plain mappings and lists")


def _syntax_fault(error: yaml.YAMLError, source: str) -> ManifestError:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        if _PARSER_TOO_DEEP in said:  # libyaml looks ahead, past our own bound, and has one too
            line = mark.line + 1 if mark else None
            return fault(TOO_DEEP, source=source, line=line, expected=FLATTER)
        return fault(f"not YAML: {said}", source=source, line=mark.line + 1 if mark else None)
    said = str(error).splitlines()[0][:160]
    return fault(f"not YAML: {said}", source=source, expected="printable text")
