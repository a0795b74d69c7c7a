"""Which dialect a document is in, and what kind of thing it describes."""

from __future__ import annotations

from dataclasses import dataclass

from ossa.manifest.dialects import api_version, ossa_version, v0_1_8, v0_1_9
from ossa.manifest.layout import Layout
from ossa.manifest.place import Place

KNOWN = "ossa/v0.2.2 to ossa/v0.9.x, ossa/v1, @bluefly/ossa/v0.1.9, `ossa: 0.1.8` or `ossaVersion: 1.0`"

_MAX_KIND = 100

_BY_API_VERSION = (
    (api_version.VERSION, api_version.LAYOUT),
    (v0_1_9.VERSION, v0_1_9.LAYOUT),
    (v0_1_8.API_VERSION, v0_1_8.LAYOUT),
)


@dataclass(frozen=True, slots=True)
class Detected:
    """`layout` is None for a kind other than Agent; `dialect` is as written."""

    dialect: str
    kind: str
    layout: Layout | None


def detect(root: Place) -> Detected:
    """Raises `ManifestError` when the document is no mapping, of no known dialect, or says no kind where it must."""
    if not isinstance(root.value, dict):
        raise root.fail("a mapping with apiVersion, kind, metadata and spec")
    kind = root.at("kind").text("a word, such as Agent")
    if len(kind) > _MAX_KIND or not kind.isprintable():
        raise root.at("kind").fail("a word, such as Agent")
    for name, read in (("apiVersion", _api_version), ("ossa", _ossa), ("ossaVersion", _ossa_version)):
        if root.at(name).value is not None:
            return read(root, kind)
    if kind and kind != "Agent":
        return Detected("", kind, None)
    raise root.fail(KNOWN, problem="declares no OSSA version (no apiVersion, ossa or ossaVersion)")


def _api_version(root: Place, kind: str) -> Detected:
    written = root.at("apiVersion")
    dialect = written.text()
    if kind and kind != "Agent":
        return Detected(dialect, kind, None)
    if "{{" in dialect:
        raise written.fail(KNOWN, problem=f"is {written.value!r}: an unfilled template")
    for version, layout in _BY_API_VERSION:
        if version.match(dialect):
            if not kind:
                raise root.at("kind").fail("kind: Agent")
            return Detected(dialect, kind, layout)
    raise written.fail(KNOWN)


def _ossa(root: Place, kind: str) -> Detected:
    version = root.at("ossa").text("a version such as 0.1.8")
    if not v0_1_8.OSSA.match(version):
        raise root.at("ossa").fail("0.1.8")
    layout = v0_1_8.LAYOUT if kind in ("", "Agent") else None
    return Detected(f"ossa: {version}", kind or "Agent", layout)


def _ossa_version(root: Place, kind: str) -> Detected:
    version = root.at("ossaVersion").text("a version such as 1.0")
    if not ossa_version.VERSION.match(version):
        raise root.at("ossaVersion").fail("1.0")
    layout = ossa_version.LAYOUT if kind in ("", "Agent") else None
    return Detected(f"ossaVersion: {version}", kind or "Agent", layout)
