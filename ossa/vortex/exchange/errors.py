"""What can be wrong with a template, and with getting a value.

    InvalidRequest
    └── InvalidTemplate         422  template_invalid      the template's own text is wrong
        ├── PlaceholderCycle    422  placeholder_cycle     placeholders need one another in a circle
        └── PlaceholderLimit    422  placeholder_limit     too many, too deep or too long
    OssaError
    └── ResolutionFailed        502  resolution_failed     a value could not be had
        ├── ResolverUnknown     502  resolver_unknown      nobody resolves this type and namespace
        ├── ResolverTimedOut    504  resolver_timed_out
        └── ValueRefused        502  value_refused         the resolver gave what may not go into a text

A `ResolutionFailed` reaches a caller only where the failure mode is `Propagate`.
"""

from __future__ import annotations

from ossa.contracts.errors import InvalidRequest, OssaError


class InvalidTemplate(InvalidRequest):
    """`details` may hold `source` and `offset` (characters from the start)."""

    code, title = "template_invalid", "Template cannot be used"


class PlaceholderCycle(InvalidTemplate):
    """`details["cycle"]` names the placeholders in the order they need one another; the first comes last again."""

    code, title = "placeholder_cycle", "Placeholders need one another"


class PlaceholderLimit(InvalidTemplate):
    """`details` holds `limit` and `allowed`."""

    code, title = "placeholder_limit", "Too much to resolve"


class ResolutionFailed(OssaError):
    """`details["placeholder"]` names it."""

    status, code, title = 502, "resolution_failed", "A placeholder could not be resolved"


class ResolverUnknown(ResolutionFailed):
    code, title = "resolver_unknown", "Nobody resolves this placeholder"


class ResolverTimedOut(ResolutionFailed):
    status, code, title = 504, "resolver_timed_out", "A resolver took too long"


class ValueRefused(ResolutionFailed):
    code, title = "value_refused", "A resolver's value cannot be used"
