"""The page of an unsubscribe link. Looking at it records nothing; only what is sent from it does (RFC 8058)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from aiohttp import web

from inbox.store import StoreError
from outbox.leaving import Leaving
from outbox.seals import BadSeal, Recipient, Seals

PATH = "/u/{token}"
ONE_CLICK = ("List-Unsubscribe", "One-Click")

_STYLE = (
    "body{font:1.05rem/1.6 system-ui,sans-serif;margin:0;background:#f4f6f8;color:#1b2733}"
    "main{max-width:32rem;margin:2rem auto;padding:1.5rem;background:#fff;border-radius:.75rem}"
    "h1{font-size:1.35rem;margin-top:0}"
    "button{font:inherit;width:100%;min-height:3rem;border:0;border-radius:.5rem;background:#0b5cad;color:#fff}"
    "button.quiet{background:#e4e9ee;color:#1b2733}button:focus-visible{outline:3px solid #f5a623;outline-offset:2px}"
    "label{display:block;margin:1rem 0}input{width:1.2rem;height:1.2rem;vertical-align:-.2rem;margin-right:.5rem}"
    "@media(prefers-color-scheme:dark){body{background:#10161c;color:#e8edf2}main{background:#1a222b}"
    "button.quiet{background:#33404d;color:#e8edf2}}"
)
_CSP = (
    "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; style-src 'sha256-"
    f"{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
}
_TEXTS = {
    "zh-CN": {
        "title": "退订",
        "ask": "不再接收我们的{what}？",
        "survey": "调查问卷",
        "campaign": "推广消息",
        "unasked": "推广消息和调查问卷",
        "to": "地址：{address}",
        "leave": "退订",
        "all": "其他消息也不再接收（包括客服回复，直到您再次联系我们）",
        "done": "已退订。",
        "again": "如果是误操作，可以恢复：",
        "return": "恢复订阅",
        "back": "已恢复订阅。",
        "bad": "这个链接不完整或不是我们发出的。",
        "bad_help": "请从收到的消息里完整地打开链接，或直接回复“退订”。",
        "away": "暂时无法处理，请稍后再试。",
    },
    "en": {
        "title": "Unsubscribe",
        "ask": "Receive no more {what} from us?",
        "survey": "surveys",
        "campaign": "offers and news",
        "unasked": "offers, news and surveys",
        "to": "Address: {address}",
        "leave": "Unsubscribe",
        "all": "No other messages either (answers too, until you write to us again)",
        "done": "You are unsubscribed.",
        "again": "If this was a slip, take it back:",
        "return": "Subscribe again",
        "back": "You are subscribed again.",
        "bad": "This link is not complete, or is not ours.",
        "bad_help": "Open the whole link from the message, or answer it with “unsubscribe”.",
        "away": "This cannot be done at the moment. Please try again later.",
    },
}


@dataclass(frozen=True, slots=True)
class LeavePages:
    """Serves /u/{token}. *locale* is the language of who asks for none of ours."""

    leaving: Leaving
    seals: Callable[[], Seals]
    locale: Callable[[], str]

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the page."""
        return [web.get(PATH, self.show), web.post(PATH, self.take)]

    async def show(self, request: web.Request) -> web.Response:
        """Ask. Scanners and previews look at links: nothing is recorded."""
        texts = self._texts(request)
        try:
            recipient = self.seals().open(request.match_info["token"])
        except BadSeal:
            return _bad(texts)
        what = texts["unasked" if self.leaving.scope == "unasked" else recipient.lane]
        form = (
            f"<form method=post><label><input type=checkbox name=all value=1>{escape(texts['all'])}</label>"
            f"<button name=do value=leave>{escape(texts['leave'])}</button></form>"
        )
        return _page(texts, texts["ask"].format(what=what), _to(texts, recipient) + form)

    async def take(self, request: web.Request) -> web.Response:
        """Do what the form, or a mail program's one click, asks for."""
        texts = self._texts(request)
        try:
            recipient = self.seals().open(request.match_info["token"])
        except BadSeal:
            return _bad(texts)
        try:
            form = await request.post()
        except ValueError:
            return _page(texts, texts["bad"], "", 400)
        one_click = str(form.get(ONE_CLICK[0], "")).lower() == ONE_CLICK[1].lower()
        wanted = "leave" if one_click else str(form.get("do", ""))
        if wanted not in ("leave", "return"):
            return _page(texts, texts["bad"], "", 400)
        back = wanted == "return"
        try:
            how = "one-click" if one_click else "page"
            everything = form.get("all") == "1"
            await self.leaving.unsubscribe(recipient, how, everything=everything, back=back)  # type: ignore[arg-type]  # one of two literals
        except StoreError:
            return _page(texts, texts["away"], "", 503)
        if back:
            return _page(texts, texts["back"], _to(texts, recipient))
        undo = (
            f"<p>{escape(texts['again'])}</p><form method=post>"
            f"<button class=quiet name=do value=return>{escape(texts['return'])}</button></form>"
        )
        return _page(texts, texts["done"], _to(texts, recipient) + undo)

    def _texts(self, request: web.Request) -> dict[str, str]:
        for part in request.headers.get("Accept-Language", "").split(","):
            wanted = part.partition(";")[0].strip().lower()[:2]
            if wanted in ("zh", "en"):
                return _TEXTS["zh-CN" if wanted == "zh" else "en"]
        return _TEXTS["zh-CN" if self.locale().startswith("zh") else "en"]


def masked(address: str) -> str:
    """Return an address that its owner knows, and nobody else who opens the link learns."""
    value = address.partition(":")[2]
    if "@" in value:
        local, _, domain = value.rpartition("@")
        return f"{local[:1]}***@{domain}"
    return f"{value[:3]}***{value[-2:]}" if len(value) > 6 else "***"


def _to(texts: dict[str, str], recipient: Recipient) -> str:
    return f"<p>{escape(texts['to'].format(address=masked(recipient.address)))}</p>"


def _bad(texts: dict[str, str]) -> web.Response:
    return _page(texts, texts["bad"], f"<p>{escape(texts['bad_help'])}</p>", 404)


def _page(texts: dict[str, str], title: str, body: str, status: int = 200) -> web.Response:
    lang = "zh-CN" if texts is _TEXTS["zh-CN"] else "en"
    text = (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(texts["title"])}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    headers = _HEADERS if status != 503 else {**_HEADERS, "Retry-After": "30"}
    return web.Response(text=text, status=status, headers=headers, content_type="text/html", charset="utf-8")
