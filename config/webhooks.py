"""``webhooks:`` in ``huiliu.yaml``: existing tools that are told what happens, as written."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from config.faults import Wrong
from config.happenings import EventPattern, chosen
from config.lookups import header, header_value
from config.values import DURATIONS, Millis, Section, UniqueNames

SECRET_PREFIX = "whsec_"  # noqa: S105  # what a secret begins with, by the scheme
SECRET_BYTES = range(24, 65)  # Standard Webhooks 1.0: between 24 and 64 bytes of randomness
MOST_SECRETS = 5
LONGEST_WAIT = 30 * DURATIONS["s"]
OURS = ("content-type", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature")


def secret(value: SecretStr) -> SecretStr:
    """Accept a secret of the Standard Webhooks scheme. Raises `Wrong`, which never shows it."""
    text = value.get_secret_value()
    try:
        size = len(base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not text.startswith(SECRET_PREFIX) or size not in SECRET_BYTES:
        raise Wrong("this is no secret of a webhook", expected="whsec_ and 24 to 64 random bytes in base64")
    return value


def endpoint_url(value: str) -> str:
    """Accept the address of an endpoint. Raises `Wrong`."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not value.isprintable() or re.search(r"[\s\\]", value):
        raise Wrong("{value} is not a web address", expected="an address like https://crm.example.com/huiliu")
    if "@" in parts.netloc or parts.fragment:
        raise Wrong("{value} has a user or a fragment", expected="an address like https://crm.example.com/huiliu")
    return value


def own_header(value: str) -> str:
    """Accept the name of a header that neither HTTP nor the scheme sets. Raises `Wrong`."""
    if value.lower() in OURS:
        raise Wrong("{value} cannot be a header here", expected="a name like X-Api-Key")
    return header(value)


def patience(value: int) -> int:
    """Accept how long an answer is waited for. Raises `Wrong`."""
    if not DURATIONS["s"] <= value <= LONGEST_WAIT:
        raise Wrong("{value} is no useful wait", expected="1s to 30s")
    return value


WebhookSecret = Annotated[SecretStr, AfterValidator(secret)]
OwnHeader = Annotated[str, AfterValidator(own_header)]
HeaderValue = Annotated[SecretStr, AfterValidator(header_value)]


class Webhook(Section):
    """An address that is told of events."""

    url: Annotated[str, AfterValidator(endpoint_url), Field(repr=False)]
    """Where events are posted; it may hold a token, so it is shown without its query."""
    secret: WebhookSecret | None = None
    """Signs every call: `whsec_` and 24 to 64 random bytes in base64."""
    secrets: Annotated[tuple[WebhookSecret, ...], Field(max_length=MOST_SECRETS)] = ()
    """Several, while one takes the other's place: each signs, and the receiver may check any."""
    events: Annotated[tuple[EventPattern, ...], Field(min_length=1)] = ("*",)
    """Names like `message.received`, groups like `conversation.*`, or `*`."""
    teams: UniqueNames = ()
    """Only what concerns these teams; by default all."""
    channels: UniqueNames = ()
    """Only conversations of these channels; by default all."""
    content: Literal["full", "thin"] = "full"
    """full: what the API shows; thin: ids and states only, no word and no name of a customer."""
    timeout: Annotated[Millis, AfterValidator(patience)] = 15 * DURATIONS["s"]
    """How long an answer is waited for, 1s to 30s."""
    allow_private: bool = False
    """Whether the address may lie in a private network or on this machine."""
    headers: Mapping[OwnHeader, HeaderValue] = {}
    """Further headers, which are kept as secret as a token."""
    disable_after: Millis = 5 * DURATIONS["d"]
    """After failing for so long without one success the endpoint is left alone until somebody enables it."""

    @model_validator(mode="after")
    def _is_signed(self) -> Webhook:
        if (self.secret is None) == (not self.secrets):
            raise Wrong("every call is signed", expected="either secret or secrets")
        return self

    @model_validator(mode="after")
    def _leads_outside(self) -> Webhook:
        try:
            address = ipaddress.ip_address(urlsplit(self.url).hostname or "")
        except ValueError:
            return self
        if not self.allow_private and not address.is_global:
            raise Wrong("this address is in a private network", expected="a public address, or allow_private: true")
        return self

    @cached_property
    def types(self) -> frozenset[str]:
        """The names of the events that are wanted."""
        return chosen(self.events)

    @property
    def keys(self) -> tuple[SecretStr, ...]:
        """The secrets that sign, in the order given."""
        return self.secrets or ((self.secret,) if self.secret is not None else ())

    @property
    def shown(self) -> str:
        """The address without its query, fit to be shown."""
        return self.url.partition("?")[0]
