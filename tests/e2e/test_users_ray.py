"""A Ray that somebody else runs: `ossa up` beside it and on it, and `ray job submit`, whose fleet outlives the job.

The newcomer's home has never seen Ray or OSSA: what they run is what `make run ONCE=1` runs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ossa.app.local_ray import end_session, ensure_ray_token, free_port, free_ports
from ossa.contracts.errors import OssaError
from ossa.sdk.connecting import connect
from ossa.testing.models.server import MODEL, ScriptedProcess
from tests.support import FULL

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
AGENTS = 5


class UsersRay:
    """A Ray that somebody started with `ray start --head`, knowing nothing of us."""

    def __init__(self, temp_dir: str) -> None:
        gcs, self._dashboard, client, metrics, agent = free_ports(5)
        self.address = f"127.0.0.1:{gcs}"
        self.dashboard_url = f"http://127.0.0.1:{self._dashboard}"
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        # As after `source .venv/bin/activate`: a job's `python` is the one on the head's PATH.
        self.environment = {**plain, "RAY_AUTH_MODE": "token", "PATH": f"{BIN}:{os.environ['PATH']}"}
        ensure_ray_token(self.environment)
        command = [
            *(str(BIN / "ray"), "start", "--head", f"--port={gcs}", f"--dashboard-port={self._dashboard}"),
            *(f"--ray-client-server-port={client}", f"--metrics-export-port={metrics}", f"--temp-dir={temp_dir}"),
            *(f"--dashboard-agent-listen-port={agent}", "--num-cpus=8", "--disable-usage-stats", "--block"),
        ]
        self.log = Path(temp_dir) / "head.log"
        with self.log.open("wb") as log:
            self._head = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment, start_new_session=True)
        self._started = psutil.Process(self._head.pid).create_time()

    def stop(self) -> None:
        end_session(self._head.pid, self._started)
        self._head.wait()


def wait_for_jobs_api(ray: UsersRay) -> None:
    """The dashboard takes jobs a while after the head is up."""
    deadline = time.monotonic() + 60
    command = [str(BIN / "ray"), "job", "list", "--address", ray.dashboard_url]
    while subprocess.run(command, capture_output=True, timeout=60, env=ray.environment).returncode != 0:
        assert time.monotonic() < deadline, ray.log.read_text()
        time.sleep(0.2)


@pytest.fixture(scope="module")
def users_ray() -> Iterator[UsersRay]:
    folder = tempfile.mkdtemp(prefix="ray-")
    ray = UsersRay(folder)
    try:
        wait_for_jobs_api(ray)
        yield ray
    finally:
        ray.stop()
    shutil.rmtree(folder, ignore_errors=True)


def resources(ray: UsersRay) -> str:
    """What `ray status` says; it hears of changes after some seconds."""
    command = [str(BIN / "ray"), "status", "--address", ray.address]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=ray.environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def wait_until_free(ray: UsersRay) -> None:
    deadline = time.monotonic() + 90
    while "0.0/8.0 CPU" not in (status := resources(ray)):
        assert time.monotonic() < deadline, status
        time.sleep(0.5)


@pytest.fixture
def newcomer(tmp_path: Path) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "OSSA_"))}
    return {**plain, "HOME": str(tmp_path)}


@pytest.fixture
def joining(users_ray: UsersRay, newcomer: dict[str, str], upstream: ScriptedProcess) -> dict[str, str]:
    """The newcomer with that Ray and, as their home is not what is tested, a quick model."""
    token = str(Path("~/.ray/auth_token").expanduser())
    model = {"OSSA_MODELS__TIERS__STANDARD__BASE_URL": upstream.base_url, "OSSA_MODELS__TIERS__STANDARD__MODEL": MODEL}
    ours = {"HOME": newcomer["HOME"], "RAY_ADDRESS": users_ray.address, "RAY_AUTH_TOKEN_PATH": token}
    return {**newcomer, **users_ray.environment, **ours, **({} if FULL else model)}


def up_once(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "ossa"), "up", "--once", "--agents", str(AGENTS), "--port", "0", "--json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, env=environment)


def test_a_newcomer_gets_a_fleet_beside_another_ray(users_ray: UsersRay, newcomer: dict[str, str]) -> None:
    ended = up_once(newcomer)
    assert ended.returncode == 0, ended.stderr[-4000:]
    report = json.loads(ended.stdout)
    assert report["ok"] is True
    assert sum(report["agents_ready"].values()) == AGENTS
    examples = report["examples"]["results"]
    assert {example["pool"] for example in examples} >= set(report["agents_ready"])
    assert all(example["ok"] for example in examples)
    assert not left_behind(newcomer["HOME"])
    assert "0.0/8.0 CPU" in resources(users_ray)


def left_behind(home: str) -> list[str]:
    """Command lines of processes that still have that home."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        environment = process.info["environ"] or {}
        if environment.get("HOME") == home:
            found.append(" ".join(process.info["cmdline"] or ())[:100])
    return found


def test_up_joins_the_ray_it_is_told_and_leaves_it_running(users_ray: UsersRay, joining: dict[str, str]) -> None:
    ended = up_once(joining)
    assert ended.stdout, ended.stderr[-4000:]
    report = json.loads(ended.stdout)
    assert sum(report["agents_ready"].values()) == AGENTS
    failed = [example["name"] for example in report["examples"]["results"] if not example["ok"]]
    assert failed == ([] if FULL else ["tool"]), report  # the quick model does not call what it is told to
    wait_until_free(users_ray)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the person who submits the job sets. Stores and model are the embedded ones."""
    return {
        "OSSA_HOME": str(tmp_path_factory.mktemp("job-home")),
        "OSSA_GATEWAY__PORT": str(free_port()),
    }


def submit(ray: UsersRay, settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The README's command."""
    command = [str(BIN / "ray"), "job", "submit", "--address", ray.dashboard_url, "--working-dir", str(ROOT)]
    command += ["--runtime-env-json", json.dumps({"env_vars": settings}), "--"]
    command += ["python", "jobs/deploy_phase4.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, env=ray.environment, cwd=ROOT)


def test_a_job_deploys_the_fleet_and_the_fleet_outlives_it(users_ray: UsersRay, settings: dict[str, str]) -> None:
    ended = submit(users_ray, settings, "--agents", str(AGENTS), *([] if FULL else ["--no-examples"]))
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
    assert f"{AGENTS} of {AGENTS} agents up" in ended.stdout
    key = (Path(settings["OSSA_HOME"]) / "api_key").read_text().strip()
    with connect(f"http://127.0.0.1:{settings['OSSA_GATEWAY__PORT']}", key) as client:
        assert client.chat("still there?").text


def test_another_fleet_of_that_name_is_refused_and_disturbs_nothing(
    settings: dict[str, str], joining: dict[str, str]
) -> None:
    refused = up_once(joining)
    assert refused.returncode == 1
    assert "OSSA_FLEET__NAMESPACE" in refused.stderr
    key = (Path(settings["OSSA_HOME"]) / "api_key").read_text().strip()
    with connect(f"http://127.0.0.1:{settings['OSSA_GATEWAY__PORT']}", key) as client:
        assert len(client.agents.list()) == AGENTS


def test_up_in_the_home_of_a_fleet_that_runs_is_refused(users_ray: UsersRay, settings: dict[str, str]) -> None:
    refused = up_once({**users_ray.environment, **settings})
    assert refused.returncode == 1
    assert "runs already" in refused.stderr


def test_down_removes_the_fleet_and_leaves_the_cluster(users_ray: UsersRay, settings: dict[str, str]) -> None:
    environment = {**users_ray.environment, **settings}
    down = subprocess.run([str(BIN / "ossa"), "down"], capture_output=True, text=True, timeout=120, env=environment)
    assert down.returncode == 0, down.stderr
    with (
        connect(f"http://127.0.0.1:{settings['OSSA_GATEWAY__PORT']}", "ossa_sk_" + "x" * 43, timeout_s=3) as client,
        pytest.raises(OssaError),
    ):
        client.agents.list()
    wait_until_free(users_ray)
