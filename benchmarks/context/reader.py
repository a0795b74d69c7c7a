"""A real, small reader: the embedded SmolLM2, which reads a passage well and twenty badly."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.context.problem import Problem
from ossa.contracts.configuration import Endpoint, Models
from ossa.embedded.model import EmbeddedModel

ANSWER_TOKENS = 32
TIMEOUT_S = 300.0


@contextmanager
def reader() -> Iterator[Reader]:
    """The model's server, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="reader-") as home:
        model = EmbeddedModel(Path(home), Models(embedded_slots=1))
        endpoint = model.start()
        try:
            with httpx.Client(timeout=TIMEOUT_S) as http:
                yield Reader(http, endpoint)
        finally:
            model.stop()


class Reader:
    """`right(problem, text)`: whether an accepted answer stands in what the model says of the text."""

    def __init__(self, http: httpx.Client, endpoint: Endpoint) -> None:
        self._http = http
        self._endpoint = endpoint

    def right(self, problem: Problem, text: str) -> bool:
        prompt = f"{text}\n\nAnswer with a few words from the text above.\nQuestion: {problem.question}?\nAnswer:"
        answer = self._http.post(
            f"{self._endpoint.base_url}/chat/completions",
            headers={"authorization": f"Bearer {self._endpoint.api_key.get_secret_value()}"},
            json={
                "model": self._endpoint.model,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": ANSWER_TOKENS,
                "temperature": 0,
            },
        )
        answer.raise_for_status()
        said = str(answer.json()["choices"][0]["message"]["content"]).casefold()
        return any(accepted.casefold() in said for accepted in problem.answers)
