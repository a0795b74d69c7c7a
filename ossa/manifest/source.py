"""Bytes and files to text, and text to trees."""

from __future__ import annotations

import codecs
import stat
from collections.abc import Iterator
from pathlib import Path

from ossa.manifest.bounds import MAX_BYTES
from ossa.manifest.fault import fault
from ossa.manifest.json_reader import NotJson, not_json, read_json
from ossa.manifest.tree import Tree
from ossa.manifest.yaml_reader import read_yaml

_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_UTF8 = "text in UTF-8"


def read_file(path: Path) -> bytes:
    """The bytes of a regular file; never more than one over the bound. Raises `ManifestError`."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise fault("is not a regular file", source=str(path), expected="a YAML or JSON file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise fault(f"cannot be read: {reason}", source=str(path), expected="a readable file") from None


def decode(content: bytes | str, source: str) -> str:
    """Text within bounds, without its byte order mark. Raises `ManifestError`."""
    encoded = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    if len(encoded) > MAX_BYTES:
        raise fault(f"is larger than {MAX_BYTES} bytes", source=source, expected="one manifest, or several files")
    for mark, name in _OTHER_MARKS:
        if encoded.startswith(mark):
            raise fault(f"is encoded as {name}", source=source, expected=_UTF8)
    try:
        text = encoded.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = encoded.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{encoded[error.start]:02x} is not UTF-8"
        raise fault(problem, source=source, line=line, expected=_UTF8) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise fault("a NUL character", source=source, line=line, expected=_UTF8)
    return text


def read_trees(text: str, source: str) -> Iterator[Tree]:
    """JSON by its suffix or its looks, YAML otherwise. Raises `ManifestError` at the document at fault."""
    if source.lower().endswith(".json"):
        try:
            yield read_json(text, source)
        except NotJson as error:
            raise not_json(error, source) from None
        return
    if text.lstrip().startswith("{"):
        try:
            tree = read_json(text, source)
        except NotJson:
            pass  # YAML has mappings in braces too
        else:
            yield tree
            return
    yield from read_yaml(text, source)
