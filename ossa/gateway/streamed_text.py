"""What a streaming client was already told, held against what the next agent says."""

from __future__ import annotations


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
        """Another agent begins the step again."""
        self._cursor = 0

    def feed(self, text: str) -> str:
        """What of `text` is new to the client. Raises `Diverged`."""
        expected = self._sent[self._cursor : self._cursor + len(text)]
        if not text.startswith(expected):
            raise Diverged
        fresh = text[len(expected) :]
        self._cursor += len(text)
        self._sent += fresh
        return fresh

    def settle(self, whole: str | None) -> str:
        """The step is in the journal and will not be said again; `whole` is its text, if it has one.

        What of it the client lacks, if it was told a part of it. Raises `Diverged`.
        """
        rest = self.close(whole or "") if self._sent else ""
        self._sent, self._cursor = "", 0
        return rest

    def close(self, whole: str) -> str:
        """What of the final message's text the client lacks. Raises `Diverged`."""
        if not whole.startswith(self._sent):
            raise Diverged
        return whole[len(self._sent) :]
