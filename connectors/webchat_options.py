"""What an admin may set for a web chat."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from connectors import base
from connectors.base import SecretStr

MOST_FILE = 10 << 20
"""Bytes of a visitor's file, at most; the ingress reads no more."""

_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")

Language = Literal["zh", "en"]
Words = dict[Language, Annotated[str, Field(min_length=1, max_length=500)]]

TITLE: Words = {"zh": "在线客服", "en": "Chat with us"}
GREETING: Words = {"zh": "您好，请问有什么可以帮您？", "en": "Hello! How can we help you?"}


class WebChatOptions(base.Options):
    """A web chat channel; everything may be left out.

    *allowed_origins* are the sites that may embed the chat ("https://www.example.com"). *title*
    and *greeting* are texts by language. *color* is "#rrggbb". *secret* signs visitor tokens; left
    out, one is made and kept in the store. *identity_secret* is shared with the shop's site, which
    signs its customers' identities with it. *max_file* is in bytes, 0 for no files. The first of
    *languages* is for visitors whose browser asks for none of them.
    """

    allowed_origins: tuple[str, ...] = ()
    title: Words = Field(default_factory=lambda: dict(TITLE))
    greeting: Words = Field(default_factory=lambda: dict(GREETING))
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = "#1f6f5c"
    secret: Annotated[SecretStr, Field(min_length=16)] | None = None
    identity_secret: Annotated[SecretStr, Field(min_length=32)] | None = None
    max_file: Annotated[int, Field(ge=0, le=MOST_FILE)] = MOST_FILE
    languages: Annotated[tuple[Language, ...], Field(min_length=1)] = ("zh", "en")

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(value.lower().rstrip("/") for value in values)
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError("an origin is a scheme and a host, such as https://www.example.com, without a path")
        return origins
