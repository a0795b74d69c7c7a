"""The one settings tree: environment `OSSA_*` (nested by `__`) over a TOML file over defaults.

`OSSA_CONFIG` names the file; without it `ossa.toml` in the working directory is read when present.
Read once, at a composition root, and handed on; it pickles, so actors get it as an argument.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ossa.contracts.configuration import Database, FleetSettings, GatewaySettings, Models


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="OSSA_", env_nested_delimiter="__", frozen=True, extra="ignore")

    home: Path = Field(Path("~/.ossa"), description="embedded data, run files, logs")
    phase: str = "phase4-enterprise-analytics"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    database: Database = Database()
    models: Models = Models()
    fleet: FleetSettings = FleetSettings()
    gateway: GatewaySettings = GatewaySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        path = Path(os.environ.get("OSSA_CONFIG", "ossa.toml"))
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, path))

    @property
    def home_dir(self) -> Path:
        return self.home.expanduser().resolve()
