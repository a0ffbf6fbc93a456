"""The Twilio account that tests use."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientSession

from connectors.testing import kit
from connectors.twilio import TwilioOptions, TwilioSms

ACCOUNT = "AC" + "0123456789abcdef" * 2
SERVICE = "MG" + "a" * 32
TOKEN = "an-auth-token-0001"
HOOK = "https://hub.example.com/hooks/test"
SMS = "+15005550006"
BUYER = "+14158675309"


def options(**changes: Any) -> dict[str, Any]:
    """Return options as in YAML."""
    given = {"account_sid": ACCOUNT, "auth_token": TOKEN, "from_number": SMS, **changes}
    return {name: value for name, value in given.items() if value is not None}


def connector(http: ClientSession | None = None, **changes: Any) -> TwilioSms:
    return TwilioSms(TwilioOptions.model_validate(options(**changes)), kit(http=http))
