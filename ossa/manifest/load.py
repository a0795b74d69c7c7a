"""Files, texts and folders to readings, one a document."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.errors import ManifestError
from ossa.manifest.convert import convert
from ossa.manifest.dialect import detect
from ossa.manifest.fault import fault
from ossa.manifest.place import Place
from ossa.manifest.plain_reader import read_plain
from ossa.manifest.reading import Loaded, OtherKind, Reading, Rejected
from ossa.manifest.source import decode, read_file, read_trees
from ossa.manifest.tree import Tree

SUFFIXES = (".yaml", ".yml", ".json")


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
        found = detect(root)
        if found.layout is None:
            return OtherKind(source=tree.source, line=line, kind=found.kind, dialect=found.dialect)
        return Loaded(source=tree.source, line=line, spec=convert(root, found.dialect, found.layout))
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
