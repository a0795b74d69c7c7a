"""One value in one JSON file: what the fakes in files are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

from ossa.contracts.errors import StoreUnavailable
from ossa.contracts.value import Value

T = TypeVar("T", bound=Value)


class JsonFile(Generic[T]):
    """One writer at a time; readers see whole files. While `down` exists every call raises `StoreUnavailable`."""

    def __init__(self, path: Path, empty: T, down: Path) -> None:
        self._path = path
        self._empty = empty
        self._down = down

    def read(self) -> T:
        self._check()
        return type(self._empty).model_validate_json(self._path.read_bytes()) if self._path.exists() else self._empty

    def write(self, content: T) -> None:
        self._check()
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_text(content.model_dump_json())
        fresh.replace(self._path)

    def _check(self) -> None:
        if self._down.exists():
            raise StoreUnavailable("the store is down")
