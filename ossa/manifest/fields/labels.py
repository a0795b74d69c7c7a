"""Labels and annotations: texts by key."""

from __future__ import annotations

from collections.abc import Sequence

from ossa.manifest.layout import Keys
from ossa.manifest.place import Place


def read_labels(root: Place, paths: Sequence[Keys]) -> dict[str, str]:
    """Scalars as text, as written. Lists of words become one text with commas; what nests stays in the document."""
    for path in paths:
        place = root.at(*path)
        if isinstance(place.value, dict):
            found = {key: _text(entry) for key, entry in place.entries()}
            return {key: text for key, text in found.items() if text is not None}
    return {}


def _text(place: Place) -> str | None:
    value = place.value
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(item.text_or("") for item in place.items())
    return None if isinstance(value, dict) else place.text_or("")
