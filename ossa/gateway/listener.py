"""What a streaming client gets from a running task: its text, and what else a model says."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ossa.contracts.fleet import AgentInfo
from ossa.contracts.task import Delta, Earlier, Outcome, Step


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


_OWN = frozenset({"role", "content", "tool_calls", "function_call"})
"""Fields of a message that are told in their own way."""


class StreamedFields:
    """What else a model says in the step in progress: reasoning, a refusal, log probabilities.

    Texts and lists come in pieces. A step that another agent does again is skipped as far as it was sent; where it
    says something else there, the field ends: unlike the answer's text it need not hold.

    Args:
        but: names of fields that are not looked at.
    """

    def __init__(self, but: Collection[str] = ()) -> None:
        self._but = but
        self._sent: dict[str, Any] = {}
        self._cursors: dict[str, int] = {}
        self._ended: set[str] = set()

    def restart(self) -> None:
        """Expects the step from its beginning, by another agent."""
        self._cursors = {}

    def feed(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the part of the fields that the client lacks."""
        fresh: dict[str, Any] = {}
        for name, value in fields.items():
            if name not in self._but and value and (piece := self._feed(name, value)):
                fresh[name] = piece
        return fresh

    def settle(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Ends a journaled step. Returns what the client lacks of the fields it has in part."""
        rest = self.close({name: message[name] for name in self._sent if name in message})
        self._sent, self._cursors, self._ended = {}, {}, set()
        return rest

    def close(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what the client lacks of the fields of the final message."""
        self.restart()
        return self.feed(message)

    def _feed(self, name: str, value: Any) -> Any:
        if name in self._ended:
            return None
        sent = self._sent.get(name)
        if sent is not None and type(sent) is not type(value):
            self._ended.add(name)
            return None
        if isinstance(value, str):
            return self._feed_text(name, value, sent or "")
        if isinstance(value, list):
            return self._feed_list(name, value, sent or [])
        self._sent[name] = value
        return None if value == sent else value

    def _feed_text(self, name: str, text: str, sent: str) -> str:
        at = self._cursors.get(name, 0)
        expected = sent[at : at + len(text)]
        if not text.startswith(expected):
            self._ended.add(name)
            return ""
        self._cursors[name] = at + len(text)
        fresh = text[len(expected) :]
        self._sent[name] = sent + fresh
        return fresh

    def _feed_list(self, name: str, items: list[Any], sent: list[Any]) -> list[Any]:
        """Items are counted, not compared: pieces of one may have been joined since."""
        at = self._cursors.get(name, 0)
        self._cursors[name] = at + len(items)
        fresh = items[max(0, len(sent) - at) :]
        self._sent[name] = [*sent, *fresh]
        return fresh


class Listener:
    """Pieces of an answer as they come; `None` ends them.

    The queue has no bound of its own: it holds no more than one answer, which the model's limits bound.
    """

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[Delta | None] = asyncio.Queue()
        self.agent: AgentInfo | None = None
        self.earlier: Earlier | None = None
        self.over_soft: dict[str, float] = {}
        self.diverged = False
        self._text = StreamedText()
        self._fields = StreamedFields(_OWN)
        self._logprobs = StreamedFields()

    def given(self, earlier: Earlier) -> None:
        """Notes that the answer was given before."""
        self.earlier = earlier

    def started(self, agent: AgentInfo) -> None:
        """Notes that an agent begins, or begins again after another was lost."""
        self.agent = agent
        self._text.restart()
        self._fields.restart()
        self._logprobs.restart()

    async def delta(self, delta: Delta) -> None:
        if self.diverged:
            return
        fields: Mapping[str, Any] = {"content": delta} if isinstance(delta, str) else delta
        text = fields.get("content")
        try:
            fresh = self._text.feed(text) if text else ""
        except Diverged:
            self._give_up()
            return
        if isinstance(delta, str):
            self._put(fresh)
        else:
            others = {name: value for name, value in delta.items() if name != "logprobs"}
            self._put(fresh, self._fields.feed(others), self._logprobs.feed(delta.get("logprobs") or {}))

    def _put(self, text: str, fields: dict[str, Any] | None = None, logprobs: dict[str, Any] | None = None) -> None:
        more = dict(fields or {})
        if logprobs:
            more["logprobs"] = {"content": None, "refusal": None, **logprobs}
        if more:
            self.pieces.put_nowait({**more, "content": text} if text else more)
        elif text:
            self.pieces.put_nowait(text)

    def committed(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.kind != "model" or self.diverged or "rejected" in step.payload:
                continue
            message = step.payload.get("message") or {}
            content = message.get("content")
            try:
                rest = self._text.settle(content if isinstance(content, str) else None)
            except Diverged:
                self._give_up()
            else:
                logprobs = self._logprobs.settle(step.payload.get("logprobs") or {})
                self._put(rest, self._fields.settle(message), logprobs)

    def ended(self, outcome: Outcome | None) -> None:
        message = outcome.message if outcome is not None else None
        if outcome is not None and message is not None and not self.diverged:
            content = message.get("content")
            try:
                rest = self._text.close(content) if isinstance(content, str) else ""
            except Diverged:
                self.diverged = True
            else:
                self._put("", self._fields.close(message))
                self._put(rest, None, self._logprobs.close(outcome.logprobs or {}))
        self.pieces.put_nowait(None)

    def _give_up(self) -> None:
        self.diverged = True
        self.pieces.put_nowait(None)
