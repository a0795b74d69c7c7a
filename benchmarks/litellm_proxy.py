"""The official LiteLLM proxy in a virtual environment of its own, as a baseline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

VENV = Path(__file__).resolve().parent.parent / ".venv-litellm"
START_TIMEOUT_S = 180.0
KEY = "sk-benchmark"


class LiteLLMProxy:
    """`with LiteLLMProxy(base_url, model, workers=2) as proxy: proxy.url`. Installed on first use."""

    def __init__(self, base_url: str, model: str, *, workers: int, port: int) -> None:
        self._workers = workers
        self._port = port
        self._folder = tempfile.TemporaryDirectory(prefix="ossa-litellm-")
        self._config = Path(self._folder.name) / "config.yaml"
        entry = {
            "model_name": model,
            "litellm_params": {"model": f"openai/{model}", "api_base": base_url, "api_key": "none"},
        }
        settings = {"general_settings": {"master_key": KEY}, "litellm_settings": {"telemetry": False}}
        self._config.write_text(json.dumps({"model_list": [entry], **settings}))  # JSON is YAML
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{port}/v1/chat/completions"
        self.version = ""

    def __enter__(self) -> LiteLLMProxy:
        install()
        self.version = _version()
        environment = {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        with (Path(self._folder.name) / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(str(VENV / "bin" / "litellm"), "--config", str(self._config), "--host", "127.0.0.1"),
                    *("--port", str(self._port), "--num_workers", str(self._workers)),
                ],
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            leader = psutil.Process(self._process.pid)
            for process in (*leader.children(recursive=True), leader):
                process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health/liveliness", timeout=2).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.25)
            else:
                return
        raise RuntimeError(
            "the LiteLLM proxy did not come up:\n" + (Path(self._folder.name) / "log").read_text()[-2000:]
        )


def install() -> None:
    """`litellm[proxy]` into its own environment, once."""
    if (VENV / "bin" / "litellm").exists():
        return
    print("installing litellm[proxy] into .venv-litellm ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    subprocess.run([str(VENV / "bin" / "python"), "-m", "pip", "install", "-q", "litellm[proxy]"], check=True)


def _version() -> str:
    command = [str(VENV / "bin" / "python"), "-c", "import importlib.metadata as m; print(m.version('litellm'))"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
