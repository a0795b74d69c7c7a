"""Words every refusal of a manifest, so that people and machines find the place."""

from __future__ import annotations

from ossa.contracts.errors import ManifestError

Path = tuple[str | int, ...]

_MAX_SHOWN = 60
"""Characters of a value, or of one key, that an error quotes."""


def path_text(path: Path) -> str:
    """`("spec", "tools", 0)` as `spec.tools[0]`; the root is empty. Odd keys are escaped, long ones cut."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            key = part if part.isprintable() and len(part) <= _MAX_SHOWN else shown(part)
            text += f".{key}" if text else key
    return text if len(text) <= 4 * _MAX_SHOWN else f"...{text[-4 * _MAX_SHOWN :]}"


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
    text = repr(value[: _MAX_SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
