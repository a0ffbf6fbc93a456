"""JSON Schema (draft 2020-12) of the configuration, for editors that check and complete while an admin types."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import ModelSchema

from config.channels import OWN_KEYS
from config.guard import GuardFile
from config.routes import RouteFile
from config.settings import Settings
from config.surveys import SurveyFile
from config.templates import VARIABLES, TemplateFile
from config.values import NAME, Section

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = {"type": "string", "pattern": r"\$\{", "description": "From the environment: ${NAME} or ${NAME:-default}."}

_FREE = frozenset({"type", "title", "description", "default", "examples", "format", "writeOnly"})
_SCALARS = frozenset({"boolean", "integer", "number", "string"})


class Describing(GenerateJsonSchema):
    """Takes the text under a field of a `Section` as its description.

    Pydantic can do that by itself, but when a class is made: every start of the hub would read all the sources.
    """

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        model = schema["cls"]
        texts = descriptions(model) if issubclass(model, Section) else {}
        for name, info in model.model_fields.items():
            shown = made.get("properties", {}).get(info.alias or name)
            if shown is not None and name in texts:
                shown.setdefault("description", texts[name])
        return made


@cache
def descriptions(model: type) -> dict[str, str]:
    """Return the texts that stand under the fields of a class and of those above it, by field."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if one.__module__.partition(".")[0] == __name__.partition(".")[0]:
            body = _classes(one.__module__)[one.__qualname__].body
            for field, said in itertools.pairwise(body):
                match field, said:
                    case ast.AnnAssign(target=ast.Name(name)), ast.Expr(value=ast.Constant(value=str() as text)):
                        found[name] = inspect.cleandoc(text)
    return found


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {one.name: one for one in tree.body if isinstance(one, ast.ClassDef)}


def json_schema(kinds: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Return the schema of ``huiliu.yaml`` with the channels of these *kinds*.

    It accepts what `config.loading.load` accepts, as far as a schema can say it: every secret also by file, and a
    reference to the environment in the place of any value.
    """
    models = [(Settings, "validation"), *((model, "validation") for model in dict.fromkeys(kinds.values()))]
    references, written = models_json_schema(models, schema_generator=Describing)  # type: ignore[arg-type]  # these are tuples
    definitions = {name: _widened(schema) for name, schema in written["$defs"].items()}
    settings = definitions.pop(_name(references[(Settings, "validation")]))
    own = definitions.pop("Channel")["properties"]
    settings["properties"]["channels"]["patternProperties"] = {
        f"^{NAME}$": {
            "type": "object",
            "required": ["kind"],
            "oneOf": [
                _channel(kind, definitions[_name(references[(model, "validation")])], own)
                for kind, model in kinds.items()
            ],
        }
    }
    return _whole(settings, "huiliu.yaml", definitions)


def routes_schema() -> dict[str, Any]:
    """Return the schema of route files."""
    return _of_file(RouteFile, "routes.yaml")


def guard_schema() -> dict[str, Any]:
    """Return the schema of the file of what may not leave in words."""
    return _of_file(GuardFile, "guard.yaml")


def templates_schema() -> dict[str, Any]:
    """Return the schema of files of texts."""
    variables = "; ".join(f"{{{{ {name} }}}}: {meaning}" for name, meaning in VARIABLES.items())
    return {**_of_file(TemplateFile, "templates.yaml"), "description": f"Texts by name. Variables are {variables}."}


def surveys_schema() -> dict[str, Any]:
    """Return the schema of the file of surveys."""
    whole = _of_file(SurveyFile, "surveys.yaml")
    whole["$defs"]["Question"]["required"].remove("text")  # the kind of the survey brings one along
    return whole


def _of_file(model: type[BaseModel], title: str) -> dict[str, Any]:
    schema = model.model_json_schema(schema_generator=Describing)
    definitions = {name: _widened(inner) for name, inner in schema.pop("$defs", {}).items()}
    return _whole(_widened(schema), title, definitions)


def _whole(schema: dict[str, Any], title: str, definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Put a schema and those of *definitions* that it refers to together."""
    used: dict[str, Any] = {}
    waiting = _referred(schema)
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = definitions[name]
            waiting += _referred(definitions[name])
    return {"$schema": DIALECT, **schema, "title": title, "$defs": dict(sorted(used.items()))}


def _referred(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [_name(schema)] if isinstance(schema.get("$ref"), str) else []
        return own + [name for value in schema.values() for name in _referred(value)]
    return [name for item in schema for name in _referred(item)] if isinstance(schema, list) else []


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).removeprefix("#/$defs/")


def _channel(kind: str, options: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Put the hub's own keys of a channel and the *options* of its kind together, as they stand in the file."""
    properties = {key: own[key] for key in OWN_KEYS} | dict(options.get("properties", {}))
    properties["kind"] = {"const": kind, "description": own["kind"]["description"]}
    return {
        **options,
        "title": f"Channel of kind {kind}",
        "properties": properties,
        "required": ["kind", *options.get("required", ())],
    }


def _widened(schema: Any) -> Any:
    """Return *schema* with secrets by file, and with references to the environment wherever a scalar stands."""
    if isinstance(schema, list):
        return [_widened(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = _without_odd_default(schema)
    if schema.get("type") == "object":
        return _with_files(_object(schema))
    if schema.get("type") in _SCALARS or "const" in schema or "enum" in schema:
        return _scalar(schema)
    return {key: value if key in ("default", "examples", "$defs") else _widened(value) for key, value in schema.items()}


def _without_odd_default(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out a default that an admin could not write so: milliseconds, a parsed value, a hidden secret."""
    default = schema.get("default")
    number = any(each.get("type") in ("integer", "number", "boolean") for each in (schema, *schema.get("anyOf", ())))
    parsed = isinstance(default, dict) or (isinstance(default, int) and not number)
    if parsed or default in (None, "") or _is_secret(schema):
        return {key: value for key, value in schema.items() if key != "default"}
    return schema


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    wide = dict(schema)
    for key in ("properties", "patternProperties"):
        if key in schema:
            wide[key] = {name: _widened(value) for name, value in schema[key].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        wide["additionalProperties"] = _widened(schema["additionalProperties"])
    elif "patternProperties" in schema:
        wide["additionalProperties"] = False
    return wide


def _scalar(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type") == "string" and schema.keys() <= _FREE:
        return schema
    outside: dict[str, Any] = {key: schema[key] for key in _FREE - {"type", "format", "writeOnly"} if key in schema}
    inside = {key: value for key, value in schema.items() if key not in outside}
    return {**dict(sorted(outside.items())), "anyOf": [inside, REFERENCE]}


def _with_files(schema: dict[str, Any]) -> dict[str, Any]:
    """Let every secret of an object be named by file instead."""
    properties = dict(schema.get("properties", {}))
    required = list(schema.get("required", ()))
    either: list[dict[str, Any]] = []
    for key, value in schema.get("properties", {}).items():
        if not _is_secret(value):
            continue
        named = f"{key}_file"
        properties[named] = {"type": "string", "description": f"File that holds {key}, relative to this one."}
        either.append({"not": {"required": [key, named]}})
        if key in required:
            required.remove(key)
            either.append({"anyOf": [{"required": [key]}, {"required": [named]}]})
    wide = {**schema, "properties": properties} if properties else dict(schema)
    if "required" in schema:
        wide["required"] = required
    return {**wide, "allOf": [*schema.get("allOf", ()), *either]} if either else wide


def _is_secret(schema: Mapping[str, Any]) -> bool:
    if schema.get("format") == "password" and schema.get("writeOnly"):
        return True
    return any(_is_secret(choice) for choice in schema.get("anyOf", ()))
