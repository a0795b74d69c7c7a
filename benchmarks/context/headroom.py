"""`headroom-ai`, a published compressor, in an environment of its own, offline.

It takes no target: it compresses tool output as far as it sees fit. Its model for prose is a download that no package
carries, so prose comes back as it was.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.context.problem import Problem

VENV = Path(__file__).resolve().parents[2] / ".venv-headroom"
PROGRAM = """
import json, sys
from headroom import compress
for line in sys.stdin:
    order = json.loads(line)
    call = {"id": "c", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    ask = {"role": "user", "content": order["question"] or "What is wrong?"}
    chat = [ask, {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": order["content"]}, ask]
    found = [one["content"] for one in compress(chat, model="claude-sonnet-4-5").messages if one["role"] == "tool"]
    sys.__stdout__.write(json.dumps(found[0]) + "\\n")
    sys.__stdout__.flush()
"""


class Headroom:
    """`with Headroom() as headroom: headroom(problem, 0)`. Installed on first use."""

    def __enter__(self) -> Headroom:
        if not (VENV / "bin" / "python").exists():
            print("installing headroom-ai into .venv-headroom ...", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
            subprocess.run([str(VENV / "bin" / "python"), "-m", "pip", "install", "-q", "headroom-ai"], check=True)
        self._process = subprocess.Popen(
            [str(VENV / "bin" / "python"), "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def __call__(self, problem: Problem, _: float) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"content": problem.content, "question": problem.question}) + "\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline()))
