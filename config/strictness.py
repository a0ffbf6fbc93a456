"""Validation in which text, numbers and truth values are never taken for one another.

pydantic's own strict mode goes too far for data from a file (a list is no tuple there, once a validator has run
before), and its lax mode not far enough (``"no"`` is false).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import SchemaValidator

_SCALARS = frozenset({"bool", "float", "int", "str"})
_NO_SCHEMAS = frozenset({"cls", "config", "default", "function", "metadata", "serialization"})


@cache
def validator(model: type[BaseModel]) -> SchemaValidator:
    """Return a validator for *model* that is strict about scalars, except where the model itself says otherwise."""
    model.model_rebuild()
    # The validators that models bring along, which pydantic would reuse for models inside models, are the lax ones.
    return SchemaValidator(_strict(model.__pydantic_core_schema__), _use_prebuilt=False)


def _strict(schema: Any) -> Any:
    if isinstance(schema, dict):
        inside = {key: _part(key, value) for key, value in schema.items()}
        return {"strict": True, **inside} if schema.get("type") in _SCALARS else inside
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if isinstance(schema, tuple):
        return tuple(map(_strict, schema))
    return schema


def _part(key: str, value: Any) -> Any:
    if key == "fields" and isinstance(value, dict):
        return {name: _strict(schema) for name, schema in value.items()}  # a field may be called "default"
    return value if key in _NO_SCHEMAS else _strict(value)
