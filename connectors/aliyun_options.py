"""What an admin writes for an `aliyun-sms` channel."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from connectors.base import Options, SecretStr

VARIABLE = 35
"""Characters that the value of one variable may have (help.aliyun.com, document 44357, "申请短信模板")."""

SEGMENT = r"^[A-Za-z0-9._~-]{8,200}$"

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class ReplyTemplate(BaseModel):
    """The approved template that carries free text: in *parameter*, at most *longest* characters of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    code: Code
    parameter: str = Field("content", pattern=r"^[A-Za-z][A-Za-z0-9_]{0,49}$")
    longest: int = Field(VARIABLE, ge=1, le=500)


class AliyunOptions(Options):
    """One signature of an Alibaba Cloud account; docs/channels/aliyun-sms.md says where each option is found."""

    access_key_id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,128}$")
    access_key_secret: SecretStr = Field(min_length=1)
    sign_name: str = Field(min_length=1, max_length=60)
    secret_path: SecretStr
    reply_template: ReplyTemplate | None = None
    api_base: str = "https://dysmsapi.aliyuncs.com"

    @field_validator("sign_name")
    @classmethod
    def _bare(cls, value: str) -> str:
        bare = value.strip().removeprefix("【").removesuffix("】")
        if not bare:
            raise ValueError("expected the approved signature, such as 示例商城")
        return bare

    @field_validator("secret_path")
    @classmethod
    def _segment(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(SEGMENT, value.get_secret_value()):
            raise ValueError("expected 8 to 200 letters, digits, or any of . _ ~ -, made at random")
        return value

    @field_validator("api_base")
    @classmethod
    def _address(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#@]+/?", value):
            raise ValueError("expected an address such as https://dysmsapi.aliyuncs.com")
        return value.rstrip("/")
