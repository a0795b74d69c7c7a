"""`jobs/train_spawn_predictor.py` on a Ray of its own: from a day of samples over a kill to a model that forecasts."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ossa.contracts.configuration import Database
from ossa.contracts.scaling import PoolSample
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.scaling.forecast.model import load
from ossa.stores.postgres import PostgresStores
from tests.support import FULL

ROOT = Path(__file__).parents[3]
LONGEST_S = 240
DAY = 1_440
TRIALS = 3 if FULL else 2


def a_day() -> list[PoolSample]:
    """Jobs start each half hour in one pool and, fed by it, five minutes later in another."""
    rng = random.Random(3)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    samples = []
    for minute in range(DAY):
        at = end - timedelta(minutes=DAY - minute)
        for pool, late in (("foundation", 0), ("security", 5)):
            busy = ((at.hour * 60 + at.minute - late) % 30) < 10
            running = max(0.0, (40.0 if busy else 10.0) + rng.gauss(0, 1.0))
            samples.append(PoolSample(pool=pool, at=at, running=running, queued=int(busy)))
    return samples


def command(folder: Path, *more: str) -> list[str]:
    told = ("--at-once", "1", "--days", "2", "--trials", str(TRIALS), "--out", str(folder / "out"))
    return [sys.executable, "jobs/train_spawn_predictor.py", *told, *more]


def environment(folder: Path, dsn: str) -> dict[str, str]:
    own = {"OSSA_HOME": str(folder / "home"), "OSSA_DATABASE__DSN": dsn, "RAY_AUTH_MODE": "token"}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1"}


def finished(arguments: list[str], environ: dict[str, str]) -> Any:
    done = subprocess.run(arguments, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=LONGEST_S)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def killed_after_a_trial(arguments: list[str], environ: dict[str, str]) -> str:
    """The search's name."""
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    name, told = "", []
    for line in process.stderr:
        told.append(line)
        if line.startswith("search "):
            name = line.split()[1]
        if line.startswith(f"trial 1 of {TRIALS}"):
            break
    assert name and process.poll() is None, "".join(told)[-4000:]
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stderr.close()
    return name


def shares(results: Sequence[Path]) -> list[list[float]]:
    return [[json.loads(line)["share"] for line in path.read_text().splitlines()] for path in results]


async def test_a_killed_search_goes_on_and_ends_with_a_better_model_that_is_live(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    dsn = await asyncio.to_thread(server.start)
    stores = PostgresStores(Database(), dsn)
    environ = environment(tmp_path, dsn)
    try:
        await stores.open()
        await stores.scaling.add_samples(a_day())
        name = await asyncio.to_thread(killed_after_a_trial, command(tmp_path), environ)
        report = await asyncio.to_thread(finished, command(tmp_path, "--resume", name, "--json"), environ)
        model = report["model"]
        assert report["pools"] == ["foundation", "security"]
        assert sum(model["trials"].values()) == TRIALS
        told = shares(sorted((tmp_path / "out" / name / "forecast").glob("*/result.json")))
        assert len(told) == TRIALS
        assert all(one == sorted(set(one)) for one in told), "a share of the material was fitted twice"
        assert (model["version"], model["promote"]) == (1, True), model
        for held in model["held_out"]:
            assert held["minutes"] > 200
            assert held["wape"] < 0.6 * held["wape_persistence"], held
            assert held["loss"] < held["loss_current"]
        (live,) = await stores.routing.live()
        assert (live.kind, live.version) == ("forecast", 1)
        forecast = load(await stores.routing.model_file("forecast", 1))
        assert forecast.version == model["name"] and forecast.pools == ("foundation", "security")
        assert {figures["pool"] for figures in live.card["held_out"]} == {"foundation", "security"}
        assert live.card["compared"]["with"] == "the simple experts"
        again = await asyncio.to_thread(finished, command(tmp_path, "--if-due", "--json"), environ)
        assert again["model"] is None
    finally:
        await stores.close()
        await asyncio.to_thread(server.erase)
