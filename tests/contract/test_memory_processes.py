"""Three processes of the memory over one PostgreSQL, one Valkey and one folder; one of them is killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path

from ossa.embedded.postgres import EmbeddedPostgres
from ossa.embedded.redis import EmbeddedRedis
from tests.contract.conftest import empty

ROOT = Path(__file__).parents[2]
ROUNDS = 60
KILLED_AFTER = 40
"""Operations."""


def test_no_process_reads_an_older_value_after_a_newer_one(embedded: EmbeddedPostgres, tmp_path: Path) -> None:
    dsn = embedded.start()
    empty(dsn)
    valkey = EmbeddedRedis(tmp_path / "redis")
    redis = valkey.start()
    seeds = count(1)

    def start() -> subprocess.Popen[str]:
        worker = [sys.executable, "-m", "tests.contract.memory_worker", dsn, redis, str(tmp_path / "objects")]
        return subprocess.Popen(
            [*worker, str(next(seeds)), str(ROUNDS)], stdout=subprocess.PIPE, text=True, cwd=ROOT, bufsize=1
        )

    workers = [start() for _ in range(3)]
    try:
        said: list[str] = []
        first = workers[0].stdout
        assert first is not None
        said.extend(first.readline() for _ in range(KILLED_AFTER))
        workers[0].kill()
        workers.append(start())
        for worker in workers:
            said.extend(worker.communicate(timeout=120)[0].splitlines())
        assert [worker.returncode for worker in workers[1:]] == [0, 0, 0]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(30)
        valkey.erase()
    seen = [json.loads(line) for line in said if line.strip().endswith("]")]
    kinds = Counter(what for what, *_ in seen)
    assert all(kinds[what] for what in ("wrote", "read", "forgot", "swept")) and not kinds["away"]
    written = {version: content for what, _, _, _, version, content in seen if what == "wrote"}
    for what, id, began, _, version, content in seen:
        if what != "read":
            continue
        before = [one for one in seen if one[1] == id and one[3] < began]
        newest = max((one[4] for one in before if one[0] in ("wrote", "read")), default=0)
        gone = max((one[4] for one in before if one[0] == "forgot"), default=0)
        assert version >= newest and version > gone, f"{id}: read {version} after {newest}, forgotten up to {gone}"
        assert content == written.get(version, content), f"{id}: another content under version {version}"
