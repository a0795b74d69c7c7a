"""A name that cannot be imported is refused before a fleet starts: its agents would never be ready."""

from __future__ import annotations

from typing import Any

import pytest

from ossa.app.extensions import check_imports
from ossa.contracts.configuration import FleetSettings
from ossa.contracts.errors import InvalidRequest


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"agent_hooks": ("nowhere:HOOK",)}, "OSSA_FLEET__AGENT_HOOKS names nowhere:HOOK"),
        ({"agent_hooks": ("ossa.contracts.value:Absent",)}, "ossa.contracts.value:Absent"),
        ({"agent_hooks": ("ossa.contracts.value",)}, "module:NAME"),
        ({"agent_hooks": ("math:sqrt",)}, "math:sqrt"),
        ({"tool_modules": ("nowhere",)}, "OSSA_FLEET__TOOL_MODULES names nowhere"),
        ({"tool_modules": ("math",)}, "TOOLS"),
    ],
)
def test_a_wrong_name_is_said_with_its_setting(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        check_imports(FleetSettings(**settings))


def test_a_fleet_without_names_passes() -> None:
    check_imports(FleetSettings())
