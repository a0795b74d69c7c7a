"""Runs small programs that each try one reported behaviour against a fleet, and lists their verdicts.

    python -m benchmarks.cases --cases DIR --out FILE.json [--only gateway/12 fleet/18] [--timeout 300]

Below DIR are the folders `gateway` and `fleet`, or one of them. Each has an `upstream.py PORT`, a model endpoint that
misbehaves as a case asks for, and programs `NN_name.py`; `00_*` sets up. A program ends with a line `VERDICT pass`,
`partial` or `fail`. The cases of a folder run one after the other against a fleet of five, which is started for them:
those of `gateway` get its URL and key, those of `fleet` the environment that `env.sh` there makes, with `CASES_HOME`.

JSON: `results` (case, verdict, seconds, last_line) and `aims`. Exit code 1 when a case does not pass.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ossa.app.local_ray import free_port

ROOT = Path(__file__).parents[1]
OSSA = Path(sys.executable).parent / "ossa"
START_S = 420.0
STOP_S = 90.0
SERVES = "Serving until"
"""What `ossa up` says once its agents are up."""
UPSTREAM_PORT = 18777
"""Where the cases of `gateway` expect their upstream, if nobody else is there."""
VERDICTS = ("pass", "partial", "fail")
TIER = "OSSA_MODELS__TIERS__STANDARD__"


@contextmanager
def process(
    command: list[str], log: Path, env: Mapping[str, str], *, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=dict(env), cwd=cwd
        )
        try:
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@contextmanager
def fleet(home: Path, env: dict[str, str], log: Path) -> Iterator[tuple[str, str, int]]:
    """A fleet of five by `ossa up`. Yields its URL, its key, and the pid of the command."""
    port = env.setdefault("OSSA_GATEWAY__PORT", str(free_port()))
    env |= {"OSSA_HOME": str(home), "OSSA_GATEWAY__HAPROXY": "false"}
    url = f"http://127.0.0.1:{port}"
    with process([str(OSSA), "up", "--agents", "5"], log, env) as command:
        end = time.monotonic() + START_S
        while SERVES not in log.read_text("utf-8", "replace") or not _answers(f"{url}/health"):
            if command.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"The fleet did not start; its log ends with:\n{_tail(log)}")
            time.sleep(1.0)
        yield url, (home / "api_key").read_text().strip(), command.pid


def run_gateway(folder: Path, home: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    upstream_port = free_port(UPSTREAM_PORT)
    env = {
        **_clean_environment(),
        TIER + "BASE_URL": f"http://127.0.0.1:{upstream_port}/up/v1/",
        TIER + "MODEL": "vendor/model:free",
        TIER + "API_KEY": "sk-upstream-secret",
        TIER + "INPUT_USD_PER_MTOK": "2",
        TIER + "OUTPUT_USD_PER_MTOK": "10",
        TIER + "PROMPT_CACHE__READ": "0.1",
        "OSSA_GATEWAY__CORS_ORIGINS": '["*"]',
    }
    with (
        process([sys.executable, str(folder / "upstream.py"), str(upstream_port)], home / "upstream.log", env),
        fleet(home / "home", dict(env), home / "up.log") as (url, key, _),
    ):
        cases_env = {
            **env,
            "UPSTREAM": f"127.0.0.1:{upstream_port}",
            "OSSA_PYTHON": sys.executable,
            "OSSA_HOME": str(home / "home"),
            "PYTHONPATH": os.pathsep.join((str(ROOT), env.get("PYTHONPATH", ""))),
        }
        return run_all(folder, [url, key], cases_env, options)


def run_fleet(folder: Path, home: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    for name in ("tools", "tmp", "out", "home"):
        (home / name).mkdir(exist_ok=True)
    shutil.copy(folder / "bug_tools.py", home / "tools")
    env = _sourced(folder / "env.sh", {**_clean_environment(), "CASES_HOME": str(home)})
    # The cases bring a Ray of their own in this variable; the fleet starts one.
    env.pop("RAY_ADDRESS", None)
    env |= {"OSSA_COMMAND": str(OSSA), "OSSA_CHECKOUT": str(ROOT), "OSSA_PYTHON": sys.executable}
    env["PYTHONPATH"] = os.pathsep.join((env.get("PYTHONPATH", ""), str(ROOT)))
    upstream_port = env[TIER + "BASE_URL"].split(":")[2].split("/")[0]
    with (
        process([sys.executable, str(folder / "upstream.py"), upstream_port], home / "upstream.log", env, cwd=home),
        fleet(Path(env["OSSA_HOME"]), dict(env), home / "up.log") as (url, key, pid),
    ):
        (home / "up2.pid").write_text(str(pid))
        return run_all(folder, [], {**env, "OSSA_URL": url, "OSSA_API_KEY": key}, options)


def run_all(
    folder: Path, arguments: list[str], env: dict[str, str], options: argparse.Namespace
) -> list[dict[str, Any]]:
    results = []
    for file in sorted(folder.glob("[0-9][0-9]_*.py")):
        name = f"{folder.name}/{file.stem}"
        is_setup = file.name.startswith("00_")
        if options.only and not is_setup and not any(name.startswith(start) for start in options.only):
            continue
        result = run_case(file, arguments, env, options.timeout)
        if is_setup:
            print(f"  set-up {file.stem}: {result['last_line'][:100]}", flush=True)
            continue
        result = {"case": name, **result}
        results.append(result)
        print(f"  {result['verdict']:8} {result['seconds']:6.1f} s  {name}", flush=True)
        if result["verdict"] != "pass":
            print(f"           {result['last_line'][:160]}", flush=True)
    return results


def run_case(file: Path, arguments: list[str], env: dict[str, str], timeout_s: float) -> dict[str, Any]:
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, file.name, *arguments], cwd=file.parent, env=env, capture_output=True, timeout=timeout_s,
            check=False,
        )  # fmt: skip
        said_all = (done.stdout.strip() or done.stderr.strip()).decode("utf-8", "replace")
        lines = said_all.splitlines()
        last = lines[-1] if lines else f"ended with {done.returncode} and said nothing"
    except subprocess.TimeoutExpired:
        said_all = last = f"not ended after {timeout_s:g} s"
    words = last.split()
    said = words[1] if len(words) > 1 and words[0] == "VERDICT" else ""
    return {
        "verdict": said if said in VERDICTS else "fail",
        "seconds": round(time.monotonic() - began, 1),
        "last_line": last,
        "output": said_all[-4000:],
    }


def _clean_environment() -> dict[str, str]:
    """Ours without what would point the fleet elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OSSA_", "RAY_"))}


def _sourced(script: Path, env: dict[str, str]) -> dict[str, str]:
    done = subprocess.run(
        ["bash", "-c", 'set -eu; . "$1"; env -0', "bash", str(script)], env=env, capture_output=True, check=True
    )
    entries = (entry.partition("=") for entry in done.stdout.decode().split("\0"))
    return {name: value for name, found, value in entries if found}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])


FOLDERS = {"gateway": run_gateway, "fleet": run_fleet}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="+", default=[], help="beginnings of names: gateway, fleet/18")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds that one case may take")
    options = parser.parse_args()
    folders = [options.cases / name for name in FOLDERS if (options.cases / name).is_dir()]
    if not folders:
        parser.error(f"{options.cases} has no folder gateway or fleet")
    results: list[dict[str, Any]] = []
    for folder in folders:
        if options.only and not any(start.startswith(folder.name) for start in options.only):
            continue
        print(folder.name, flush=True)
        with tempfile.TemporaryDirectory(prefix="ossa-cases-", ignore_cleanup_errors=True) as home:
            results += FOLDERS[folder.name](folder.resolve(), Path(home), options)
        if options.out is not None:  # saved as it goes
            options.out.write_text(json.dumps(report(results), indent=2) + "\n", "utf-8")
    found = report(results)
    for aim in found["aims"]:
        print(f"{'met' if aim['met'] else 'MISSED':>7}  {aim['name']}: {aim['value']} (bar {aim['bar']})")
    sys.exit(0 if all(aim["met"] for aim in found["aims"]) else 1)


def report(results: list[dict[str, Any]]) -> dict[str, Any]:
    passed = sum(result["verdict"] == "pass" for result in results)
    aim = {"name": "cases that pass", "value": passed, "bar": len(results), "met": passed == len(results)}
    return {"results": results, "aims": [aim]}


if __name__ == "__main__":
    main()
