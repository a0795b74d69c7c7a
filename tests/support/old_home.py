"""The home that an older version left (tests/fixtures), and a fleet of the current code on it.

    python -m tests.support.old_home HOME BASE_URL

starts the fleet without deploying anything, prints a line of JSON with its URL, and stops it when standard input ends.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ossa.embedded.postgres_programs import choose_account

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
VERSION = "4000a53"


def recorded() -> dict[str, Any]:
    """What the older version answered, and what it left open."""
    record: dict[str, Any] = json.loads((FIXTURES / f"home-{VERSION}.json").read_text())
    return record


def steps_of(events: str) -> list[dict[str, Any]]:
    """The steps in the text of `GET /api/v1/tasks/ID/events`."""
    parts = (part.splitlines() for part in events.split("\n\n"))
    return [json.loads(lines[-1].removeprefix("data: ")) for lines in parts if "event: step" in lines]


@contextmanager
def old_home() -> Iterator[Path]:
    """An unpacked copy. Not in pytest's folders: the account that runs PostgreSQL for root may not enter those."""
    folder = Path(tempfile.mkdtemp(prefix="ossa-upgrade-"))
    folder.chmod(0o711)
    try:
        with tarfile.open(FIXTURES / f"home-{VERSION}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        home = folder / "home"
        for way in (home, home / "postgres"):
            way.chmod(0o711)
        (home / "effects").chmod(0o777)
        cluster = home / "postgres" / "cluster"
        account = choose_account(cluster)
        for path in (cluster, *cluster.rglob("*")):
            account.give(path)
        for path in (cluster, *(path for path in cluster.rglob("*") if path.is_dir())):
            path.chmod(0o700)  # `filter="data"` leaves a folder's mode to the umask
        yield home
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def upgraded_fleet(home: Path, base_url: str) -> Iterator[str]:
    """Yields the URL of the current code's fleet on that home, in a process of its own."""
    command = [sys.executable, "-m", "tests.support.old_home", str(home), base_url]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {**plain, "RAY_AUTH_MODE": "token", "OSSA_EFFECTS_DIR": str(home / "effects")}
    with (home / "fleet.log").open("w+") as log:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log, "text": True}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, (home / "fleet.log").read_text()[-4000:]
            yield json.loads(line)["url"]
        finally:
            process.stdin.close()
            process.wait(timeout=120)
            process.stdout.close()


def main() -> None:
    from ossa.app.local_fleet import LocalFleet
    from ossa.contracts.configuration import Database, Endpoint, FleetSettings, GatewaySettings, Models
    from ossa.settings import Settings

    home, base_url = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr  # Ray prints to standard output
    settings = Settings(
        home=Path(home),
        database=Database(history_days=36_500),  # the archive's tasks grow older than the default
        models=Models(tiers={"standard": Endpoint(base_url=base_url, model="scripted", timeout_s=30)}),
        gateway=GatewaySettings(port=0),
        fleet=FleetSettings(tool_modules=("benchmarks.effects",)),
    )
    fleet = LocalFleet(settings, agents=6, progress=lambda stage: print(stage, file=sys.stderr, flush=True))
    try:
        fleet.start()
        print(json.dumps({"url": fleet.url}), file=answers, flush=True)
        sys.stdin.read()
    finally:
        fleet.stop()


if __name__ == "__main__":
    main()
