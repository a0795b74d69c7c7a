"""Whether a new version of a schema can be read by who knows the old one, and the other way round. Pure.

A new version may add properties that nobody must give, and describe better what is there. It may not remove one,
change its type or its values, or require what was not required.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_DESCRIBING = frozenset({"$id", "$schema", "title", "description", "examples", "properties", "required", "items"})


def breaks(old: Schema, new: Schema, place: str = "data") -> Iterator[str]:
    """A sentence for each thing in `new` that breaks who knows `old`; none: it is compatible."""
    for keyword in sorted((set(old) | set(new)) - _DESCRIBING):
        if old.get(keyword) != new.get(keyword):
            yield f"{place}: {keyword} was {old.get(keyword)!r} and is {new.get(keyword)!r}"
    before, after = old.get("properties", {}), new.get("properties", {})
    for name in before:
        if name in after:
            yield from breaks(before[name], after[name], f"{place}.{name}")
        else:
            yield f"{place}.{name} is gone"
    required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
    for name in sorted(required_after - required_before):
        yield f"{place}.{name} is required and was not"
    for name in sorted(required_before - required_after):
        yield f"{place}.{name} may be missing, and who knows the old version counts on it"
    if "items" in old or "items" in new:
        yield from breaks(old.get("items", {}), new.get("items", {}), f"{place}[]")


def broken_history(versions: Mapping[int, Schema]) -> list[str]:
    """What is wrong with the versions of one type: holes, or one that breaks the one before."""
    found = []
    if sorted(versions) != list(range(1, len(versions) + 1)):
        found.append(f"versions must count from 1 without holes, and are {sorted(versions)}")
    for version in sorted(versions)[1:]:
        before = versions.get(version - 1)
        if before is not None:
            found += [f"v{version}: {one}" for one in breaks(before, versions[version])]
    return found
