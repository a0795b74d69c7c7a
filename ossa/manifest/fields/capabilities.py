"""Capabilities: the words routing matches a request with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ossa.manifest.layout import Keys
from ossa.manifest.place import Place

_NAMES = ("name", "id", "capability")
_ABOUT_FORM = {"inputFormats", "outputFormats", "input_formats", "output_formats", "policy", "tokenEfficiency"}
"""Keys of a capabilities mapping that say how, not what."""


def read_capabilities(root: Place, paths: Sequence[Keys]) -> tuple[str, ...]:
    """The names in all of `paths`, each once, in the order written.

    A list holds words or mappings with a name; a mapping groups such lists
    (`domains`, `operations`, `primary`, …) or switches words on (`streaming: true`).
    """
    found = (word for path in paths for word in _words(root.at(*path)))
    return tuple(dict.fromkeys(found))


def _words(place: Place) -> Iterator[str]:
    if not isinstance(place.value, dict):
        yield from _listed(place)
        return
    for key, entry in place.entries():
        if entry.value is True:
            yield key
        elif key not in _ABOUT_FORM:
            yield from _listed(entry)


def _listed(place: Place) -> Iterator[str]:
    for item in place.items() or [place]:
        item = item.followed()
        if isinstance(item.value, dict):
            word = next((text for name in _NAMES if (text := item.at(name).text_or(""))), "")
        else:
            word = item.value.strip() if isinstance(item.value, str) else ""
        if word:
            yield word
