"""Kinds of channels for the tests of the configuration: options as connectors have them, without the connectors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from config.channels import Unavailable, UnknownKind


class Options(BaseModel):
    """What `connectors.base.Options` is."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Mailbox(Options):
    """One side of a mail account."""

    host: str
    port: int = 993
    tls: Literal["implicit", "starttls"] = "implicit"
    user: str
    password: SecretStr


class Mail(Options):
    """A mail account."""

    address: str
    imap: Mailbox
    smtp: Mailbox | None = None


class WeChat(Options):
    """An account whose options check each other, as WeChat's do."""

    app_id: str
    app_secret: SecretStr
    token: SecretStr
    encoding_aes_key: SecretStr | None = None
    api_base: str = "https://api.weixin.qq.com"

    @field_validator("encoding_aes_key")
    @classmethod
    def _key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) != 43:
            raise ValueError(f"the key must have 43 characters, not those of {value.get_secret_value()}")
        return value

    @model_validator(mode="after")
    def _apart(self) -> WeChat:
        if self.app_secret.get_secret_value() == self.token.get_secret_value():
            raise ValueError(f"app_secret and token are both {self.token.get_secret_value()}")
        return self


class Chat(Options):
    """A web chat."""

    allowed_origins: tuple[str, ...] = ()
    color: Annotated[str, Field(pattern="^#[0-9a-f]{6}$")] = "#1f6f5c"
    secret: Annotated[SecretStr, Field(min_length=16)] | None = None


class Clumsy(Options):
    """Options whose author made a mistake."""

    name: str = ""

    @field_validator("name")
    @classmethod
    def _broken(cls, value: str) -> str:
        return {"a": "b"}[value]


KINDS: dict[str, type[Options]] = {"email": Mail, "webchat": Chat, "wechat": WeChat}


def kinds(name: str) -> type[BaseModel]:
    """Return the options of a kind, as the hub's registry does."""
    if name == "clumsy":
        return Clumsy
    if name == "uninstallable":
        raise Unavailable("ImportError: no module named thing")
    if name not in KINDS:
        raise UnknownKind(name, list(KINDS))
    return KINDS[name]
