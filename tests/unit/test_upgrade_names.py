"""What a user of an older version wrote still means something: its settings and the calls of its SDK are there."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from ossa.contracts.scaling import ScaleRules
from ossa.sdk.scaling import Rules
from ossa.settings import Settings
from tests.fixtures import public_names

FIXTURES = Path(public_names.__file__).parent
SETTINGS = json.loads((FIXTURES / "settings-4000a53.json").read_text())
SDK = json.loads((FIXTURES / "sdk-4000a53.json").read_text())
ATTRIBUTES = json.loads((FIXTURES / "answers-4000a53.json").read_text())
VALUES = json.loads((FIXTURES / "sdk-values-4000a53.json").read_text())
REQUIRED = {"BASE_URL": "http://127.0.0.1:9/v1", "MODEL": "m"}


def test_every_setting_of_before_has_its_name() -> None:
    """One that is renamed keeps its old name beside the new one (`validation_alias=AliasChoices(...)`)."""
    assert not SETTINGS.keys() - public_names.settings().keys()


def test_every_setting_of_before_takes_its_old_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, default in SETTINGS.items():
        needed = REQUIRED.get(name.rpartition("__TIERS__STANDARD__")[2]) if default is None else default
        if needed is not None:
            monkeypatch.setenv(name, needed)
    settings = Settings()
    assert settings.models.tiers["standard"].model == "m"
    with_tables = {"models", "memory", "scaling"}
    for name, field in Settings.model_fields.items():
        assert name in with_tables or getattr(settings, name) == field.default, name


def test_every_call_of_before_takes_its_parameters() -> None:
    now = public_names.sdk()
    for place, calls in SDK.items():
        for name, parameters in calls.items():
            assert name in now.get(place, {}), f"{place}.{name} is gone"
            assert now[place][name][: len(parameters)] == parameters, f"{place}.{name}"


def test_what_a_call_of_before_returns_has_its_attributes() -> None:
    now = public_names.answers()
    assert ATTRIBUTES["tasks.get"]
    assert {
        call: set(names) - set(now[call]) for call, names in ATTRIBUTES.items() if set(names) - set(now[call])
    } == {}


def test_every_value_of_before_is_imported_from_its_old_module() -> None:
    for module, names in VALUES.items():
        for name in names:
            with pytest.warns(DeprecationWarning, match=f"{name} is ossa"):
                assert isinstance(getattr(import_module(f"ossa.sdk.values.{module}"), name), type)
    with pytest.raises(ImportError):
        exec("from ossa.sdk.values.task import Nothing")


def test_rules_of_the_scaler_are_still_read_by_item() -> None:
    rules = Rules(**ScaleRules(cpu=0.5).model_dump())
    with pytest.warns(DeprecationWarning, match="rules.cpu"):
        assert rules["cpu"] == rules.cpu == 0.5
    with pytest.raises(KeyError):
        rules["nothing"]
