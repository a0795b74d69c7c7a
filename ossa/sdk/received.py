"""What a fleet sends, as values: read leniently, and shown as tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from html import escape
from typing import Any, ClassVar, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import SchemaValidator, core_schema

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Received(BaseModel):
    """Declares a value that has no contract of its own."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=())


class Listing(tuple[T, ...]):
    """A tuple of values that a notebook shows as a table of the attributes in `columns`."""

    __slots__ = ()
    columns: ClassVar[tuple[str, ...]] = ()

    def rows(self) -> list[list[str]]:
        """Returns the shown attributes as text, one row for each value."""
        return [[_text(getattr(item, column)) for column in self.columns] for item in self]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def read(kind: type[T], body: Any) -> T:
    """Reads JSON as a model, or `{"data": [...]}` as a `Listing`.

    A newer fleet may send fields and members of enums that this version has not heard of: such fields are ignored,
    such members stay strings. Raises `ValueError`, `TypeError` or `KeyError` for what is not of that kind at all.
    """
    if issubclass(kind, Listing):
        (model,) = get_args(kind.__orig_bases__[0])  # type: ignore[attr-defined]
        return kind(_read(model, item) for item in body["data"])
    value: T = _read(kind, body)  # type: ignore[type-var]  # a model
    return value


def _read(model: type[M], body: Any) -> M:
    try:
        return model.model_validate(body)
    except ValidationError:
        value: M = _lenient_validator(model).validate_python(body)
        return value


@cache
def _lenient_validator(model: type[BaseModel]) -> SchemaValidator:
    return SchemaValidator(_lenient(model.__pydantic_core_schema__))


def _lenient(schema: Any) -> Any:
    """Returns the core schema with extra fields ignored and a string allowed wherever an enum or literal is."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_lenient, schema))
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if kind in ("enum", "literal"):
        return core_schema.union_schema([cast(Any, schema), core_schema.str_schema()], mode="left_to_right")
    opened = {key: _lenient(value) for key, value in schema.items()}
    if kind == "model-fields":
        opened["extra_behavior"] = "ignore"
    if kind == "model":
        # Of a schema of the type `model` pydantic would take the class's own strict validator instead.
        return core_schema.no_info_after_validator_function(
            partial(_build, schema["cls"]), opened["schema"], ref=schema.get("ref")
        )
    return opened


def _build(model: type[M], validated: tuple[dict[str, Any], Any, set[str]]) -> M:
    values, _, given = validated
    return model.model_construct(given, **values)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(item) for item in value)
    return str(value)
