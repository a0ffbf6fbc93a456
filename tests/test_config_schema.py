"""Editors get a schema that accepts what the hub accepts, and explains every key."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
import yamlcore

from config import schema, starting
from tests.config_kinds import KINDS

SCHEMA = schema.json_schema(KINDS)
CONFIGS = Path(__file__).parent / "configs"


def accepts(text: str, of: dict[str, Any] = SCHEMA) -> bool:
    """Tell whether the schema accepts *text*, read without expanding references."""
    data = yaml.load(text, Loader=yamlcore.CCoreLoader)  # the core schema makes plain values only
    return bool(jsonschema.Draft202012Validator(of).is_valid(data))


def test_it_is_a_schema() -> None:
    """All four schemas are valid ones of draft 2020-12."""
    for each in (SCHEMA, schema.routes_schema(), schema.templates_schema(), schema.surveys_schema()):
        jsonschema.Draft202012Validator.check_schema(each)
        assert each["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("huiliu.yaml", SCHEMA),
        ("routes.yaml", schema.routes_schema()),
        ("templates.yaml", schema.templates_schema()),
        ("surveys.yaml", schema.surveys_schema()),
    ],
)
@pytest.mark.parametrize("preset", starting.PRESETS)
def test_the_first_files_fit(preset: str, name: str, of: dict[str, Any]) -> None:
    """An editor has nothing to say about a new installation."""
    assert accepts(resources.files("config").joinpath(preset, name).read_text(), of)


@pytest.mark.parametrize(
    "text",
    [
        "http: {port: '${PORT}'}",
        "http: {port: '${PORT:-8080}'}",
        "locale: ${LOCALE}",
        "retention: {live: '${KEEP}'}",
        "routes: one.yaml",
        "routes: [one.yaml, two.yaml]",
        "channels: {s: {kind: wechat, app_id: x, app_secret: a, token_file: b, rate: 5, required: '${R}'}}",
        "channels: {m: {kind: email, address: a, imap: {host: h, user: u, password_file: p}}}",
        "api_tokens: {a: {token_file: t, role: admin}}",
        "store: {url_file: url}",
        "hours: {o: {week: {mon-fri: ['09:00-18:00']}, open: {2026-10-10: ['10:00-12:00']}}}",
    ],
)
def test_accepts(text: str) -> None:
    """References to the environment and secrets by file are right wherever the hub takes them."""
    assert accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        "stroe: {}",
        "http: {port: '8080'}",
        "locale: fr",
        "channels: {S: {kind: webchat}}",
        "channels: {s: {kind: nothing}}",
        "channels: {s: {color: '#000000'}}",
        "channels: {s: {kind: webchat, app_id: x}}",
        "channels: {s: {kind: wechat, app_id: x, app_secret: a}}",
        "channels: {s: {kind: wechat, app_id: x, app_secret: a, token: b, token_file: c}}",
        "channels: {s: {kind: webchat, color_file: a}}",
        "retention: {live: 90}",
        "teams: {t: {}}",
    ],
)
def test_refuses(text: str) -> None:
    """What the hub refuses is marked in the editor where a schema can tell."""
    assert not accepts(text)


def fields(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every property of a schema with its path."""
    if isinstance(node, dict):
        for name, inner in node.get("properties", {}).items() if isinstance(node.get("properties"), dict) else ():
            yield f"{path}.{name}", inner
        for key, inner in node.items():
            yield from fields(inner, f"{path}.{key}")
    elif isinstance(node, list):
        for number, inner in enumerate(node):
            yield from fields(inner, f"{path}[{number}]")


def test_every_key_is_explained() -> None:
    """Editors show a sentence for every key of ours."""
    ours = {**schema.json_schema({}), "$defs": schema.json_schema({})["$defs"]}
    silent = [
        path
        for path, inner in [*fields(ours), *fields(schema.routes_schema())]
        if "description" not in inner and "$ref" not in inner
    ]

    assert silent == []


def test_no_default_is_in_a_notation_of_ours() -> None:
    """A default that an editor would fill in is one that the hub would read."""
    for path, inner in fields(SCHEMA):
        if "default" in inner:
            assert jsonschema.Draft202012Validator({**inner, "$defs": SCHEMA["$defs"]}).is_valid(inner["default"]), path
