"""What an admin writes for a `wechat` channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from connectors.base import Options, SecretStr, Window
from connectors.envelope import usable_key

NonEmpty = Annotated[SecretStr, Field(min_length=1)]


class Quota(BaseModel):
    """A right to answer: for *seconds*, at most *messages* (null = no limit)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: int = Field(gt=0)
    messages: int | None = Field(default=None, gt=0)


class Quotas(BaseModel):
    """What each trigger lets us send; the platform has changed these numbers before, so they are options.

    Source: developers.weixin.qq.com, "api_sendcustommessage".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    message: Quota = Quota(seconds=48 * 3600, messages=5)
    menu: Quota = Quota(seconds=60, messages=3)
    follow: Quota = Quota(seconds=60, messages=3)
    scan: Quota = Quota(seconds=60, messages=3)
    enter: Quota = Quota(seconds=60, messages=2)


TRIGGERS = {
    "service": ("message", "menu", "follow", "scan"),
    "subscription": ("message", "menu", "follow", "scan"),
    "miniprogram": ("message", "enter"),
}


class WeChatOptions(Options):
    """Options of a `wechat` channel; docs/channels/wechat.md says where each is found on the platform."""

    app_id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    app_secret: NonEmpty
    token: NonEmpty
    previous_token: NonEmpty | None = None
    encoding_aes_key: SecretStr | None = None
    previous_encoding_aes_key: SecretStr | None = None
    account: Literal["service", "subscription", "miniprogram"] = "service"
    api_base: str = Field(default="https://api.weixin.qq.com", pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")
    quotas: Quotas = Quotas()
    kf_account: str | None = None
    media_hosts: tuple[str, ...] = ("qq.com", "qpic.cn")

    @field_validator("encoding_aes_key", "previous_encoding_aes_key")
    @classmethod
    def _key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not usable_key(key.get_secret_value()):
            raise ValueError("EncodingAESKey has exactly 43 letters and digits, as the platform shows it")
        return key

    @field_validator("previous_encoding_aes_key")
    @classmethod
    def _needs_current(cls, key: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if key is not None and info.data.get("encoding_aes_key") is None:
            raise ValueError("previous_encoding_aes_key needs encoding_aes_key beside it")
        return key

    def windows(self) -> Mapping[str, Window]:
        """Return the rights to answer by what triggers them, for this kind of account."""
        quotas = {trigger: getattr(self.quotas, trigger) for trigger in TRIGGERS[self.account]}
        return {trigger: Window(quota.seconds, quota.messages) for trigger, quota in quotas.items()}
