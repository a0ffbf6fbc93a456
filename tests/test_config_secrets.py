"""A secret is given itself or by file, and shows nowhere: not in a fault, a repr, a dump or a traceback."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from config import chinese, shapes
from config.documents import read, validate
from config.faults import ConfigError
from config.loading import Loaded, attempt, load
from connectors import registry
from tests.config_kinds import kinds

SHOP = "channels:\n  shop: {{kind: wechat, app_id: wx1, app_secret: a, {}}}\n"


def configuration(directory: Path, text: str) -> Path:
    """Write *text* as a configuration."""
    file = directory / "huiliu.yaml"
    file.write_text(text)
    return file


def secret_file(directory: Path, content: str | bytes, mode: int = 0o600) -> Path:
    """Write a secret's file."""
    file = directory / "secret"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(mode)
    return file


def token(loaded: Loaded) -> str:
    """Return the token of the shop."""
    options: Any = loaded.settings.channels["shop"].options
    return str(options.token.get_secret_value())


@pytest.mark.parametrize(
    ("content", "value"),
    [("abc", "abc"), ("abc\n", "abc"), ("abc\r\n", "abc"), ("abc\n\n", "abc\n"), (" a b \n", " a b "), ("密\n", "密")],
)
def test_a_secret_may_stand_in_a_file(tmp_path: Path, content: str, value: str) -> None:
    """The file is looked up beside the configuration, and loses one line break at its end."""
    secret_file(tmp_path, content)
    loaded = load(configuration(tmp_path, SHOP.format("token_file: secret")), kinds, environ={})

    assert value == token(loaded)
    assert tmp_path / "secret" in loaded.files


def test_a_secret_from_the_environment_is_text(tmp_path: Path) -> None:
    """A token of digits stays the text that it is."""
    loaded = load(configuration(tmp_path, SHOP.format("token: ${TOKEN}")), kinds, environ={"TOKEN": "0012345"})

    assert token(loaded) == "0012345"


@pytest.mark.parametrize(
    ("content", "mode", "what"),
    [
        ("abc", 0o644, "everybody on this machine can read the secret's file; expected mode 0600"),
        ("abc", 0o604, "everybody on this machine can read the secret's file; expected mode 0600"),
        ("", 0o600, "the secret's file is empty"),
        ("\n", 0o600, "the secret's file is empty"),
        (b"\xff\xfe", 0o600, "the secret's file is not UTF-8 text"),
        ("x" * 70_000, 0o600, "the secret's file is larger than 64 KB"),
    ],
)
def test_a_secrets_file_must_be_usable(tmp_path: Path, content: str | bytes, mode: int, what: str) -> None:
    """An empty, huge, binary or world-readable file is refused where it is named."""
    secret_file(tmp_path, content, mode)
    result = attempt(configuration(tmp_path, SHOP.format("token_file: secret")), kinds, environ={})

    assert [f"channels.shop.token_file: {what}"] == [str(fault).split(": ", 1)[1] for fault in result.faults]


class Inner(BaseModel):
    """A part that is known by its kind."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    kind: str
    key: SecretStr | None = None


class Outer(BaseModel):
    """Secrets wherever a model may have them."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    own: SecretStr | None = None
    alias: SecretStr | None = Field(default=None, alias="other-name")
    several: list[SecretStr] = []
    by_name: dict[str, Inner] = {}
    in_list: list[Inner] = []
    either: str | Inner = ""


@pytest.mark.parametrize(
    "text",
    [
        "own_file: secret",
        "other-name_file: secret",
        "by_name: {a: {kind: b, key_file: secret}}",
        "in_list: [{kind: b, key_file: secret}]",
        "either: {kind: b, key_file: secret}",
    ],
)
def test_every_secret_field_may_be_given_by_file(tmp_path: Path, text: str) -> None:
    """Wherever a model has a secret, its key with `_file` works."""
    secret_file(tmp_path, "hunter2")
    found = validate(read(configuration(tmp_path, text)), Outer)

    assert "SecretStr('**********')" in repr(found)


# Every place of a secret or of a value from the environment, and every way to be wrong there.
PLACES = [
    {"api_tokens": {"ops": {"token": "@", "role": "bad"}}},
    {"api_tokens": {"ops": {"token": ["@"], "role": "admin"}}},
    {"api_tokens": {"ops": {"token": {"x": "@"}, "role": "admin"}}},
    {"api_tokens": {"a": {"token": "@", "role": "admin"}, "b": {"token": "@", "role": "admin"}}},
    {"store": {"url": "@"}},
    {"store": {"url": "redis://u:@@127.0.0.1:99999"}},
    {"store": {"url": "reddis://u:@@127.0.0.1"}},
    {"channels": {"shop": {"kind": "wechat", "app_id": "x", "app_secret": "@", "token": "@"}}},
    {"channels": {"shop": {"kind": "wechat", "app_id": "x", "app_secret": "@", "tokn": "@"}}},
    {"channels": {"shop": {"kind": "wechat", "app_id": 1, "app_secret": "@", "encoding_aes_key": "@"}}},
    {"channels": {"shop": {"kind": "wechat", "app_id": [], "app_secret": ["@"], "token": {"a": "@"}}}},
    {"channels": {"chat": {"kind": "webchat", "secret": "@", "color": "nocolor"}}},
    {"channels": {"mail": {"kind": "email", "address": "a", "imap": {"host": "h", "user": "u", "password": ["@"]}}}},
    {"channels": {"mail": {"kind": "email", "address": "a", "imap": {"host": "h", "port": "x", "password": "@"}}}},
]
BY_ENVIRONMENT = [
    {"locale": "$"},
    {"timezone": "$"},
    {"public_url": "$"},
    {"http": {"port": "$"}},
    {"http": "$"},
    {"channels": {"shop": {"kind": "$"}}},
    {"channels": {"chat": {"kind": "webchat", "required": "$", "rate": "$", "color": "$", "allowed_origins": "$"}}},
    {"channels": {"mail": {"kind": "email", "address": "a", "imap": "$"}}},
    {"sla": {"a": {"first_reply": "$", "warn_at": "$", "hours": "$"}}},
    {"hours": {"a": {"week": {"mon": ["$"]}, "closed": ["$"], "timezone": "$"}}},
    {"teams": {"a": {"name": "a", "members": ["$"], "sla": "$", "hours": "$", "assign": {"strategy": "$"}}}},
    {"agents": {"a": {"name": "a", "email": "$", "languages": ["$"], "notify": [{"kind": "$", "channel": "$"}]}}},
    {"attachments": {"max_size": "$"}},
    {"routes": "$"},
]
# Letters that our own sentences do not put together, so that what is found was really shown.
SECRETS = st.text(alphabet="qxzjvkQXZJVK7-_/+=秘密", min_size=8, max_size=40).filter(lambda text: len(set(text)) > 4)


def filled(value: Any, secret: str) -> Any:
    """Put *secret* in the place of every @ in *value*, and a reference to it in the place of every $."""
    if isinstance(value, dict):
        return {filled(key, secret): filled(inner, secret) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(item, secret) for item in value]
    return value.replace("@", secret, 1).replace("$", "${SECRET}") if isinstance(value, str) else value


@settings(max_examples=60, deadline=None)
@given(SECRETS)
@example("hunter2hunter2hunter2")
def test_no_fault_shows_a_secret(tmp_path_factory: pytest.TempPathFactory, secret: str) -> None:
    """Whatever is wrong, no message has a piece of a secret in it, in English or Chinese."""
    directory = tmp_path_factory.getbasetemp()
    for place in PLACES + BY_ENVIRONMENT:
        file = configuration(directory, yaml.safe_dump(filled(place, secret), allow_unicode=True))
        result = attempt(file, kinds, environ={"SECRET": secret})
        shown = "\n".join(f"{fault}\n{chinese.said(fault)}\n{fault!r}" for fault in result.faults)

        assert result.loaded is None
        assert not [piece for piece in pieces(secret) if piece in shown.lower()]


def pieces(secret: str) -> list[str]:
    """Return the parts of *secret* that give it away."""
    return [secret[start : start + 6].lower() for start in range(len(secret) - 5)]


@settings(max_examples=30, deadline=None)
@given(SECRETS)
def test_no_output_shows_a_secret(tmp_path_factory: pytest.TempPathFactory, secret: str) -> None:
    """A good configuration shows its secrets neither printed nor as JSON."""
    directory = tmp_path_factory.getbasetemp()
    secret_file(directory, secret)
    text = (
        "store: {url: 'redis://user:${QUOTED}@127.0.0.1:6379/0'}\n"
        "api_tokens: {ops: {token: '${SECRET}', role: admin}}\n"
        "channels:\n"
        "  shop: {kind: wechat, app_id: x, app_secret_file: secret, token: other}\n"
        "  chat: {kind: webchat, secret: '${SECRET}${SECRET}'}\n"
    )
    environ = {"SECRET": secret, "QUOTED": quote(secret, safe="")}
    loaded = load(configuration(directory, text), kinds, environ=environ)
    shown = [repr(loaded), str(loaded), repr(loaded.settings), loaded.settings.model_dump_json()]
    shown += [loaded.settings.store.address, json.dumps(loaded.settings.model_dump(mode="json"))]

    assert not [
        piece for piece in pieces(secret) + pieces(quote(secret)) if any(piece in text.lower() for text in shown)
    ]


def stuffed(model: type[BaseModel], secret: str, depth: int = 0) -> dict[str, Any]:
    """Return options in which every secret is *secret* and everything else is missing or wrong."""
    data: dict[str, Any] = {"surplus": 1}
    for key, info in shapes.keys(model).items():
        inner = shapes.inner_models(info.annotation)
        if shapes.holds_secret(info.annotation):
            data[key] = secret
        elif inner and depth < 3:
            data[key] = stuffed(inner[0], secret, depth + 1)
    return data


@pytest.mark.parametrize("kind", sorted(registry.BUILT_IN))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(secret=SECRETS)
def test_no_connectors_fault_shows_a_secret(tmp_path: Path, kind: str, secret: str) -> None:
    """What the built-in connectors say about their options shows no secret either."""
    options = stuffed(registry.find(kind).Options, secret)
    for wrong in ({}, {"surplus": None}, {"rate": -1}):
        content = {"channels": {"it": {**options, **wrong, "kind": kind}}}
        file = configuration(tmp_path, yaml.safe_dump(content, allow_unicode=True))
        result = attempt(file, lambda kind: registry.find(kind).Options, environ={})
        shown = "\n".join(f"{fault}\n{chinese.said(fault)}" for fault in result.faults).lower()

        assert result.faults
        assert not [piece for piece in pieces(secret) if piece in shown]


@pytest.mark.parametrize("show", [str, repr, lambda error: "".join(traceback.format_exception(error))])
def test_no_traceback_shows_a_secret(tmp_path: Path, show: Callable[[ConfigError], str]) -> None:
    """The error that refuses a configuration brings no other error along that knows the values."""
    file = configuration(tmp_path, SHOP.format("token: b, encoding_aes_key: hunter2hunter2"))
    with pytest.raises(ConfigError) as caught:
        load(file, kinds, environ={})

    assert "hunter2" not in show(caught.value)
    assert caught.value.__context__ is None
