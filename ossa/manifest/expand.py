"""`${VAR:-default}` in the fields an agent is made of. The document itself keeps it as written."""

from __future__ import annotations

import re
from collections.abc import Mapping

_VARIABLE = re.compile(
    r"""\$\{ ([A-Za-z_][A-Za-z0-9_]*)                      # the name; `${outputs.x}` and `${{ x }}` are not ours
        (?: (:?-) ( (?: [^{}$] | \$(?!\{) | \$\{[^{}]*\} )*+ ) )?  # a default, which may hold one more variable
        \}""",
    re.VERBOSE,
)


def expand(text: str, env: Mapping[str, str]) -> str:
    """`text` with variables put in, as a shell would.

    `:-` takes the default when the variable is unset or empty, `-` when it is
    unset. Unset without a default it stays as written. What a variable holds
    is not expanded again.
    """
    if "${" not in text:
        return text
    return _VARIABLE.sub(lambda match: _value(match, env), text)


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
