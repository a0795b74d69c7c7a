"""A streaming client's ear on a running task."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Earlier, Outcome, Step
from ossa.gateway.streamed_text import Diverged, StreamedText


class Listener:
    """Pieces of text as they come; `None` ends them.

    The queue has no bound of its own: it holds no more than one answer, which the model's limits bound.
    """

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self.agent: AgentInfo | None = None
        self.earlier: Earlier | None = None
        self.over_soft: dict[str, float] = {}
        self.diverged = False
        self._text = StreamedText()

    def given(self, earlier: Earlier) -> None:
        """The answer was given before."""
        self.earlier = earlier

    def started(self, agent: AgentInfo) -> None:
        """An agent begins, or begins again after another one was lost."""
        self.agent = agent
        self._text.restart()

    async def delta(self, text: str) -> None:
        if self.diverged:
            return
        try:
            fresh = self._text.feed(text)
        except Diverged:
            self._give_up()
            return
        if fresh:
            self.pieces.put_nowait(fresh)

    def committed(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.kind != "model" or self.diverged or "rejected" in step.payload:
                continue
            content = (step.payload.get("message") or {}).get("content")
            try:
                rest = self._text.settle(content if isinstance(content, str) else None)
            except Diverged:
                self._give_up()
            else:
                if rest:
                    self.pieces.put_nowait(rest)

    def ended(self, outcome: Outcome | None) -> None:
        content = (outcome.message or {}).get("content") if outcome is not None else None
        if isinstance(content, str) and not self.diverged:
            try:
                rest = self._text.close(content)
            except Diverged:
                self.diverged = True
            else:
                if rest:
                    self.pieces.put_nowait(rest)
        self.pieces.put_nowait(None)

    def _give_up(self) -> None:
        self.diverged = True
        self.pieces.put_nowait(None)
