"""Whether the fake is up."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from ossa.contracts.errors import StoreUnavailable

DOWN = "The store in memory was told to be down."
ALWAYS = ("open", "close")


class Gate:
    def __init__(self) -> None:
        self.open = True
        self.reason = DOWN

    def check(self) -> None:
        """Raises `StoreUnavailable` while the fake is down."""
        if not self.open:
            raise StoreUnavailable(self.reason, retry_after_s=1.0)


class Gated:
    """A fake whose public coroutines raise `StoreUnavailable` while it is down; `open` and `close` never do.

    What a test's subclass of a fake overrides is its own.
    """

    _gate: Gate

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = list(vars(cls).items()) if Gated in cls.__bases__ else ()
        for name, call in own:
            if iscoroutinefunction(call) and not name.startswith("_") and name not in ALWAYS:
                setattr(cls, name, _checked(call))

    def go_down(self, reason: str = DOWN) -> None:
        """From now on every call raises `StoreUnavailable` for that reason."""
        self._gate.open = False
        self._gate.reason = reason

    def come_back(self) -> None:
        """Undo `go_down`."""
        self._gate.open = True


def _checked(call: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @wraps(call)
    async def checked(self: Gated, *args: Any, **kwargs: Any) -> Any:
        self._gate.check()
        return await call(self, *args, **kwargs)

    return checked
