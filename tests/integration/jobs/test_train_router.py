"""`jobs/train_router.py` on a Ray of its own: from a set to a judged candidate, and on after a kill."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ossa.contracts.configuration import Database
from ossa.contracts.routing import Feedback, Route
from ossa.contracts.task import NewTask, Outcome, Step, TaskRequest, TaskStatus, Usage
from ossa.embedded.postgres import EmbeddedPostgres
from ossa.routing import RequestFeatures
from ossa.routing.registry import LiveRouter
from ossa.stores.postgres import PostgresStores
from tests.support import FULL

ROOT = Path(__file__).parents[3]
LONGEST_S = 240
TASKS = 600
TRIALS = 3 if FULL else 2
POOLS = {"invoice": "billing", "refund": "billing", "firewall": "security", "password": "security"}
FILLERS = ("please", "now", "the", "my", "our", "about", "look", "check", "show", "tell", "today", "again")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Texts whose label is the noun they have."""
    rng = random.Random(3)
    path = tmp_path / "labels.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("split", "text", "label", "group"))
        for n in range(500):
            noun = rng.choice(list(POOLS))
            text = " ".join((*rng.choices(FILLERS, k=rng.randint(3, 7)), noun, str(rng.randint(1, 99))))
            rows.writerow(("test" if n % 5 == 0 else "train", text, f"{noun}-agent", POOLS[noun]))
    return path


def command(labels: Path, tmp_path: Path, *more: str) -> list[str]:
    told = ("--kind", "labels", "--data", str(labels), "--no-journal", "--dry-run", "--at-once", "1")
    return [sys.executable, "jobs/train_router.py", *told, "--out", str(tmp_path / "out"), *more]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {**os.environ, **more, "OSSA_HOME": str(tmp_path / "home"), "RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1"}


def finished(arguments: list[str], tmp_path: Path, **more: str) -> Any:
    done = subprocess.run(
        arguments, cwd=ROOT, env=environment(tmp_path, **more), capture_output=True, text=True, timeout=LONGEST_S
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_a_candidate_is_trained_and_judged_on_what_was_held_back(labels: Path, tmp_path: Path) -> None:
    report = finished(command(labels, tmp_path, "--trials", "2", "--json"), tmp_path)
    (model,) = report["models"]
    assert (model["kind"], model["version"]) == ("labels", None)
    assert sum(model["trials"].values()) == 2
    (held,) = model["held_back"]
    assert held["items"] == 100
    assert held["candidate"] > 0.9
    assert model["promote"] is held["better"]


async def test_what_users_rated_becomes_the_model_that_decides(tmp_path: Path) -> None:
    """On half of the requests the cheap tier is as good; the journal says so, and the router learns it."""
    server = EmbeddedPostgres(tmp_path / "postgres")
    dsn = await asyncio.to_thread(server.start)
    stores = PostgresStores(Database(), dsn)
    try:
        await stores.open()
        await fill(stores)
        arguments = [sys.executable, "jobs/train_router.py", "--kind", "quality", "--trials", "2", "--at-once", "1"]
        more = ["--out", str(tmp_path / "out"), "--json"]
        report = await asyncio.to_thread(finished, [*arguments, *more], tmp_path, OSSA_DATABASE__DSN=dsn)
        (model,) = report["models"]
        assert report["examples"] == TASKS
        assert (model["version"], model["promote"]) == (1, True), model
        router = LiveRouter(stores.routing)
        await router.refresh()
        invoice, firewall = (
            router.scorer().qualities(RequestFeatures.of([{"role": "user", "content": f"please check the {noun} 7"}]))
            for noun in ("invoice", "firewall")
        )
        assert invoice is not None and firewall is not None
        assert invoice["lightweight"] > firewall["lightweight"] + 0.3
        assert firewall["premium"] > firewall["lightweight"] + 0.3
    finally:
        await stores.close()
        await asyncio.to_thread(server.erase)


async def fill(stores: PostgresStores) -> None:
    """Tasks that ended and were rated: the cheap tier fails on what is not an invoice."""
    rng = random.Random(5)

    async def one(n: int) -> None:
        noun, tier = rng.choice(("invoice", "firewall")), rng.choice(("lightweight", "premium"))
        text = " ".join((*rng.choices(FILLERS, k=rng.randint(3, 7)), noun, str(n)))
        task = NewTask(
            id=f"task_{n:032x}", tenant="acme", request=TaskRequest(messages=[{"role": "user", "content": text}])
        )
        decision = Route(agent_id="a", manifest="helper", pool="security", tier=tier, explored=True)
        step = Step(seq=0, kind="route", agent_id="a", payload=decision.model_dump(mode="json"), at=datetime.now(UTC))
        usage = Usage(cost_usd=0.0001 if tier == "lightweight" else 0.01)
        await stores.journal.accept(task, owner="test")
        outcome = Outcome(status=TaskStatus.SUCCEEDED, tier=tier, usage=usage)
        await stores.journal.finish(task.id, fence=1, outcome=outcome, steps=[step])
        right = tier == "premium" or noun == "invoice"
        said = Feedback(task_id=task.id, tenant="acme", rating=float(right), at=datetime.now(UTC))
        await stores.routing.rate(said)

    for first in range(0, TASKS, 50):
        await asyncio.gather(*(one(n) for n in range(first, first + 50)))


@pytest.mark.skipif(not FULL, reason="left out: the predictor's search is killed in make test; make test-full")
def test_a_search_that_was_killed_goes_on_with_the_trials_that_had_not_ended(labels: Path, tmp_path: Path) -> None:
    killed = subprocess.Popen(
        command(labels, tmp_path, "--trials", str(TRIALS)),
        cwd=ROOT,
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert killed.stderr is not None
    name = ""
    for line in killed.stderr:
        if line.startswith("search "):
            name = line.split()[1]
        if line.startswith(f"trial 1 of {TRIALS}"):
            break
    assert name and killed.poll() is None
    killed.send_signal(signal.SIGKILL)
    killed.wait(30)
    killed.stderr.close()
    report = finished(command(labels, tmp_path, "--trials", str(TRIALS), "--resume", name, "--json"), tmp_path)
    assert sum(report["models"][0]["trials"].values()) == TRIALS
    told = sorted((tmp_path / "out" / name / "labels").glob("*/result.json"))
    shares = [[json.loads(line)["share"] for line in path.read_text().splitlines()] for path in told]
    assert len(shares) == TRIALS
    assert all(one == sorted(set(one)) for one in shares), "a share of the material was fitted twice"
