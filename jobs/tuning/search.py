"""The search for parameters on Ray Tune.

A trial fits on a quarter of the material, on half, on all, and reports after each; asynchronous successive halving (Li
et al. 2020, "ASHA") ends those that are behind. A trial that was cut off goes on with the share it had come to, and a
search that was killed goes on with the trials that had not ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from jobs.tuning.options import Plan
from jobs.tuning.trainer import Choice, Parameters, Range, Trainer

SHARES = (0.25, 0.5, 1.0)
RUNG = "rung.json"
RETRIES = 2


@dataclass(frozen=True)
class Found:
    """`trials`: how many ended whole, and how many were stopped early or failed."""

    parameters: dict[str, Any]
    value: float
    trials: dict[str, int]


def search(trainer: Trainer[Any], plan: Plan, *, first: Sequence[Parameters] = (), seed: int = 7) -> Found:
    """The best parameters by `trainer.validate`; those of `first` are tried before others.

    Raises `RuntimeError` when no trial ended.
    """
    trainable = tune.with_resources(tune.with_parameters(_trial, trainer=trainer), {"cpu": 1})
    path = plan.path / trainer.kind
    if tune.Tuner.can_restore(str(path)):
        plan.tell(f"going on with the search in {path}")
        tuner = tune.Tuner.restore(str(path), trainable, resume_unfinished=True, restart_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space=_space(trainer.space),
            tune_config=tune.TuneConfig(
                metric="value",
                mode="max",
                num_samples=plan.trials,
                search_alg=BasicVariantGenerator(
                    points_to_evaluate=[dict(one) for one in first] or None,
                    max_concurrent=plan.at_once,
                    random_state=seed,
                ),
                scheduler=ASHAScheduler(max_t=len(SHARES), grace_period=1, reduction_factor=2),
            ),
            run_config=tune.RunConfig(
                name=trainer.kind,
                storage_path=str(plan.path),
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                callbacks=[_Telling(plan.tell, plan.trials)],
                verbose=0,
            ),
        )
    with contextlib.redirect_stdout(sys.stderr):  # standard output is the report's alone
        grid = tuner.fit()
    results = [grid[at] for at in range(len(grid))]
    whole = [one for one in results if one.error is None and (one.metrics or {}).get("share") == SHARES[-1]]
    if not whole:
        failed = [str(one.error) for one in results if one.error is not None]
        raise RuntimeError(f"No trial came to its end. {failed[0] if failed else ''}".strip())
    best = max(whole, key=_value)
    counts = {"whole": len(whole), "failed": grid.num_errors}
    counts["stopped early"] = len(results) - counts["whole"] - counts["failed"]
    return Found(dict(best.config or {}), _value(best), counts)


def _value(result: Any) -> float:
    return float(result.metrics["value"])


def _space(space: Mapping[str, Range | Choice]) -> dict[str, Any]:
    return {
        name: tune.loguniform(one.low, one.high) if isinstance(one, Range) else tune.choice(list(one.options))
        for name, one in space.items()
    }


def _trial(parameters: Parameters, trainer: Trainer[Any]) -> None:
    """Runs in a process of its own."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    done = _rungs_done()
    for rung in range(done, len(SHARES)):
        value = trainer.validate(trainer.fit(parameters, share=SHARES[rung], held_back=True))
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / RUNG).write_text(json.dumps({"done": rung + 1}))
            tune.report({"value": value, "share": SHARES[rung]}, checkpoint=tune.Checkpoint.from_directory(folder))


def _rungs_done() -> int:
    checkpoint = tune.get_checkpoint()
    if checkpoint is None:
        return 0
    with checkpoint.as_directory() as folder:
        return int(json.loads((Path(folder) / RUNG).read_text())["done"])


class _Telling(tune.Callback):
    """A line a trial. It is saved with the search, so it holds nothing that another process could not have."""

    def __init__(self, tell: Callable[[str], None], trials: int) -> None:
        self._tell: Callable[[str], None] | None = tell
        self._trials = trials
        self._ended = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"_tell": None, "_trials": self._trials, "_ended": self._ended}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._ended += 1
        if self._tell is not None:
            last = trial.last_result or {}
            self._tell(f"trial {self._ended} of {self._trials}: {last.get('value', 0.0):.4f} at {trial.config}")
