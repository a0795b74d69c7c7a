"""YAML text to trees, one event at a time: nothing is composed before it was counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from ossa.contracts.errors import ManifestError
from ossa.manifest.bounds import MAX_DOCUMENTS
from ossa.manifest.fault import fault
from ossa.manifest.tree import FLATTER, TOO_DEEP, BadScalar, Scalar, Tree, TreeBuilder, plain

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
