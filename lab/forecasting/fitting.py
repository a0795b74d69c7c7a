"""Fits the experts of one series at one horizon. XGBoost is imported by `fit_trees` alone.

Trees minimise the pinball loss (Koenker and Bassett 1978), one tree a quantile and round.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ossa.scaling.forecast.experts import Prepared
from ossa.scaling.forecast.model import CLIP, Fitted, Linear, Trees, design_matrix
from ossa.scaling.forecast.series import SeriesError
from ossa.scaling.forecast.track import TAILS

Floats = NDArray[np.float64]

FEWEST_ROWS = 40
"""With fewer rows nothing is fitted, and the simple experts stand alone."""
SKIPPED_ROWS = 8
"""First rows of a series, whose lags are not there yet."""
RIDGE = 0.02
TURNS = 8


@dataclass(frozen=True)
class BoostingSettings:
    """Settings that training may search over."""

    rounds: int = 80
    eta: float = 0.1
    max_depth: int = 4
    subsample: float = 0.7
    colsample_bynode: float = 0.5
    min_child_weight: float = 5.0
    reg_lambda: float = 1.0
    max_bin: int = 64

    def as_json(self) -> dict[str, float]:
        return asdict(self)


TAIL_SETTINGS = BoostingSettings(rounds=25, eta=0.2, max_depth=3)


@dataclass(frozen=True)
class FitSettings:
    centre: BoostingSettings = field(default_factory=BoostingSettings)
    tails: BoostingSettings = TAIL_SETTINGS
    most_rows: int = 8_000


def fit(given: Prepared, until: int, settings: FitSettings) -> Fitted:
    """On origins whose target lies before row `until`: what was known at origin `until - 1`.

    Raises:
        SeriesError: fewer than `FEWEST_ROWS` such origins with a known target.
    """
    last = until - given.horizon
    usable = np.flatnonzero(np.isfinite(given.target[: max(0, last)]))
    usable = usable[usable >= SKIPPED_ROWS][-settings.most_rows :]
    if len(usable) < FEWEST_ROWS:
        raise SeriesError(f"{len(usable)} rows to learn {given.horizon} steps ahead from; at least {FEWEST_ROWS}")
    known = given.features
    target, scale = given.target[usable], known.scale[usable]
    relative = (target - known.level[usable]) / scale
    weight = scale / scale.mean()
    mean = float(np.abs(target).mean()) or 1.0
    even = np.ones(len(usable))
    return Fitted(
        fit_trees(known.table[usable], relative, weight, (0.5,), settings.centre),
        fit_trees(known.absolute[usable], target / mean, even, (0.5,), settings.centre),
        fit_trees(known.table[usable], relative, weight, TAILS, settings.tails),
        fit_linear(known.table[usable], relative, weight),
        mean,
    )


def fit_linear(table: Floats, target: Floats, weight: Floats) -> Linear:
    """Iteratively reweighted least squares (Schlossmacher 1973) with a ridge penalty."""
    clipped = np.clip(np.nan_to_num(table), -CLIP, CLIP)
    centre, spread = clipped.mean(axis=0), clipped.std(axis=0) + 1e-6
    design = design_matrix(table, centre, spread)
    lowest, highest = np.quantile(target, (0.005, 0.995))
    aimed = np.clip(target, lowest, highest)
    penalty = np.eye(design.shape[1]) * RIDGE * weight.sum()
    penalty[-1, -1] = 0.0
    emphasis = weight
    weights = np.zeros(design.shape[1])
    for _ in range(TURNS):
        weighted = design * emphasis[:, None]
        weights = np.linalg.lstsq(weighted.T @ design + penalty, weighted.T @ aimed, rcond=None)[0]
        emphasis = weight / np.maximum(np.abs(aimed - design @ weights), 0.05)
    return Linear(centre, spread, weights, float(lowest), float(highest))


def fit_trees(
    table: Floats, target: Floats, weight: Floats, quantiles: Sequence[float], settings: BoostingSettings, seed: int = 7
) -> Trees:
    """The conditional `quantiles` of `target` (n,) given `table` (n, F); one thread, the same bytes for the same data.

    Raises:
        ModuleNotFoundError: XGBoost is not installed (`pip install ".[train]"`).
    """
    import xgboost

    given = settings.as_json()
    rounds = int(given.pop("rounds"))
    options: dict[str, Any] = {**given, "objective": "reg:quantileerror", "quantile_alpha": list(quantiles)}
    options |= {"tree_method": "hist", "nthread": 1, "seed": seed, "verbosity": 0}
    data = xgboost.QuantileDMatrix(table, target, weight=weight, max_bin=settings.max_bin, nthread=1)
    booster = xgboost.train(options, data, num_boost_round=rounds)
    return exported(booster.save_raw("json"))


def exported(raw: bytes | bytearray) -> Trees:
    """XGBoost's JSON model as arrays."""
    learner = json.loads(bytes(raw))["learner"]
    model = learner["gradient_booster"]["model"]
    bias = np.atleast_1d(np.asarray(json.loads(learner["learner_model_param"]["base_score"]), dtype=np.float64))
    outputs = np.asarray(model["tree_info"], dtype=np.int32)
    if len(bias) == 1:
        bias = np.repeat(bias, int(outputs.max(initial=0)) + 1)
    offset = 0
    parts: dict[str, list[Any]] = {name: [] for name in ("root", "feature", "threshold", "left", "right", "missing")}
    values: list[Any] = []
    depth = 0
    for tree in model["trees"]:
        left, right = (np.asarray(tree[side], dtype=np.int32) for side in ("left_children", "right_children"))
        leaf = left < 0
        own = np.arange(len(left), dtype=np.int32)
        condition = np.asarray(tree["split_conditions"], dtype=np.float32)
        parts["root"].append([offset])
        parts["feature"].append(np.where(leaf, 0, tree["split_indices"]))
        parts["threshold"].append(np.where(leaf, np.float32(0), condition))
        parts["left"].append(np.where(leaf, own, left) + offset)
        parts["right"].append(np.where(leaf, own, right) + offset)
        parts["missing"].append(np.asarray(tree["default_left"], dtype=bool))
        values.append(np.where(leaf, condition, np.float32(0)))
        depth = max(depth, _depth(left, right))
        offset += len(left)

    def joined(name: str, kind: type) -> Any:
        return np.concatenate(parts[name]).astype(kind)

    return Trees(
        joined("root", np.int32),
        outputs,
        joined("feature", np.int32),
        joined("threshold", np.float32),
        joined("left", np.int32),
        joined("right", np.int32),
        joined("missing", np.bool_),
        np.concatenate(values).astype(np.float32),
        bias,
        depth,
    )


def _depth(left: NDArray[np.int32], right: NDArray[np.int32]) -> int:
    """Longest way down; children come after their parents."""
    depths = np.zeros(len(left), dtype=np.int64)
    for node in range(len(left)):
        if left[node] >= 0:
            depths[left[node]] = depths[right[node]] = depths[node] + 1
    return int(depths.max(initial=0))
