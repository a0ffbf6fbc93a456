"""WeChat as it behaves towards one account: strict about tokens, windows and content, and faulty on demand.

It serves the interfaces that the hub calls and pushes what customers do to the hub. Sources: the documents named
in docs/channels/wechat.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from connectors.simulators.faults import Fault, Refused
from connectors.simulators.tencent import Endpoint, Platform, Push, wall_clock
from connectors.simulators.wechat_account import DAY, ERRORS, Account, Delivered, Kind, Tokens, read
from connectors.simulators.wechat_push import Mode, Style, Wrapped, Wrapper

__all__ = ["Delivered", "Fault", "Push", "WeChatPlatform"]


class WeChatPlatform(Platform):
    """One account on WeChat, see `Platform`. *mode* is "safe" by default if there is an *aes_key*, else "plain"."""

    def __init__(
        self,
        app_id: str,
        secret: str,
        token: str,
        aes_key: str | None = None,
        hub_url: str = "",
        *,
        mode: Mode | None = None,
        style: Style = "xml",
        account: Kind = "service",
        now: Callable[[], int] = wall_clock,
        patience: float = 5.0,
    ) -> None:
        self.wrapper = Wrapper(app_id, token, aes_key, mode or ("safe" if aes_key else "plain"), style)
        self.account = Account(account, now)
        self.tokens = Tokens(app_id, secret, now)
        self.received: Mapping[str, list[Delivered]] = self.account.received
        self.templates: list[Mapping[str, Any]] = []
        self._last_id = 24_000_000_000_000_000
        super().__init__(hub_url, now, patience, ERRORS, 16 << 20)

    def pass_days(self, openid: str, days: float) -> None:
        """Let the rights that *openid* gave grow older by *days*."""
        rights = self.account.customers[openid].rights
        rights.update({name: (until - int(days * DAY * 1000), left) for name, (until, left) in rights.items()})

    async def write(self, openid: str, text: str, **how: Any) -> Push:
        """Let *openid* write *text*; *how* is passed on to `push`, here and in all that follows."""
        return await self._say(openid, {"MsgType": "text", "Content": text}, **how)

    async def choose(self, openid: str, item: str, text: str = "", **how: Any) -> Push:
        """Let *openid* tap the entry *item* of a msgmenu, which reads *text* ("" = as the menu itself says)."""
        text = text or next((sent.menu[item] for sent in self.received[openid] if item in sent.menu), "")
        fields = {"MsgType": "text", "Content": text, "bizmsgmenuid": item}
        return await self._say(openid, fields, trigger="menu", **how)

    async def picture(self, openid: str, data: bytes, mime: str = "image/jpeg", **how: Any) -> Push:
        """Let *openid* send a picture."""
        media_id = self.account.keep(mime, data)
        fields = {"MsgType": "image", "PicUrl": f"http://mmbiz.qpic.cn/{media_id}/0", "MediaId": media_id}
        return await self._say(openid, fields, **how)

    async def voice(self, openid: str, data: bytes, heard: str = "", **how: Any) -> Push:
        """Let *openid* send a voice clip; *heard* is what speech recognition makes of it."""
        fields = {"MsgType": "voice", "MediaId": self.account.keep("audio/amr", data), "Format": "amr"}
        return await self._say(openid, {**fields, "Recognition": heard} if heard else fields, **how)

    async def video(self, openid: str, data: bytes, **how: Any) -> Push:
        """Let *openid* send a video."""
        fields = {
            "MsgType": "video",
            "MediaId": self.account.keep("video/mp4", data),
            "ThumbMediaId": self.account.keep("image/jpeg", b""),
        }
        return await self._say(openid, fields, **how)

    async def location(self, openid: str, latitude: float, longitude: float, label: str, **how: Any) -> Push:
        """Let *openid* send a place."""
        fields = {"Location_X": latitude, "Location_Y": longitude, "Scale": 20, "Label": label}
        return await self._say(openid, {"MsgType": "location", **fields}, **how)

    async def link(self, openid: str, title: str, description: str, url: str, **how: Any) -> Push:
        """Let *openid* share a link."""
        return await self._say(
            openid, {"MsgType": "link", "Title": title, "Description": description, "Url": url}, **how
        )

    async def page(self, openid: str, title: str, path: str, **how: Any) -> Push:
        """Let *openid* share a page of a Mini Program."""
        thumb = {"ThumbUrl": "http://mmbiz.qpic.cn/thumb", "ThumbMediaId": self.account.keep("image/jpeg", b"")}
        fields = {"MsgType": "miniprogrampage", "Title": title, "AppId": self.wrapper.app_id, "PagePath": path, **thumb}
        return await self._say(openid, fields, **how)

    async def follow(self, openid: str, scene: str = "", **how: Any) -> Push:
        """Let *openid* follow the account, by the QR code *scene* if given."""
        self.account.customer(openid).follows = True
        fields = {"EventKey": f"qrscene_{scene}", "Ticket": "TICKET"} if scene else {"EventKey": ""}
        return await self.event(openid, "subscribe", fields, trigger="follow", **how)

    async def unfollow(self, openid: str, **how: Any) -> Push:
        """Let *openid* stop following: nothing may be sent any more."""
        customer = self.account.customer(openid)
        customer.follows = False
        customer.rights.clear()
        return await self.event(openid, "unsubscribe", {"EventKey": ""}, **how)

    async def menu(self, openid: str, key: str, **how: Any) -> Push:
        """Let *openid* tap a button of the account's menu."""
        return await self.event(openid, "CLICK", {"EventKey": key}, trigger="menu", **how)

    async def scan(self, openid: str, scene: str, **how: Any) -> Push:
        """Let the follower *openid* scan a QR code of the account."""
        return await self.event(openid, "SCAN", {"EventKey": scene, "Ticket": "TICKET"}, trigger="scan", **how)

    async def enter(self, openid: str, session_from: str = "", **how: Any) -> Push:
        """Let *openid* open the customer-service chat of the Mini Program."""
        fields = {"SessionFrom": session_from}
        return await self.event(openid, "user_enter_tempsession", fields, trigger="enter", **how)

    async def finish_template(self, openid: str, message_id: int, status: str = "success", **how: Any) -> Push:
        """Report what became of a template message."""
        return await self.event(openid, "TEMPLATESENDJOBFINISH", {"MsgID": message_id, "Status": status}, **how)

    async def event(
        self, openid: str, name: str, fields: Mapping[str, Any] | None = None, *, trigger: str = "", **how: Any
    ) -> Push:
        """Push the event *name* with *fields*; *trigger* is the right to answer that it opens."""
        self.account.grant(openid, trigger)
        return await self.push({**self._head(openid), "MsgType": "event", "Event": name, **(fields or {})}, **how)

    async def _say(self, openid: str, fields: Mapping[str, Any], *, trigger: str = "message", **how: Any) -> Push:
        self.account.grant(openid, trigger)
        self._last_id += 1
        return await self.push({**self._head(openid), **fields, "MsgId": self._last_id}, **how)

    def _head(self, openid: str) -> dict[str, Any]:
        return {"ToUserName": "gh_97417a04a28d", "FromUserName": openid, "CreateTime": self._now() // 1000}

    def _echo(self, echo: str) -> Mapping[str, str]:
        signed = self.wrapper.wrap({}, self._now() // 1000).query
        return {name: signed[name] for name in ("signature", "timestamp", "nonce")} | {"echostr": echo}

    def _wrapped(self, fields: Mapping[str, Any], *, forged: bool) -> Wrapped:
        wrapper = self.wrapper
        if forged:
            wrapper = Wrapper(wrapper.app_id, "forged", wrapper.aes_key, wrapper.mode, wrapper.style)
        return wrapper.wrap(fields, self._now() // 1000)

    def _takes(self, fields: Mapping[str, Any], answer: bytes) -> bool:
        return answer == b"success" or super()._takes(fields, answer)

    def _endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        return {
            ("POST", "/cgi-bin/stable_token"): self._stable_token,
            ("GET", "/cgi-bin/token"): self._legacy_token,
            ("POST", "/cgi-bin/message/custom/send"): self._custom_send,
            ("POST", "/cgi-bin/message/custom/typing"): self._custom_typing,
            ("POST", "/cgi-bin/message/template/send"): self._template_send,
            ("POST", "/cgi-bin/media/upload"): self._media_upload,
            ("GET", "/cgi-bin/media/get"): self._media_get,
            ("GET", "/videos/{media_id}"): self._video,
        }

    def _name(self, path: str) -> str:
        return super()._name(path).removeprefix("message/")

    async def _stable_token(self, request: web.Request) -> web.Response:
        token, left = self.tokens.stable(read(await request.read()))
        return web.json_response({"access_token": token, "expires_in": left})

    async def _legacy_token(self, request: web.Request) -> web.Response:
        token, left = self.tokens.legacy(request.query)
        return web.json_response({"access_token": token, "expires_in": left})

    def _check_token(self, request: web.Request) -> None:
        self.tokens.check(request.query.get("access_token", ""))

    async def _custom_send(self, request: web.Request) -> web.Response:
        self._check_token(request)
        self.account.send(await request.read())
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    async def _custom_typing(self, request: web.Request) -> web.Response:
        self._check_token(request)
        self.account.typing(await request.read())
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    async def _template_send(self, request: web.Request) -> web.Response:
        self._check_token(request)
        asked = read(await request.read())
        self.account.known(asked)
        if not asked.get("template_id"):
            raise Refused(40037)
        self.templates.append(asked)
        self._last_id += 1
        return web.json_response({"errcode": 0, "errmsg": "ok", "msgid": self._last_id})

    async def _media_upload(self, request: web.Request) -> web.Response:
        self._check_token(request)
        family = request.query.get("type", "")
        part = (await request.post()).get("media")
        if not isinstance(part, web.FileField):
            raise Refused(40005)
        media_id = self.account.upload(family, part.content_type, part.file.read())
        return web.json_response({"type": family, "media_id": media_id, "created_at": self._now() // 1000})

    async def _media_get(self, request: web.Request) -> web.Response:
        self._check_token(request)
        media_id = request.query.get("media_id", "")
        mime, data = self.account.file(media_id)
        if mime.startswith("video/"):
            url = f"{request.scheme}://{request.host}/videos/{media_id}"
            return web.Response(text=json.dumps({"video_url": url}), content_type="text/plain")
        name = f"{media_id[:16]}.{mime.partition('/')[2]}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(body=data, content_type=mime, headers=headers)

    async def _video(self, request: web.Request) -> web.Response:
        mime, data = self.account.file(request.match_info["media_id"])
        return web.Response(body=data, content_type=mime)
