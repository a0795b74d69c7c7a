"""The answer to a chat."""

from __future__ import annotations

from typing import Any

from ossa.sdk.values.received import Received
from ossa.sdk.values.usage import Usage


class Answer(Received):
    """What came back, who gave it and what it cost. `str(answer)` is the text."""

    text: str
    message: dict[str, Any] = {}
    finish_reason: str = ""
    model: str = ""
    agent: str = ""
    pool: str = ""
    task_id: str = ""
    request_id: str = ""
    usage: Usage = Usage()

    @property
    def cost_usd(self) -> float:
        return self.usage.cost_usd

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text
