"""Addresses under which people and platforms reach the hub; what opens something is signed."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from itsdangerous import BadData, URLSafeTimedSerializer

from config.settings import Settings
from connectors.base import Media
from inbox.attachments import Attachments, NoAttachment
from inbox.endpoints import FILE_HEADERS
from outbox.deliveries import Delivery
from outbox.seals import Recipient, Seals
from outbox.survey_page import Tokens

LIFE = 31 * 24 * 3600
"""Seconds for which the address of a file holds: a web chat shows its last 30 days."""

SHOWN = ("image/", "audio/", "video/")
"""Files that a browser shows; all others are kept, not opened."""

UNASKED = frozenset({"survey", "campaign"})


class Links:
    """Makes addresses, and serves the files behind some. Nothing is signed before it may `use` a key."""

    key: str
    seals: Seals
    surveys: Tokens

    def __init__(self, settings: Callable[[], Settings], attachments: Attachments) -> None:
        self._settings = settings
        self._attachments = attachments

    def use(self, key: str) -> None:
        """Sign with the *key* that the hub's processes share."""
        self.key = key
        self.seals = Seals(key)
        self.surveys = Tokens(key)
        self._files = URLSafeTimedSerializer(key, salt="files")

    def base(self) -> str:
        """Return the address of the hub."""
        return self._settings().public_url

    def conversation(self, conversation: str) -> str:
        """Return the page of a conversation, "" where nobody said at which address the hub is reached."""
        said = "public_url" in self._settings().model_fields_set and self.base()
        return f"{self.base()}/console/#/conversations/{conversation}" if said else ""

    def media(self, media: Media) -> str:
        """Return a public address of a kept file that expires after `LIFE`."""
        token = self._files.dumps([media.ref.removeprefix("sha256:"), media.type, ""])  # a name makes it too long
        return f"{self.base()}/files/{token}"

    def unsubscribe(self, recipient: Recipient) -> str:
        """Return the page by which a recipient ends messages of a lane."""
        return f"{self.base()}/u/{self.seals.seal(recipient)}"

    def leave(self, delivery: Delivery) -> str:
        """Return that page for the recipient of a survey or a bulk send, "" for what was asked for."""
        if delivery.lane not in UNASKED:
            return ""
        return self.unsubscribe(Recipient(delivery.channel, delivery.address, delivery.lane))

    def survey(self, invitation: str) -> str:
        """Return the page of an invitation."""
        return f"{self.base()}/s/{self.surveys.token(invitation)}"

    def routes(self) -> list[web.RouteDef]:
        """Return where the files are."""
        return [web.get("/files/{token}", self._file)]

    async def _file(self, request: web.Request) -> web.Response:
        """Serve a file to whoever holds its signed address: the platform, or the customer."""
        try:
            sha, kind, _ = self._files.loads(request.match_info["token"], max_age=LIFE)
            data = await self._attachments.read(sha)
        except (BadData, NoAttachment, ValueError):
            raise web.HTTPNotFound from None
        shown = kind.startswith(SHOWN) and "svg" not in kind
        headers = {
            **FILE_HEADERS,
            "Content-Disposition": "inline" if shown else "attachment",
            "Content-Type": kind if shown else "application/octet-stream",
        }
        return web.Response(body=data, headers=headers)
