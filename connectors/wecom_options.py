"""What an admin writes for a `wecom-app` and a `wecom-robot` channel."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from connectors.base import Options, SecretStr
from connectors.envelope import usable_key

NonEmpty = Annotated[SecretStr, Field(min_length=1)]
Base = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")]

API = "https://qyapi.weixin.qq.com"


class WeComAppOptions(Options):
    """Options of a `wecom-app` channel; docs/channels/wecom-app.md says where each is found on the platform."""

    corp_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    agent_id: int = Field(gt=0)
    secret: NonEmpty
    token: NonEmpty
    encoding_aes_key: SecretStr
    previous_token: NonEmpty | None = None
    previous_encoding_aes_key: SecretStr | None = None
    format: Literal["text", "markdown"] = "text"
    api_base: Base = API

    @field_validator("encoding_aes_key", "previous_encoding_aes_key")
    @classmethod
    def _key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not usable_key(key.get_secret_value()):
            raise ValueError("EncodingAESKey has exactly 43 letters and digits, as the platform shows it")
        return key


class WeComRobotOptions(Options):
    """Options of a `wecom-robot` channel; *key* is what follows `key=` in the webhook's address."""

    key: SecretStr
    format: Literal["text", "markdown", "markdown_v2"] = "text"
    mention: tuple[str, ...] = ()
    mention_mobiles: tuple[str, ...] = ()
    api_base: Base = API

    @field_validator("key")
    @classmethod
    def _only_the_key(cls, key: SecretStr) -> SecretStr:
        if not (
            0 < len(value := key.get_secret_value()) <= 128 and value.replace("-", "").isalnum() and value.isascii()
        ):
            raise ValueError("expected only what follows key= in the webhook's address")
        return key

    @model_validator(mode="after")
    def _can_mention(self) -> Self:
        if self.format == "markdown_v2" and self.mention:
            raise ValueError("markdown_v2 cannot mention anybody; use text or markdown")
        if self.format != "text" and self.mention_mobiles:
            raise ValueError("only text can mention by mobile number")
        return self
