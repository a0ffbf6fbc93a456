"""A shop that texts through Twilio's simulator, for tests of what goes out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from connectors.simulators.twilio import TwilioPlatform
from tests.hubs import TEAMS, Stage, configuration, running, served, write
from tests.twilio_account import ACCOUNT, BUYER, SMS, TOKEN

PUBLIC = "https://hub.example.com"


@dataclass
class Shop:
    """A running hub with the channel "sms", and Twilio."""

    stage: Stage
    platform: TwilioPlatform

    def texts(self, phone: str = BUYER) -> list[str]:
        """Return what a phone has got."""
        return [one.body for one in self.platform.messages if one.to == phone]


def sms_channel(api: str, rate: str = "") -> str:
    more = f", rate: {rate}" if rate else ""
    return (
        f"  sms: {{kind: twilio-sms, account_sid: {ACCOUNT}, auth_token: {TOKEN}, from_number: '{SMS}', "
        f"api_base: '{api}', region: US{more}}}"
    )


@asynccontextmanager
async def texting(
    store_url: str, folder: Path, *, more: str = "", rate: str = "", guard: str = "", templates: str = ""
) -> AsyncIterator[Shop]:
    """Run a hub with one Twilio channel; *more* goes into its configuration, *guard* into guard.yaml."""
    platform = TwilioPlatform(ACCOUNT, TOKEN, f"{PUBLIC}/hooks/sms", rate=10_000)
    async with served(platform.app) as api:
        text = configuration(sms_channel(api, rate), public_url=PUBLIC, more=TEAMS + more)
        if guard:
            text += "guard: guard.yaml\n"
        config = write(folder, text, **({"templates": templates} if templates else {}))
        if guard:
            (folder / "guard.yaml").write_text(guard, encoding="utf-8")
        async with running(store_url, config) as stage:
            platform._hub_url = stage.base
            yield Shop(stage, platform)
