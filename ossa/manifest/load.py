"""Files, texts and folders to readings, one a document; and the catalogue that comes with the package."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.errors import ManifestError
from ossa.contracts.fleet import POOLS
from ossa.contracts.value import Value
from ossa.manifest.bounds import MAX_BYTES
from ossa.manifest.dialects import detect
from ossa.manifest.fault import fault
from ossa.manifest.fields import convert
from ossa.manifest.place import Place
from ossa.manifest.readers import NotJson, not_json, read_json, read_yaml
from ossa.manifest.tree import Tree, read_plain

SUFFIXES = (".yaml", ".yml", ".json")


class Loaded(Value):
    """An agent."""

    status: Literal["loaded"] = "loaded"
    source: str
    line: int | None
    spec: AgentSpec

    def __str__(self) -> str:
        return f"{self.spec.source}: {self.spec.name} {self.spec.version} ({self.spec.dialect})"


class Rejected(Value):
    """A document, or the rest of a file, that cannot be used. `message` names file, line, path and what is expected."""

    status: Literal["rejected"] = "rejected"
    source: str
    line: int | None = None
    path: str = Field(default="", description="dotted, from the document's root; empty for the whole")
    kind: str = Field(default="", description="the document's kind, where it could still be read")
    problem: str = ""
    expected: str = ""
    message: str

    @classmethod
    def because(cls, error: ManifestError, source: str) -> Rejected:
        found: dict[str, Any] = error.details
        return cls(
            source=found.get("file") or source,
            line=found.get("line"),
            path=found.get("path") or "",
            kind=found.get("kind") or "",
            problem=found.get("problem") or error.message,
            expected=found.get("expected") or "",
            message=error.message,
        )

    def error(self) -> ManifestError:
        """The same as an exception."""
        details = {
            "file": self.source,
            "line": self.line,
            "path": self.path,
            "expected": self.expected,
            "problem": self.problem,
        }
        return ManifestError(self.message, param=self.path or None, details=details)

    def __str__(self) -> str:
        return self.message


class OtherKind(Value):
    """A document that describes something else: a Workflow, Task, Crew, Skill, …"""

    status: Literal["other-kind"] = "other-kind"
    source: str
    line: int | None
    kind: str
    dialect: str = ""

    def error(self) -> ManifestError:
        """The error to raise where an agent is needed."""
        details = {"file": self.source, "line": self.line, "path": "kind", "expected": "kind: Agent"}
        return ManifestError(str(self), param="kind", details=details)

    def __str__(self) -> str:
        return f"{self.source}:{self.line or 1}: kind {self.kind} is not an Agent"


Reading = Loaded | Rejected | OtherKind


def load(path: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> list[Reading]:
    """Every document of one file, in order. Never raises for what the file is or holds.

    `env` is what `${VAR:-default}` expands from; None: this process's
    environment. Give `{}` for manifests of strangers, who could otherwise
    read the environment through their agent's role.
    """
    source = os.fspath(path)
    try:
        content = read_file(Path(path))
    except ManifestError as error:
        return [Rejected.because(error, source)]
    return loads(content, source, env)


def loads(content: str | bytes, source: str = "<string>", env: Mapping[str, str] | None = None) -> list[Reading]:
    """Like `load`, for YAML or JSON text. A `source` that ends in `.json` must be JSON."""
    return list(_readings(content, source, os.environ if env is None else env))


def scan(paths: Iterable[str | os.PathLike[str]], env: Mapping[str, str] | None = None) -> Iterator[Reading]:
    """Every document of the files, and of the YAML and JSON files anywhere below the folders, sorted by name.

    Links to folders are not followed. A path that is absent, and a folder
    without a manifest file, is one `Rejected`.
    """
    for given in paths:
        path = Path(given)
        if not path.is_dir():
            yield from load(path, env)
            continue
        files = list(_files(path))
        if not files:
            error = fault("holds no .yaml, .yml or .json file", source=str(path), expected="a folder of manifests")
            yield Rejected.because(error, str(path))
        for file in files:
            yield from load(file, env)


def read_agent(manifest: str | bytes | os.PathLike[str], env: Mapping[str, str] | None = None) -> AgentSpec:
    """The one agent of a file or text; a string with a line break or brace is text, another names a file.

    Raises `ManifestError` when there is no agent, more than one document, or a rejected one.
    """
    is_text = isinstance(manifest, bytes) or (isinstance(manifest, str) and ("\n" in manifest or "{" in manifest))
    readings = loads(manifest, env=env) if is_text else load(manifest, env)  # type: ignore[arg-type]
    return _only(readings)


def from_mapping(
    document: Mapping[str, Any], source: str = "<mapping>", env: Mapping[str, str] | None = None
) -> AgentSpec:
    """The agent of a document that was parsed already, as from a request's body. Raises `ManifestError`."""
    reading = _reading(read_plain(document, source), os.environ if env is None else env)
    return _only([reading])


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names) if name.lower().endswith(SUFFIXES))


def _readings(content: str | bytes, source: str, env: Mapping[str, str]) -> Iterator[Reading]:
    count = 0
    try:
        for tree in read_trees(decode(content, source), source):
            count += 1
            yield _reading(tree, env)
    except ManifestError as error:
        count += 1
        yield Rejected.because(error, source)
    if not count:
        yield Rejected.because(fault("is empty", source=source, expected="an OSSA manifest"), source)


def _reading(tree: Tree, env: Mapping[str, str]) -> Reading:
    root = Place.root(tree, env)
    line = tree.line(())
    try:
        detected = detect(root)
        if detected.layout is None:
            return OtherKind(source=tree.source, line=line, kind=detected.kind, dialect=detected.dialect)
        return Loaded(source=tree.source, line=line, spec=convert(root, detected.dialect, detected.layout))
    except ManifestError as error:
        rejected = Rejected.because(error, tree.source)
        return rejected.model_copy(update={"kind": root.at("kind").text_or("")})


def _only(readings: list[Reading]) -> AgentSpec:
    for reading in readings:
        if not isinstance(reading, Loaded):
            raise reading.error()
    if len(readings) > 1:
        raise fault(f"holds {len(readings)} documents", source=readings[0].source, expected="one agent")
    (only,) = readings
    assert isinstance(only, Loaded)
    return only.spec


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


def catalogue() -> dict[str, tuple[AgentSpec, ...]]:
    """Our own agents by pool, every pool among them, the most general first. Their tools are all built in.

    Reading them takes some 20 ms; the environment has no say in it.
    """
    shelves: dict[str, list[AgentSpec]] = {pool: [] for pool in POOLS}
    for file in sorted(files("ossa.manifest").joinpath("catalogue").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            spec = read_agent(file.read_bytes(), env={}).model_copy(update={"source": f"catalogue/{file.name}"})
            shelves[spec.pool or POOLS[0]].append(spec)
    return {pool: tuple(specs) for pool, specs in shelves.items()}
