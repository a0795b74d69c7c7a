"""A document in its dialect's layout to an `AgentSpec`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ossa.contracts.agent_spec import AgentSpec
from ossa.manifest.bounds import MAX_NAME
from ossa.manifest.dialects import Keys, Layout
from ossa.manifest.dump import digest
from ossa.manifest.fields import (
    read_autonomy,
    read_capabilities,
    read_labels,
    read_limits,
    read_model,
    read_pool,
    read_role,
    read_tools,
)
from ossa.manifest.place import Place


def convert(root: Place, dialect: str, layout: Layout) -> AgentSpec:
    """Raises `ManifestError` for a missing part or name, and for a limit or parameter that is wrong."""
    for path in layout.required:
        if not isinstance(root.at(*path).value, dict):
            raise root.at(*path).fail("a mapping")
    description = _first(root, layout.descriptions)
    return AgentSpec(
        name=_name(root, layout.names),
        version=_first(root, layout.versions) or "0.0.0",
        dialect=dialect,
        description=description,
        role=read_role(root, layout.titles, layout.instructions, description),
        model=read_model(root, layout.models),
        tools=read_tools(root, layout.tools),
        capabilities=read_capabilities(root, layout.capabilities),
        limits=read_limits(root, layout.limits),
        autonomy=read_autonomy(root, layout.autonomies),
        pool=read_pool(root, layout.pools, layout.domains),
        labels=read_labels(root, layout.labels),
        annotations=read_labels(root, layout.annotations),
        document=root.value,
        source=f"{root.tree.source}:{root.tree.line(()) or 1}",
        digest=digest(root.value),
    )


def _first(root: Place, paths: Sequence[Keys]) -> str:
    return next((text for path in paths if (text := root.at(*path).text())), "")


def _name(root: Place, paths: Sequence[Keys]) -> str:
    place = next((root.at(*path) for path in paths if root.at(*path).text()), root.at(*paths[0]))
    name = place.text("a name")
    if not name:
        raise place.fail("a name")
    if "{{" in name or "${" in name:
        raise place.fail("a name without placeholders", problem=f"is {name[:60]!r}: an unfilled template")
    if len(name) > MAX_NAME or not name.isprintable():
        raise place.fail(f"a name of at most {MAX_NAME} printable characters on one line")
    return name
