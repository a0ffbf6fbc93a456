"""What an admin writes for a `tiktok-shop` channel."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from connectors.base import Options, SecretStr


class TikTokOptions(Options):
    """Options of a `tiktok-shop` channel; docs/channels/tiktok-shop.md says where each is found on the platform.

    *media_hosts* are domains whose hosts may serve buyers' pictures and videos.
    """

    app_key: str = Field(min_length=1, coerce_numbers_to_str=True)
    app_secret: SecretStr = Field(min_length=1)
    shop_cipher: str = Field(min_length=1)
    access_token: SecretStr = Field(min_length=1)
    refresh_token: SecretStr | None = None
    shop_id: str = Field("", coerce_numbers_to_str=True)
    api_base: str = "https://open-api.tiktokglobalshop.com"
    auth_base: str = "https://auth.tiktok-shops.com"
    send_version: str = Field("202309", pattern=r"^\d{6}$", coerce_numbers_to_str=True)
    media_hosts: tuple[str, ...] = (
        "ibyteimg.com",
        "tiktokcdn.com",
        "tiktokcdn-us.com",
        "tiktokcdn-eu.com",
        "tiktokv.com",
        "akamaized.net",
    )

    @field_validator("api_base", "auth_base")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value):
            raise ValueError("expected an http or https address without user, query or fragment")
        return value.rstrip("/")
