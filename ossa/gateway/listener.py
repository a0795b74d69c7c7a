"""The text that a streaming client gets from a running task."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Earlier, Outcome, Step


class Diverged(Exception):
    """The new text does not begin with the text already sent."""


class StreamedText:
    """The text of the step in progress.

    A step that was lost with its agent is done again by another one: what was
    sent before is then skipped as long as the new text repeats it.
    """

    def __init__(self) -> None:
        self._sent = ""
        self._cursor = 0

    def restart(self) -> None:
        """Expects the step from its beginning, by another agent."""
        self._cursor = 0

    def feed(self, text: str) -> str:
        """Returns the part of `text` that the client lacks. Raises `Diverged`."""
        expected = self._sent[self._cursor : self._cursor + len(text)]
        if not text.startswith(expected):
            raise Diverged
        fresh = text[len(expected) :]
        self._cursor += len(text)
        self._sent += fresh
        return fresh

    def settle(self, whole: str | None) -> str:
        """Ends a journaled step with the text `whole`. Returns what the client lacks of a text it has in part.

        Raises `Diverged`.
        """
        rest = self.close(whole or "") if self._sent else ""
        self._sent, self._cursor = "", 0
        return rest

    def close(self, whole: str) -> str:
        """Returns what the client lacks of the final text. Raises `Diverged`."""
        if not whole.startswith(self._sent):
            raise Diverged
        return whole[len(self._sent) :]


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
        """Notes that the answer was given before."""
        self.earlier = earlier

    def started(self, agent: AgentInfo) -> None:
        """Notes that an agent begins, or begins again after another was lost."""
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
