"""The one settings tree: environment `OSSA_*` (nested by `__`) over a TOML file over defaults.

`OSSA_CONFIG` names the file; without it `ossa.toml` in the working directory is read when present. Making it raises
`WrongSetting`, which names the variable and never shows what it holds: that may be a secret.
Read once, at a composition root, and handed on; it pickles, so actors get it as an argument.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from ossa.contracts.configuration import (
    AnswerSettings,
    BackupSettings,
    CacheSettings,
    Database,
    EventSettings,
    FleetSettings,
    GatewaySettings,
    MemorySettings,
    Models,
    ScalingSettings,
    VortexSettings,
)
from ossa.contracts.errors import InvalidRequest

PREFIX, DELIMITER = "OSSA_", "__"
SAID = {"missing": "field required", "extra_forbidden": "there is no such setting"}


class WrongSetting(InvalidRequest):
    """A setting that cannot be used."""

    code: ClassVar[str] = "wrong_setting"
    title: ClassVar[str] = "Wrong setting"


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    home: Path = Field(Path("~/.ossa"), description="embedded data, run files, logs")
    phase: str = "phase4-enterprise-analytics"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    database: Database = Database()
    cache: CacheSettings = CacheSettings()
    models: Models = Models()
    fleet: FleetSettings = FleetSettings()
    gateway: GatewaySettings = GatewaySettings()
    answers: AnswerSettings = AnswerSettings()
    vortex: VortexSettings = VortexSettings()
    memory: MemorySettings = MemorySettings()
    scaling: ScalingSettings = ScalingSettings()
    backup: BackupSettings = BackupSettings()
    events: EventSettings = EventSettings()

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _wrong(error) from None  # the cause holds the values
        except SettingsError as error:
            raise WrongSetting(str(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, _file_source(settings_cls))

    @property
    def home_dir(self) -> Path:
        """Raises `WrongSetting` for the home of a user who does not exist."""
        try:
            return self.home.expanduser().resolve()
        except RuntimeError as error:
            raise WrongSetting(f"OSSA_HOME: {error}") from error


def _file_source(settings_cls: type[BaseSettings]) -> TomlConfigSettingsSource:
    named = os.environ.get("OSSA_CONFIG", "")
    path = Path(named or "ossa.toml").expanduser()
    if named and not path.exists():
        raise WrongSetting(f"OSSA_CONFIG: {path} does not exist")
    if path.is_dir():
        raise WrongSetting(f"{path} is a folder, where the settings' file is looked for")
    try:
        return TomlConfigSettingsSource(settings_cls, path)
    except tomllib.TOMLDecodeError as error:
        raise WrongSetting(f"{path} is not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise WrongSetting(f"{path} cannot be read: {reason}") from None


def _wrong(error: ValidationError) -> WrongSetting:
    """All that is wrong in one sentence, by the names of the variables; no value of any."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return WrongSetting("; ".join(f"{_variable(item['loc'])}: {_said(item['type'], item['msg'])}" for item in found))


def _variable(place: tuple[int | str, ...]) -> str:
    """What is deeper than names go (an item of a list, a key of a table) is a part of the last one's value."""
    names = [part for part in place if isinstance(part, str) and part != "[key]"]
    return PREFIX + DELIMITER.join(names).upper()


def _said(kind: str, message: str) -> str:
    return SAID.get(kind) or message[:1].lower() + message[1:]
