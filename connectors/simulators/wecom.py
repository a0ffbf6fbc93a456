"""WeCom as it behaves towards one app: strict about tokens, agents, cards and limits, and faulty on demand.

It serves the interfaces that the hub calls and pushes what members do to the hub. Sources: the documents named
in docs/channels/wecom-app.md.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from connectors.simulators.faults import Fault, Refused
from connectors.simulators.tencent import Endpoint, Platform, Push, wall_clock
from connectors.simulators.wechat_push import Wrapped, digest, seal, unseal, write
from connectors.simulators.wecom_corp import ERRORS, Corp, Delivered

__all__ = ["Delivered", "Fault", "Push", "WeComPlatform"]

PART = r"<{0}>(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?</{0}>"


class WeComPlatform(Platform):
    """One app on WeCom, see `Platform`."""

    def __init__(
        self,
        corp_id: str,
        agent_id: int,
        secret: str,
        token: str,
        aes_key: str,
        hub_url: str = "",
        *,
        now: Callable[[], int] = wall_clock,
        patience: float = 5.0,
    ) -> None:
        self.corp = Corp(corp_id, agent_id, secret, now)
        self.received: Mapping[str, list[Delivered]] = self.corp.received
        self.broken_answers: list[str] = []
        self._token = token
        self._aes_key = aes_key
        self._last_id = 4_561_255_354_251_345_929
        super().__init__(hub_url, now, patience, ERRORS, 32 << 20)

    async def write(self, userid: str, text: str, **how: Any) -> Push:
        """Let *userid* write *text*; *how* is passed on to `push`, here and in all that follows."""
        return await self._say(userid, {"MsgType": "text", "Content": text}, **how)

    async def picture(self, userid: str, data: bytes, mime: str = "image/jpeg", **how: Any) -> Push:
        """Let *userid* send a picture."""
        media_id = self.corp.keep(mime, data)
        return await self._say(userid, {"MsgType": "image", "PicUrl": "http://p.qpic.cn/x", "MediaId": media_id}, **how)

    async def voice(self, userid: str, data: bytes, **how: Any) -> Push:
        """Let *userid* send a voice clip."""
        media_id = self.corp.keep("voice/amr", data)
        return await self._say(userid, {"MsgType": "voice", "MediaId": media_id, "Format": "amr"}, **how)

    async def video(self, userid: str, data: bytes, **how: Any) -> Push:
        """Let *userid* send a video."""
        files = {"MediaId": self.corp.keep("video/mp4", data), "ThumbMediaId": self.corp.keep("image/jpeg", b"")}
        return await self._say(userid, {"MsgType": "video", **files}, **how)

    async def location(self, userid: str, latitude: float, longitude: float, label: str, **how: Any) -> Push:
        """Let *userid* send a place."""
        fields = {"Location_X": latitude, "Location_Y": longitude, "Scale": 20, "Label": label, "AppType": "wxwork"}
        return await self._say(userid, {"MsgType": "location", **fields}, **how)

    async def link(self, userid: str, title: str, description: str, url: str, **how: Any) -> Push:
        """Let *userid* share a link."""
        fields = {"Title": title, "Description": description, "Url": url, "PicUrl": "http://p.qpic.cn/x"}
        return await self._say(userid, {"MsgType": "link", **fields}, **how)

    async def enter(self, userid: str, **how: Any) -> Push:
        """Let *userid* open the app's chat."""
        return await self.event(userid, "enter_agent", {"EventKey": ""}, **how)

    async def press(self, userid: str, label: str, **how: Any) -> Push:
        """Let *userid* press the button *label* of the latest card that has one."""
        return await self.event(userid, "template_card_event", self.corp.press(userid, label), **how)

    async def event(self, userid: str, name: str, fields: Mapping[str, Any] | None = None, **how: Any) -> Push:
        """Push the event *name* with *fields*."""
        return await self.push({**self._head(userid), "MsgType": "event", "Event": name, **(fields or {})}, **how)

    async def _say(self, userid: str, fields: Mapping[str, Any], **how: Any) -> Push:
        self.corp.members.add(userid)
        self._last_id += 1
        return await self.push({**self._head(userid), **fields, "MsgId": self._last_id}, **how)

    def _echo(self, echo: str) -> Mapping[str, str]:
        return self._signed(seal(echo.encode(), self._aes_key, self.corp.corp_id, secrets.token_bytes(16)), "echostr")

    def _wrapped(self, fields: Mapping[str, Any], *, forged: bool) -> Wrapped:
        plain = write({**fields, "AgentID": self.corp.agent_id}, "xml").encode()
        encrypted = seal(plain, self._aes_key, self.corp.corp_id, secrets.token_bytes(16))
        body = write({"ToUserName": self.corp.corp_id, "AgentID": self.corp.agent_id, "Encrypt": encrypted}, "xml")
        return Wrapped(self._signed(encrypted, forged=forged), body.encode(), "text/xml")

    def _takes(self, fields: Mapping[str, Any], answer: bytes) -> bool:
        return super()._takes(fields, answer) or self._replied(fields, answer.decode())

    def _replied(self, fields: Mapping[str, Any], answer: str) -> bool:
        """Check the signature of a passive reply, open it, and do what it says; tell whether it is one."""
        said = {name: part(answer, name) for name in ("Encrypt", "MsgSignature", "TimeStamp", "Nonce")}
        if said["MsgSignature"] != digest(self._token, said["TimeStamp"], said["Nonce"], said["Encrypt"]):
            self.broken_answers.append("signature")
            return False
        _, plain, owner = unseal(said["Encrypt"], self._aes_key)
        text = plain.decode()
        right = (
            owner == self.corp.corp_id == part(text, "FromUserName")
            and part(text, "ToUserName") == fields["FromUserName"]
        )
        card = self.corp.cards.get(str(fields.get("TaskId")))
        if not right or part(text, "MsgType") != "update_button" or card is None:
            self.broken_answers.append(text)
            return False
        card.shown = part(text, "ReplaceName").replace("]]]]><![CDATA[>", "]]>")
        return True

    def _signed(self, encrypted: str, name: str = "", *, forged: bool = False) -> dict[str, str]:
        timestamp, nonce = str(self._now() // 1000), str(secrets.randbelow(10**10))
        signature = digest("forged" if forged else self._token, timestamp, nonce, encrypted)
        query = {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce}
        return query | {name: encrypted} if name else query

    def _head(self, userid: str) -> dict[str, Any]:
        return {"ToUserName": self.corp.corp_id, "FromUserName": userid, "CreateTime": self._now() // 1000}

    def _endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        return {
            ("GET", "/cgi-bin/gettoken"): self._gettoken,
            ("POST", "/cgi-bin/message/send"): self._message_send,
            ("POST", "/cgi-bin/message/update_template_card"): self._update_card,
            ("POST", "/cgi-bin/media/upload"): self._media_upload,
            ("GET", "/cgi-bin/media/get"): self._media_get,
        }

    async def _gettoken(self, request: web.Request) -> web.Response:
        token, left = self.corp.token(request.query.get("corpid", ""), request.query.get("corpsecret", ""))
        return web.json_response({"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": left})

    def _check_token(self, request: web.Request) -> None:
        self.corp.check(request.query.get("access_token", ""))

    async def _message_send(self, request: web.Request) -> web.Response:
        self._check_token(request)
        return web.json_response(self.corp.send(await request.read()))

    async def _update_card(self, request: web.Request) -> web.Response:
        self._check_token(request)
        return web.json_response(self.corp.update(await request.read()))

    async def _media_upload(self, request: web.Request) -> web.Response:
        self._check_token(request)
        kind = request.query.get("type", "")
        file = (await request.post()).get("media")
        if not isinstance(file, web.FileField):
            raise Refused(40005)
        media_id = self.corp.upload(kind, file.filename, file.content_type, file.file.read())
        answer = {"type": kind, "media_id": media_id, "created_at": str(self._now() // 1000)}
        return web.json_response({"errcode": 0, "errmsg": "", **answer})

    async def _media_get(self, request: web.Request) -> web.Response:
        self._check_token(request)
        media_id = request.query.get("media_id", "")
        mime, data, _ = self.corp.file(media_id)
        name = f"{media_id[:16]}.{mime.partition('/')[2]}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(body=data, content_type=mime, headers=headers)


def part(xml: str, name: str) -> str:
    """Return the text of the first element *name*, "" if there is none."""
    found = re.search(PART.format(name), xml, re.DOTALL)
    return found[1] if found else ""
