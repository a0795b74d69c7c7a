"""Runs `ossa up` and `ossa down` on this machine: start, deploy, send the examples, serve, stop."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from ossa.app.local_fleet import LocalFleet, stop_left
from ossa.cli.examples import ExampleReport, run_examples
from ossa.cli.stop_signals import stop_signals
from ossa.cli.terminal import ExitCode, Terminal
from ossa.contracts.errors import Cancelled
from ossa.contracts.fleet import POOLS
from ossa.contracts.value import Value
from ossa.observability.logs import write_log_lines
from ossa.sdk.client import Client
from ossa.sdk.connecting import connect
from ossa.settings import Settings

DEPLOY_TIMEOUT_S = 1200.0
POLL_S = 0.25
WATCH_S = 2.0


class UpReport(Value):
    """What `ossa up` reports once the examples have run. `agent_pss_mib`: mean memory (PSS) of an agent's process."""

    ok: bool
    url: str
    api_key_file: str
    docs_url: str
    metrics_url: str
    dashboard_url: str
    agents_wanted: int
    agents_ready: dict[str, int]
    seconds_to_start: float
    seconds_to_deploy: float
    agent_pss_mib: float | None
    examples: ExampleReport | None


class StartedFleet(Protocol):
    """`LocalFleet` or `ClusterFleet`."""

    settings: Settings
    agents: int
    url: str
    dashboard_url: str
    key_file: Path

    @property
    def api_key(self) -> str: ...

    def start(self) -> None: ...

    def agent_pss_mib(self) -> float | None: ...


def run_up(*, agents: int | None, once: bool, detach: bool, port: int | None, json_output: bool) -> int:
    """Does everything that `ossa up` does, and returns its exit code."""
    terminal = Terminal(as_json=json_output)
    write_log_lines(logging.WARNING)
    settings = _settings(port)
    fleet = LocalFleet(settings, agents=agents, progress=terminal.note)
    report: UpReport | None = None
    # Ray's own threads print to standard output, which is the report's alone.
    with contextlib.redirect_stdout(sys.stderr), stop_signals() as signals:
        try:
            report = bring_up(fleet, terminal)
            show(report, terminal)
            if detach:
                fleet.leave()
                terminal.note("It runs on; `ossa down` stops it.")
                return ExitCode.OK if report.ok else ExitCode.FAILED
            if not once:
                terminal.note("Serving until Ctrl-C.")
                _serve(fleet)
        except BaseException as error:
            fleet.stop()
            if not (signals.to_stop or isinstance(error, SystemExit)):  # Ray turns a SIGTERM into it while it is joined
                raise
            if report is None:
                terminal.error(Cancelled("interrupted before the fleet was up; what was started is stopped again"))
        fleet.stop()
        return ExitCode.OK if report is not None and report.ok else ExitCode.FAILED


def run_down(*, json_output: bool) -> int:
    """Does everything that `ossa down` does, and returns its exit code."""
    terminal = Terminal(as_json=json_output)
    with contextlib.redirect_stdout(sys.stderr):
        stopped = stop_left(_settings(None))
    if json_output:
        terminal.json({"stopped": stopped.url if stopped else None})
    else:
        terminal.note(f"stopped the fleet at {stopped.url}" if stopped else "nothing of this home runs")
    return ExitCode.OK


def _settings(port: int | None) -> Settings:
    settings = Settings()
    if port is None:
        return settings
    return settings.model_copy(update={"gateway": settings.gateway.model_copy(update={"port": port})})


def bring_up(fleet: StartedFleet, terminal: Terminal, *, examples: bool = True) -> UpReport:
    """Starts and deploys a fleet, sends the examples, and reports. Raises an `OssaError` when it cannot start."""
    began = time.monotonic()
    fleet.start()
    started = time.monotonic()
    with connect(fleet.url, fleet.api_key) as client:
        _deploy(client, fleet, terminal)
        deployed = time.monotonic()
        report = run_examples(fleet.url, fleet.api_key, _console(terminal)) if examples else None
        pools = client.pools.list()
    ready = {pool.name: pool.ready for pool in pools}
    return UpReport(
        ok=(report is None or report.ok) and sum(ready.values()) >= fleet.agents,
        url=fleet.url,
        api_key_file=str(fleet.key_file),
        docs_url=f"{fleet.url}/docs",
        metrics_url=f"{fleet.url}/metrics",
        dashboard_url=fleet.dashboard_url,
        agents_wanted=fleet.agents,
        agents_ready=ready,
        seconds_to_start=round(started - began, 1),
        seconds_to_deploy=round(deployed - started, 1),
        agent_pss_mib=fleet.agent_pss_mib(),
        examples=report,
    )


def _deploy(client: Client, fleet: StartedFleet, terminal: Terminal) -> None:
    """Deploys the phase through the API, with a progress bar for each pool."""
    operation = client.deploy_phase(fleet.agents, fleet.settings.phase)
    deadline = time.monotonic() + DEPLOY_TIMEOUT_S
    with _bars(terminal) as bars:
        rows = {name: bars.add_task(name, total=1, pending="") for name in POOLS}
        while time.monotonic() < deadline:
            for pool in (pool for pool in client.pools.list() if pool.name in rows):
                bars.update(rows[pool.name], completed=pool.ready, total=max(1, pool.desired), pending=pool.pending)
            operation = client.operations.get(operation.id)
            if operation.status in ("succeeded", "failed"):
                break
            time.sleep(POLL_S)
    if operation.status != "succeeded":
        reason = operation.error.message if operation.error else "it took too long"
        terminal.note(f"The phase was not deployed completely: {reason}")


def _bars(terminal: Terminal) -> Progress:
    return Progress(
        TextColumn("{task.description:<13}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[pending]}", style="dim"),
        console=terminal.err,
        disable=terminal.as_json or not terminal.err.is_terminal,
    )


def _console(terminal: Terminal) -> Console:
    """Returns where the examples' table goes: with --json to standard error, for standard output gets one document."""
    return terminal.err if terminal.as_json else terminal.out


def show(report: UpReport, terminal: Terminal) -> None:
    if terminal.as_json:
        terminal.json(report)
        return
    up = sum(report.agents_ready.values())
    memory = f", {report.agent_pss_mib:.0f} MiB an agent" if report.agent_pss_mib else ""
    per_pool = ", ".join(f"{pool} {count}" for pool, count in report.agents_ready.items())
    terminal.text(
        f"\n{up} of {report.agents_wanted} agents up ({per_pool})"
        f"\n{report.seconds_to_start:.0f} s to start, {report.seconds_to_deploy:.0f} s to deploy{memory}"
        f"\n"
        f"\n  API             {report.url}   (key in {report.api_key_file})"
        f"\n  API docs        {report.docs_url}"
        f"\n  metrics         {report.metrics_url}"
        f"\n  Ray dashboard   {report.dashboard_url or 'of the cluster that was joined'}\n"
    )
    if not report.ok:
        terminal.err.print(Text("Something is wrong: see above.", style="bold red"))


def _serve(fleet: LocalFleet) -> None:
    while True:
        time.sleep(WATCH_S)
        fleet.ensure()
