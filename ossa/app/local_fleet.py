"""All of it on one machine: embedded stores and model, a Ray of its own (or the one that is joined), the gateway."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ossa.app.bootstrap import bootstrap, make_home
from ossa.app.local_ray import LocalRay, end_session, free_port, is_free
from ossa.app.run_file import RunFile, is_running, read_run_file, remove_run_file, write_run_file
from ossa.app.services import Backing, Services
from ossa.app.sizing import Machine, default_agents, fitted_scaling, logical_cpus
from ossa.contracts.errors import Conflict, NotReady
from ossa.contracts.value import Progress
from ossa.settings import Settings

log = logging.getLogger(__name__)


def this_machine() -> Machine:
    return Machine(cores=os.cpu_count() or 1, memory_mib=psutil.virtual_memory().available // 2**20)


class LocalFleet:
    """`start`, use `url`, `stop`. Blocking: for `ossa up`, tests and benchmarks.

    With `RAY_ADDRESS` set it joins that cluster and, at `stop`, removes its
    fleet from it; else it starts a Ray of its own and ends it.

    Args:
        agents: the size the machine is prepared for; None: what fits it.
        progress: hears of each stage, for people.
    """

    def __init__(self, settings: Settings, *, agents: int | None = None, progress: Progress = lambda _: None) -> None:
        self.settings = settings
        self.home: Path = settings.home_dir
        self.machine = this_machine()
        self._wanted = agents
        self.agents = agents or default_agents(self.machine)
        self.url = ""
        self.dashboard_url = ""
        self.ray_address = ""
        self.key_file = self.home / "api_key"
        self._progress = progress
        self._services = Services(settings)
        self._backing: Backing | None = None
        self._ray: LocalRay | None = None
        self._connected = False
        self._started_serve = True
        self._met_another = False
        self._deployed = False
        self._began = False

    @property
    def api_key(self) -> str:
        return self.key_file.read_text().strip()

    def agent_pss_mib(self) -> float | None:
        """Mean proportional set size of the agents' processes; None when they are not ours to look at."""
        return self._ray.agent_pss_mib() if self._ray else None

    @property
    def dsn(self) -> str:
        """The DSN of the PostgreSQL in use. It holds a password."""
        return self._backing.dsn.get_secret_value() if self._backing else ""

    def start(self) -> None:
        """Everything up but the agents: those are deployed through the API, as anyone would.

        Raises an `OssaError` that says what is in the way; what was started before it is stopped again.
        """
        from ossa.app.extensions import check_imports  # brings the gateway: not for `ossa --help`

        make_home(self.home)
        self._refuse_a_second()
        check_imports(self.settings.fleet)
        self._began = True
        try:
            self._progress("starting the stores and the model")
            self._backing = self._services.start()
            created = asyncio.run(bootstrap(self.settings, self.dsn))
            self.key_file = created.key_file
            self._progress("starting Ray" if not os.environ.get("RAY_ADDRESS") else "joining Ray")
            self.ray_address = self._start_ray()
            self._progress("deploying the controller and the gateway")
            self._deploy(self.ray_address, created.fleet_id)
        except BaseException:
            self.stop()
            raise

    def ensure(self) -> None:
        """Start again what died of the embedded services. Raises `NotReady` when our Ray is gone."""
        self._services.ensure()
        if self._ray is not None and not self._ray.alive():
            raise NotReady("Ray has ended; see its log in the home's logs folder")

    def stop(self) -> None:
        """Stop what `start` started, and nothing else: a refused start leaves the fleet it met alone."""
        if not self._began:
            return
        self._began = False
        self._progress("stopping what was started")
        try:
            self._stop_ray()
        finally:
            self._services.stop()
        # Only now: what could not be stopped is still found by `ossa down`.
        remove_run_file(self.home)

    def erase(self) -> None:
        """Remove the embedded PostgreSQL's data, after `stop`: journal, keys and all."""
        self._services.erase()

    def leave(self) -> None:
        """Let all of it run on after this process; `stop_left` ends it."""
        import ray

        if self._connected:
            ray.shutdown()

    def _refuse_a_second(self) -> None:
        run = read_run_file(self.home)
        if run is not None and is_running(run):
            raise Conflict(
                f"a fleet of this home ({self.home}) runs already at {run.url}: "
                "`ossa down` stops it, OSSA_HOME names another home"
            )

    def _start_ray(self) -> str:
        joined = os.environ.get("RAY_ADDRESS")
        if joined:
            return joined
        fleet = self.settings.fleet
        cpus = logical_cpus(self.machine, agents=self.agents, cpus_per_agent=fleet.cpus_per_agent)
        self._ray = LocalRay(cpus=cpus, log_dir=self.home / "logs", gateway=self.settings.gateway)
        address = self._ray.start()
        self.dashboard_url = self._ray.dashboard_url
        return address

    def _deploy(self, address: str, fleet_id: str) -> None:
        # Ray reads its environment when it is first imported, which is why that has to wait until here.
        import ray

        from ossa.app.deployment import deploy, reachable, serve_address

        assert self._backing is not None
        namespace = self.settings.fleet.namespace
        self._connected = True
        with _kept_sigterm():
            ray.init(address=address, namespace=namespace, log_to_driver=False, logging_level=logging.ERROR)
        if self._ray is None:
            self._fit_into_cluster()
        gateway = self.settings.gateway
        serving = serve_address()
        self._started_serve = serving is None
        host, port = serving or (gateway.host, self._port(gateway.host, gateway.port))
        self.url = f"http://{reachable(host)}:{port}"
        if serving:
            self._progress(f"Serve runs on this Ray already: the gateway is at its address, {self.url}")
        self._record(address)
        try:
            deploy(self._fitted(), self._backing, fleet_id=fleet_id, host=host, port=port)
        except Conflict:
            self._met_another = True
            raise
        self._deployed = True

    def _fitted(self) -> Settings:
        """With bounds for scaling that this machine can keep; a joined cluster may have nodes that follow."""
        if self._ray is None:
            return self.settings
        scaling = fitted_scaling(self.settings.scaling, self.machine, agents=self.agents)
        return self.settings.model_copy(update={"scaling": scaling})

    def _fit_into_cluster(self) -> None:
        """Size a fleet that nobody sized to the joined cluster; say what that lacks for any other."""
        from ossa.app.sizing import agents_on_cluster, node_cpus, what_is_missing

        cpus = node_cpus()
        if self._wanted is None:
            self.agents = min(self.agents, agents_on_cluster(cpus, self.settings.fleet))
        missing = what_is_missing(self.agents, cpus, self.settings.fleet)
        if missing:
            self._progress(missing)

    def _port(self, host: str, wanted: int) -> int:
        if wanted and is_free(wanted, host):
            return wanted
        port = free_port(host=host)
        if wanted:
            self._progress(f"port {wanted} is taken; using {port}")
        return port

    def _record(self, address: str) -> None:
        assert self._backing is not None
        run = RunFile(
            url=self.url,
            api_key_file=str(self.key_file),
            ray_address=address,
            dashboard_url=self.dashboard_url,
            ray_session=self._ray.session if self._ray else None,
            ray_session_started=self._ray.session_started if self._ray else None,
            supervisor_pid=os.getpid(),
            namespace=self.settings.fleet.namespace,
            embedded=self._backing.embedded,
            serve=self._started_serve,
        )
        write_run_file(self.home, run)

    def _stop_ray(self) -> None:
        try:
            if self._connected:
                self._leave_ray()
        finally:
            if self._ray is not None:
                self._ray.stop()

    def _leave_ray(self) -> None:
        """Drain and disconnect; whatever Ray or Serve say to that, a Ray of our own is still to be ended."""
        import ray

        try:
            # A Ray of our own ends as a whole right after; before the gateway is up there is nothing to drain on it.
            if not self._met_another and (self._deployed or self._ray is None):
                from ossa.app.deployment import undeploy

                undeploy(self.settings, end_serve=self._started_serve and self._ray is None)
        except Exception as error:  # noqa: BLE001 - a half-started Serve fails in ways of its own
            log.warning("fleet_not_drained", extra={"reason": str(error)[:200]})
        finally:
            self._connected = False
            ray.shutdown()


@contextmanager
def _kept_sigterm() -> Iterator[None]:
    """`ray.init` puts a handler of its own in the place of ours, which would end this process with all of it left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def stop_left(settings: Settings) -> RunFile | None:
    """Stop what an `ossa up` of this home left running; None when there is nothing."""
    home = settings.home_dir
    run = read_run_file(home)
    if run is None:
        return None
    if run.ray_session is not None and run.ray_session_started is not None:
        end_session(run.ray_session, run.ray_session_started)
    else:
        _leave_joined(settings, run)
    Services(settings).stop()
    remove_run_file(home)
    return run


def _leave_joined(settings: Settings, run: RunFile) -> None:
    import ray

    from ossa.app.cluster_fleet import stop_embedded
    from ossa.app.deployment import undeploy

    ray.init(address=run.ray_address, namespace=run.namespace, log_to_driver=False, logging_level=logging.ERROR)
    try:
        undeploy(settings, end_serve=run.serve)
        stop_embedded(run.namespace)
    finally:
        ray.shutdown()
