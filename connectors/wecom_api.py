"""The HTTP interface of WeCom as seen by one app: the shared token, messages, cards, uploads and downloads.

Sources: developer.work.weixin.qq.com, path/91039 (token), path/90236 (message/send), path/94888
(update_template_card), path/90253 and path/90254 (files).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from connectors import tencent
from connectors.base import Kit, Rejected, SecretStr, SendError
from connectors.calls import Reply
from connectors.tencent import Interface
from connectors.tokens import Grant
from connectors.wecom_codes import TOKEN_REFUSED, refused


class Answer(tencent.Answer, frozen=True):
    """What the interfaces that we call answer with. *invaliduser* lists members who get nothing, with errcode 0."""

    msgid: str = ""
    invaliduser: str | list[str] | None = ""
    unlicenseduser: str | None = ""


class Api(Interface[Answer]):
    """Calls for one app, see `Interface`."""

    def __init__(self, kit: Kit, base: str, corp_id: str, secret: SecretStr) -> None:
        # Until it ends the platform hands out the same token, so asking early brings nothing new.
        super().__init__(kit, base, Answer, TOKEN_REFUSED, early=0)
        self._corp_id = corp_id
        self._secret = secret

    def refusal(self, errcode: int) -> SendError:
        return refused(errcode)

    async def post(
        self,
        path: str,
        payload: Mapping[str, Any],
        *,
        leaving: Callable[[], Awaitable[None]] | None = None,
        repeatable: bool = False,
    ) -> Answer:
        answer = await super().post(path, payload, leaving=leaving, repeatable=repeatable)
        if answer.invaliduser:
            raise Rejected("the member does not exist or cannot see the app (invaliduser)", code="81013")
        if answer.unlicenseduser:
            raise Rejected(
                "the member has no licence for the interfaces of WeCom (unlicenseduser)", code="unlicenseduser"
            )
        return answer

    async def download(self, media_id: str) -> Reply:
        """Return the bytes of a file that a member sent; it is there for 3 days."""
        return (await self._fetch(media_id))[0]

    async def _grant(self, known: Grant | None) -> Grant:  # noqa: ARG002  # there is only one token to be had
        return await self._granted(
            "GET",
            "/cgi-bin/gettoken",
            params={"corpid": self._corp_id, "corpsecret": self._secret.get_secret_value()},
        )
