"""Everything about one person as an archive that people and programs can read: what the law lets them ask for."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from inbox import log as logbook
from inbox.api import rfc3339
from inbox.attachments import Attachments, NoAttachment
from inbox.contact_endpoints import past_merge_shape
from inbox.conversations import Conversation
from inbox.endpoints import safe_name
from inbox.log import Entry
from inbox.merging import Merging
from inbox.shapes import customer_shape
from inbox.store import Store
from inbox.timeline import EVERYTHING, Item, items
from inbox.views import Views
from outbox.belongings import Belongings, Searching, gathered
from outbox.consent import words
from outbox.consent_endpoints import word_shape
from outbox.endpoints import delivery_shape
from outbox.survey_endpoints import invitation_shape, response_shape

PAGE = 200
IN_MEMORY = 8 << 20
READ_ME = """\
contact.json        who it is: addresses, tags, what was merged, consent with its evidence
conversations.json  every conversation
messages.json       what was said and done in them, oldest first
letters.json        what was sent outside of conversations
deliveries.json     what became of everything that was sent
surveys.json        what the person was asked, and answered
attachments/        the files of messages, named in messages.json

contact.json        客户本人：地址、标签、合并记录、接收意愿及依据
conversations.json  所有会话
messages.json       会话中的往来，按时间顺序
letters.json        会话之外发出的内容
deliveries.json     发出内容的送达情况
surveys.json        问卷邀请与回答
attachments/        消息中的文件，文件名见 messages.json
"""


@dataclass(frozen=True, slots=True)
class Dossier:
    """Makes the archive."""

    store: Store
    searching: Searching
    merging: Merging
    views: Views
    attachments: Attachments
    now: Callable[[], int]

    async def make(self, contact_id: str) -> IO[bytes]:
        """Return the archive of a person, to be read from its beginning and closed.

        Raises `UnknownId`, `NoContact`, `StoreError`, OSError.
        """
        found = await self.searching.find(contact_id)
        parts: dict[str, Any] = {
            "contact.json": await self._contact(found),
            "conversations.json": await self.views.conversations(found.conversations),
            "messages.json": await self._messages(found.conversations),
            "letters.json": letters(found.entries),
            "deliveries.json": [delivery_shape(one) for one in found.deliveries],
            "surveys.json": surveys(found),
            "drafts.json": [json.loads(one["b"]) for one in await gathered(self.store, found.drafts) if one],
        }
        # It is closed by whoever sends it.
        file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("README.txt", READ_ME)
            for name, value in parts.items():
                archive.writestr(name, json.dumps(value, ensure_ascii=False, indent=1))
            for (partition, position, index), (sha, _, name) in found.files.items():
                try:
                    data = await self.attachments.read(sha)
                except NoAttachment:
                    continue
                archive.writestr(f"attachments/m{partition}-{position}.{index}-{safe_name(Path(name).name)}", data)
        file.seek(0)
        return file

    async def _contact(self, found: Belongings) -> dict[str, Any]:
        merges = await self.merging.history(found.root, found.contacts[found.root])
        return {
            "exported_at": rfc3339(self.now()),
            **customer_shape(found.root, found.contacts[found.root]),
            "parts": [customer_shape(name, fields) for name, fields in found.contacts.items() if name != found.root],
            "merges": [past_merge_shape(one) for one in merges],
            "consent": [word_shape(name, word) for name, record in found.records.items() for word in words(record)],
        }

    async def _messages(self, conversations: Sequence[Conversation]) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = []
        for one in conversations:
            before: int | None = None
            while True:
                page, before = await items(self.store, one.place, EVERYTHING, before, PAGE)
                shown += await self.views.messages(one, page)
                if before is None:
                    break
        return sorted(shown, key=lambda one: (one["at"] or "", one["id"]))


def letters(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return what was sent outside of conversations."""
    return [
        {
            "id": Item(0, "l", one).message_id,
            "at": rfc3339(int(one.fields["at"])),
            "channel": one.fields["ch"],
            "address": one.fields.get("a") or None,
            "subject": one.rest().get("subject") or None,
            "text": one.fields["tx"],
        }
        for one in entries
        if one.type == logbook.LETTER
    ]


def surveys(found: Belongings) -> dict[str, Any]:
    """Return invitations and responses."""
    asked = {one.id: one for one in found.invitations}
    return {
        "invitations": [invitation_shape(one) for one in found.invitations],
        "responses": [response_shape(one, asked.get(one.invitation)) for one in found.responses],
    }
