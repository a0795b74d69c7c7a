"""How every refusal of a manifest is worded, so that people and machines find the place."""

from __future__ import annotations

from ossa.contracts.errors import ManifestError

Path = tuple[str | int, ...]


def path_text(path: Path) -> str:
    """`("spec", "tools", 0, "name")` as `spec.tools[0].name`; the root is empty."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def fault(
    problem: str, *, source: str = "", line: int | None = None, path: Path = (), expected: str = ""
) -> ManifestError:
    """A `ManifestError` that reads `FILE:LINE: PATH: problem; expected …`.

    `details` holds the same as `file`, `line`, `path` and `expected`, and the bare `problem`.
    """
    where = ":".join(str(part) for part in (source, line) if part)
    dotted = path_text(path)
    sentence = f"{problem}; expected {expected}" if expected else problem
    message = ": ".join(part for part in (where, dotted, sentence) if part)
    details = {"file": source, "line": line, "path": dotted, "expected": expected, "problem": problem}
    return ManifestError(message, param=dotted or None, details=details)


def shown(value: object) -> str:
    """A value as an error may quote it: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
