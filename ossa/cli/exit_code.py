"""Exit codes that scripts can trust."""

from __future__ import annotations

from enum import IntEnum

from ossa.contracts.errors import Forbidden, OssaError, Unauthenticated
from ossa.sdk.errors import Unreachable


class ExitCode(IntEnum):
    OK = 0
    FAILED = 1
    """What was asked for did not succeed, or the fleet is not well."""
    USAGE = 2
    """The command line or a setting is wrong; nothing was asked."""
    UNREACHABLE = 3
    """No fleet answers there."""
    DENIED = 4
    """No API key, a wrong one, or one without the scope."""


REFUSED_HERE = frozenset({"wrong_setting", "wrong_usage"})
"""Codes of errors that are raised before anything is sent."""


def exit_code_of(error: OssaError) -> ExitCode:
    if error.code in REFUSED_HERE:
        return ExitCode.USAGE
    if isinstance(error, Unreachable):
        return ExitCode.UNREACHABLE
    if isinstance(error, Unauthenticated | Forbidden):
        return ExitCode.DENIED
    return ExitCode.FAILED
