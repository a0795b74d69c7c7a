"""Tools a manifest names. Whether one may run is the allow-list's to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ossa.contracts.agent_spec import ToolRef
from ossa.manifest.bounds import MAX_NAME, MAX_TOOLS
from ossa.manifest.layout import Keys
from ossa.manifest.place import Place

_NAMES = ("name", "id", "server", "namespace", "type")
_SEVERAL = ("toolNames", "tool_names", "tools")


def read_tools(root: Place, paths: Sequence[Keys]) -> tuple[ToolRef, ...]:
    """The tools in all of `paths`; of two with one name the first.

    A tool is a word, a mapping with a name, `{type: function, function: {…}}`,
    an entry of a mapping by name (or of a list in one), or an MCP server, which stands for the tools
    it lists or else for itself. Variables in a tool's configuration are not
    expanded: they tend to be secrets. Raises `ManifestError` beyond bounds.
    """
    found: dict[str, ToolRef] = {}
    for path in paths:
        place = root.at(*path)
        for tool in _tools(place):
            if len(tool.name) > MAX_NAME:
                raise place.fail(f"at most {MAX_NAME} characters", problem="has a tool with a longer name")
            found.setdefault(tool.name, tool)
            if len(found) > MAX_TOOLS:
                raise place.fail(f"at most {MAX_TOOLS}", problem="has more tools than that")
    return tuple(found.values())


def _tools(place: Place) -> Iterator[ToolRef]:
    for item in place.items():
        yield from _tool(item.followed())
    for name, entry in place.entries():
        if isinstance(entry.value, list):
            yield from _tools(entry)
        else:
            yield _named(name, entry.followed())


def _tool(place: Place) -> Iterator[ToolRef]:
    if not isinstance(place.value, dict):
        name = place.text_or("")
        if name:
            yield ToolRef(name=name)
        return
    if isinstance(place.at("function").value, dict):
        place = place.at("function")
    listed = next((items for key in _SEVERAL if (items := place.at(key).items())), [])
    names = [word for item in listed if (word := item.at("name").text_or("") or item.text_or(""))]
    own = next((text for key in _NAMES if (text := place.at(key).text_or(""))), "")
    if names:
        # One server may list thousands: each of its tools says where it lives, and no more.
        home = {key: text for key in ("type", "server") if 0 < len(text := place.at(key).text_or("")) <= MAX_NAME}
        yield from (ToolRef(name=name, config=home) for name in names)
    elif own:
        yield _named(own, place)


def _named(name: str, place: Place) -> ToolRef:
    config = place.value if isinstance(place.value, dict) else {}
    return ToolRef(
        name=name,
        description=place.at("description").text_or(""),
        config={key: value for key, value in config.items() if key not in ("name", "description")},
    )
