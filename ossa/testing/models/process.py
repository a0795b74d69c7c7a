"""The scripted model server in a process of its own, for programs that are not asynchronous."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Any

from ossa.contracts.configuration import Endpoint
from ossa.testing.models.server import MODEL


class ScriptedProcess:
    """`with ScriptedProcess() as server: server.endpoint()`. Ends with the `with`."""

    def __init__(self, *, port: int = 0, delay_s: float = 0.0) -> None:
        self._arguments = ["--port", str(port), "--delay-s", str(delay_s)]
        self._process: subprocess.Popen[str] | None = None
        self.base_url = ""

    def start(self) -> str:
        """Returns the base URL. Raises `RuntimeError` when the server does not come up."""
        command = [sys.executable, "-m", "ossa.testing.models.server", *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the scripted model server ended with status {self._process.wait()}")
        self.base_url = json.loads(line)["base_url"]
        return self.base_url

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def endpoint(self, **changes: Any) -> Endpoint:
        return Endpoint(**{"base_url": self.base_url, "model": MODEL, **changes})

    def counters(self) -> dict[str, int]:
        """The server's counters now."""
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/stats", timeout=10) as answer:
            found: dict[str, int] = json.load(answer)
        return found

    def __enter__(self) -> ScriptedProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
