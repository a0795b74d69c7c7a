"""The memory over the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ossa.contracts.memory import Grant, NewMemory, Recall, Recalled
from ossa.contracts.memory_policy import EVERY_KIND
from ossa.gateway.api.schemas import Closed


class RememberBody(NewMemory):
    """What is to be remembered."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"content": "Anna prefers invoices by e-mail.", "kind": "preference", "subject": "anna"}
        }
    )


class RecallBody(Recall):
    """What is asked of the memory. Without `text`: the newest."""

    model_config = ConfigDict(json_schema_extra={"example": {"text": "how to send invoices", "subject": "anna"}})


class FoundList(BaseModel):
    data: list[Recalled]


class ForgetBody(Closed):
    """One of both."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"subject": "anna"}})

    subject: str | None = Field(None, min_length=1, max_length=256, description="all about this person")
    everything: bool = Field(False, description="all of the tenant")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> ForgetBody:
        if (self.subject is not None) is self.everything:
            raise ValueError("says either subject, or everything: true")
        return self


class GrantBody(Closed):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"kinds": ["preference"]}})

    kinds: list[Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9_-]{0,62})$")]] = Field(
        [EVERY_KIND], min_length=1, max_length=64, description="* for all"
    )


class GrantList(BaseModel):
    data: list[Grant]


MEMORY_MODELS: dict[str, type[BaseModel]] = {
    model.__name__: model for model in (RememberBody, RecallBody, ForgetBody, GrantBody)
}
