"""The outcome of reading one document: loaded, rejected, or of another kind."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ossa.contracts.agent_spec import AgentSpec
from ossa.contracts.errors import ManifestError
from ossa.contracts.value import Value


class Loaded(Value):
    """An agent."""

    status: Literal["loaded"] = "loaded"
    source: str
    line: int | None
    spec: AgentSpec

    def __str__(self) -> str:
        return f"{self.spec.source}: {self.spec.name} {self.spec.version} ({self.spec.dialect})"


class Rejected(Value):
    """A document, or the rest of a file, that cannot be used. `message` names file, line, path and what is expected."""

    status: Literal["rejected"] = "rejected"
    source: str
    line: int | None = None
    path: str = Field(default="", description="dotted, from the document's root; empty for the whole")
    kind: str = Field(default="", description="the document's kind, where it could still be read")
    problem: str = ""
    expected: str = ""
    message: str

    @classmethod
    def because(cls, error: ManifestError, source: str) -> Rejected:
        found: dict[str, Any] = error.details
        return cls(
            source=found.get("file") or source,
            line=found.get("line"),
            path=found.get("path") or "",
            kind=found.get("kind") or "",
            problem=found.get("problem") or error.message,
            expected=found.get("expected") or "",
            message=error.message,
        )

    def error(self) -> ManifestError:
        """The same as an exception."""
        details = {
            "file": self.source,
            "line": self.line,
            "path": self.path,
            "expected": self.expected,
            "problem": self.problem,
        }
        return ManifestError(self.message, param=self.path or None, details=details)

    def __str__(self) -> str:
        return self.message


class OtherKind(Value):
    """A document that describes something else: a Workflow, Task, Crew, Skill, …"""

    status: Literal["other-kind"] = "other-kind"
    source: str
    line: int | None
    kind: str
    dialect: str = ""

    def error(self) -> ManifestError:
        """The error to raise where an agent is needed."""
        details = {"file": self.source, "line": self.line, "path": "kind", "expected": "kind: Agent"}
        return ManifestError(str(self), param="kind", details=details)

    def __str__(self) -> str:
        return f"{self.source}:{self.line or 1}: kind {self.kind} is not an Agent"


Reading = Loaded | Rejected | OtherKind
