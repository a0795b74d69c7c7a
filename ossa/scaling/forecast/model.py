"""A trained forecast of several pools and horizons: arrays, and a card that says what they are.

Read without unpickling anything and without XGBoost. `version` is of the arrays, so that a forecast can name the model
that made it, and the same data give the same name.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ossa.contracts.errors import OssaError

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

CLIP = 5.0
"""Features are relative to the local level and scale: what lies beyond is an outlier, and a sum must not follow it."""


@dataclass(frozen=True)
class Trees:
    """Boosted trees. Leaves point at themselves, so that a walk of `depth` steps ends in one.

    Attributes:
        roots: (K,) first node of each tree.
        outputs: (K,) which output a tree adds to.
        feature, left, right, missing_left: (N,) of each node.
        threshold: (N,) float32, `x < threshold` goes left, NaN where `missing_left` says.
        value: (N,) what a leaf adds.
        bias: (Q,) what outputs start from.
    """

    roots: Ints
    outputs: Ints
    feature: Ints
    threshold: NDArray[np.float32]
    left: Ints
    right: Ints
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float32]
    bias: Floats
    depth: int

    def predict(self, table: Floats) -> Floats:
        """(n, F) -> (n, Q)."""
        rows = table.astype(np.float32)
        predicted = np.empty((len(rows), len(self.bias)))
        for first in range(0, len(rows), 1024):
            predicted[first : first + 1024] = self._walk(rows[first : first + 1024])
        return predicted

    def _walk(self, rows: NDArray[np.float32]) -> Floats:
        node = np.broadcast_to(self.roots, (len(rows), len(self.roots))).copy()
        line = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            seen = rows[line, self.feature[node]]
            left = np.where(np.isnan(seen), self.missing_left[node], seen < self.threshold[node])
            node = np.where(left, self.left[node], self.right[node])
        leaves = self.value[node].astype(np.float64)
        sums = np.tile(self.bias, (len(rows), 1))
        for output in range(len(self.bias)):
            sums[:, output] += leaves[:, self.outputs == output].sum(axis=1)
        return sums


@dataclass(frozen=True)
class Linear:
    """Least absolute deviations: a sum of lags where splits do worse.

    `weights` (F + 1,), the last one for the constant; `centre`, `spread` (F,).
    """

    centre: Floats
    spread: Floats
    weights: Floats
    lowest: float
    highest: float

    def predict(self, table: Floats) -> Floats:
        """(n, F) -> (n,), clipped to what training has seen."""
        return np.asarray(
            np.clip(design_matrix(table, self.centre, self.spread) @ self.weights, self.lowest, self.highest)
        )


def design_matrix(table: Floats, centre: Floats, spread: Floats) -> Floats:
    scaled = (np.clip(np.nan_to_num(table), -CLIP, CLIP) - centre) / spread
    return np.column_stack([np.clip(scaled, -CLIP, CLIP), np.ones(len(table))])


@dataclass(frozen=True)
class Fitted:
    """`relative` and `absolute` forecast the median, from features relative to the level and as they are."""

    relative: Trees
    absolute: Trees
    tails: Trees
    linear: Linear
    mean: float
    """Divisor of the targets of `absolute`."""


FORMAT = 1
_CARD = "card"
_FORESTS = ("relative", "absolute", "tails")

Key = tuple[str, int]
"""Pool and steps ahead."""


class ForecastModelError(OssaError):
    """A forecast model's file cannot be used: damaged, or of another format."""


@dataclass(frozen=True)
class ForecastModel:
    """`card`: `step_s`, `pools`, `horizons`, `trained` (from, until, rows), `settings`, `held_out` (WAPE and coverage
    by pool and horizon, of the last part of the data, by a fit that had not seen it)."""

    card: Mapping[str, Any]
    fitted: Mapping[Key, Fitted]

    @property
    def step_s(self) -> float:
        return float(self.card["step_s"])

    @property
    def pools(self) -> tuple[str, ...]:
        return tuple(self.card["pools"])

    @property
    def version(self) -> str:
        """`forecast-` and twelve hex digits of SHA-256 over names, shapes and bytes of the arrays."""
        sha = hashlib.sha256(json.dumps([self.step_s, *self.pools]).encode())
        for name, array in sorted(self._arrays().items()):
            sha.update(f"{name} {array.dtype} {array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
        return f"forecast-{sha.hexdigest()[:12]}"

    def dump(self) -> bytes:
        """The same model gives the same bytes."""
        card = {**self.card, "format": FORMAT, "version": self.version, "keys": [list(key) for key in self.fitted]}
        content = {**self._arrays(), _CARD: np.frombuffer(json.dumps(card, indent=1).encode(), dtype=np.uint8)}
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(content):
                array = io.BytesIO()
                np.lib.format.write_array(array, np.asarray(content[name], order="C"), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array.getvalue(), zipfile.ZIP_DEFLATED)
        return made.getvalue()

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {}
        for number, fitted in enumerate(self.fitted.values()):
            parts = {name: getattr(fitted, name) for name in (*_FORESTS, "linear")}
            for name, part in parts.items():
                for field in fields(part):
                    arrays[f"{number}.{name}.{field.name}"] = np.asarray(getattr(part, field.name))
            arrays[f"{number}.mean"] = np.asarray(fitted.mean)
        return arrays


def load(content: bytes, *, source: str = "model") -> ForecastModel:
    """Raises `ForecastModelError` naming `source` and what is wrong."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        card = json.loads(arrays.pop(_CARD).tobytes())
        if card.get("format") != FORMAT:
            raise ForecastModelError(f"{source} has format {card.get('format')}; this program reads {FORMAT}.")
        fitted = {(str(pool), int(steps)): _fitted(arrays, at) for at, (pool, steps) in enumerate(card["keys"])}
        model = ForecastModel({name: card[name] for name in card if name not in ("format", "version", "keys")}, fitted)
        if model.version != card["version"]:
            raise ForecastModelError(f"{source} is damaged: its arrays are not those its card names.")
    except (ValueError, OSError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ForecastModelError(f"{source} is not a forecast model: {error}") from error
    return model


def _fitted(arrays: Mapping[str, NDArray[Any]], number: int) -> Fitted:
    def part(name: str, kind: type[Any]) -> Any:
        given = {field.name: arrays[f"{number}.{name}.{field.name}"] for field in fields(kind)}
        return kind(**{key: value.item() if value.ndim == 0 else value for key, value in given.items()})

    relative, absolute, tails = (part(name, Trees) for name in _FORESTS)
    return Fitted(relative, absolute, tails, part("linear", Linear), float(arrays[f"{number}.mean"]))
