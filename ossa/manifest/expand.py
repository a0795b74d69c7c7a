"""`${VAR:-default}` in the fields an agent is made of. The document itself keeps it as written."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ossa.manifest.bounds import MAX_CHARS

_VARIABLE = re.compile(
    r"""\$\{ ([A-Za-z_][A-Za-z0-9_]*)                      # the name; `${outputs.x}` and `${{ x }}` are not ours
        (?: (:?-) ( (?: [^{}$] | \$(?!\{) | \$\{[^{}]*\} )*+ ) )?  # a default, which may hold one more variable
        \}""",
    re.VERBOSE,
)


class TooLong(ValueError):
    """Few characters of text can ask for a long variable many times."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """`text` with variables put in, as a shell would.

    `:-` takes the default when the variable is unset or empty, `-` when it is
    unset. Unset without a default it stays as written. What a variable holds
    is not expanded again. Raises `TooLong`.
    """
    if "${" not in text:
        return text
    length = len(text)

    def put_in(match: re.Match[str]) -> str:
        nonlocal length
        value = _value(match, env)
        length += len(value)
        if length > MAX_CHARS:
            raise TooLong(f"expands to more than {MAX_CHARS} characters")
        return value

    return _VARIABLE.sub(put_in, text)


def unresolved(text: str) -> str | None:
    """The first variable that still stands in an expanded text."""
    match = _VARIABLE.search(text)
    return match[1] if match else None


def _value(match: re.Match[str], env: Mapping[str, str]) -> str:
    name, operator, default = match.groups()
    value = env.get(name)
    if value is not None and (value or operator != ":-"):
        return value
    return match[0] if default is None else expand(default, env)
