"""Where an act comes from: who acts, for which tenant, in which request and trace.

The origin travels in a context variable. The gateway's edge sets it for each HTTP request, and whoever carries a task,
an operation or a loop on sets it again from what was stored. Stores put it into the facts they write, and logging into
each record.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import Context, ContextVar, copy_context

from ossa.contracts.value import Value


class Origin(Value):
    """`actor` is `key/ID`, `agent/ID` or `system/PART`; `traceparent` is W3C's (version-trace-span-flags).

    Empty fields are unknown.
    """

    actor: str = ""
    tenant: str = ""
    request_id: str = ""
    traceparent: str = ""

    def by(self, actor: str, *, tenant: str | None = None) -> Origin:
        """Returns the same request and trace, acted in by `actor`; `tenant` None keeps the tenant."""
        return Origin(
            actor=actor,
            tenant=self.tenant if tenant is None else tenant,
            request_id=self.request_id,
            traceparent=self.traceparent,
        )


NOWHERE = Origin()

_current: ContextVar[Origin] = ContextVar("ossa_origin", default=NOWHERE)


def current_origin() -> Origin:
    """Returns the origin of what runs now; `NOWHERE` where nobody has set one."""
    return _current.get()


def acting(origin: Origin) -> AbstractContextManager[Origin]:
    """Makes `origin` the current one inside the `with` block, and in the tasks that are created there."""
    return _Acting(origin)


class _Acting:
    """Every request enters one, so it is no generator."""

    __slots__ = ("_origin", "_token")

    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def __enter__(self) -> Origin:
        self._token = _current.set(self._origin)
        return self._origin

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def apart() -> Context:
    """Returns a copy of this context without an origin: for work that many requests share, or that outlives them."""
    context = copy_context()
    context.run(_current.set, NOWHERE)
    return context


def set_origin(origin: Origin) -> None:
    """Makes `origin` the current one for the rest of this asyncio task."""
    _current.set(origin)
