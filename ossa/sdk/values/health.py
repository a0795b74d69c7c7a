"""Whether the fleet is well, and which version it runs."""

from __future__ import annotations

from ossa.sdk.values.received import Received


class Check(Received):
    ok: bool
    detail: str = ""


class Health(Received):
    """`ok` is the gateway's verdict: new work is taken."""

    ok: bool
    checks: dict[str, Check] = {}

    @property
    def faults(self) -> tuple[str, ...]:
        """A line a check that is not ok."""
        return tuple(
            f"{name}: {check.detail or 'not ok'}" for name, check in sorted(self.checks.items()) if not check.ok
        )


class Version(Received):
    version: str
    name: str = ""
    api: str = ""
