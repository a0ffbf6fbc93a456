"""What a web chat shows to browsers: the page, the widget, their files and who may embed or call them."""

from __future__ import annotations

import functools
import hashlib
import html
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any
from urllib.parse import urlsplit

import msgspec

from connectors.base import Answer, Kit, Unverified, WebhookCall
from connectors.webchat_options import WebChatOptions

FILES = {
    "chat.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "chat.js": "text/javascript; charset=utf-8",
    "entries.js": "text/javascript; charset=utf-8",
    "wire.js": "text/javascript; charset=utf-8",
    "words.js": "text/javascript; charset=utf-8",
}
LANGS = {"zh": "zh-CN", "en": "en"}
_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_BRIEFLY = {"Cache-Control": "public, max-age=600"}


class Pages:
    """The pages of one channel. *text_limit* is in characters."""

    def __init__(self, options: WebChatOptions, kit: Kit, *, text_limit: int) -> None:
        self._options = options
        self._root = f"/chat/{kit.channel}"
        self._base = urlsplit(kit.public_url).path.rstrip("/") + self._root
        self._origin = _origin(kit.public_url)
        self._welcome = frozenset({self._origin, *options.allowed_origins})
        self._channel = kit.channel
        self._text_limit = text_limit

    def admit(self, call: WebhookCall) -> None:
        """Let *call* pass if no browser made it, or one that shows this hub's or an allowed site's page.

        A page of the hub under another name of its own (a test address, a second host) is known by
        the Host header, which browsers do not let a page choose. Raises `Unverified`.
        """
        origin = call.headers.get("Origin")
        if origin is None or origin.lower() in self._welcome:
            return
        host = call.headers.get("Host", "").lower()
        if not host or origin.lower() not in (f"http://{host}", f"https://{host}"):
            raise Unverified("the page that calls is on a site that allowed_origins does not name")

    def answer(self, call: WebhookCall) -> Answer:
        """Answer a GET below the channel's root."""
        tail = call.path.removeprefix(self._root)
        if tail in ("", "/"):
            return self._page(self._language(call))
        if tail == "/widget.js":
            return self._widget()
        files, version = _files()
        folder, _, name = tail.removeprefix("/assets/").partition("/")
        if not tail.startswith("/assets/"):
            return Answer(404)
        headers = _FOREVER if folder == version else _BRIEFLY
        if name in FILES:
            return Answer(200, files[name], FILES[name], headers)
        if name == f"theme-{self._options.color[1:]}.css":
            return Answer(200, theme(self._options.color).encode(), "text/css; charset=utf-8", headers)
        return Answer(404)

    def _page(self, language: str) -> Answer:
        files, version = _files()
        config = {
            "base": self._base,
            "channel": self._channel,
            "greeting": self._say(self._options.greeting, language),
            "parents": sorted(self._welcome),
            "maxFile": self._options.max_file,
            "textLimit": self._text_limit,
        }
        words = {
            "lang": LANGS[language],
            "title": self._say(self._options.title, language),
            "assets": f"{self._base}/assets/{version}",
            "theme": f"theme-{self._options.color[1:]}.css",
            "color": self._options.color,
            "config": msgspec.json.encode(config).decode(),
        }
        page = Template(files["chat.html"].decode()).substitute(
            {name: html.escape(word) for name, word in words.items()}
        )
        headers = {"Content-Security-Policy": self._policy(), "Cache-Control": "no-cache", "Vary": "Accept-Language"}
        return Answer(200, page.encode(), "text/html; charset=utf-8", headers)

    def _widget(self) -> Answer:
        config = {
            "path": self._root,
            "channel": self._channel,
            "color": self._options.color,
            "ink": ink(self._options.color),
            "title": {LANGS[one]: self._say(self._options.title, one) for one in self._options.languages},
        }
        script = _files()[0]["widget.js"].replace(b'"%CONFIG%"', msgspec.json.encode(config))
        headers = {**_BRIEFLY, "Cross-Origin-Resource-Policy": "cross-origin"}
        return Answer(200, script, "text/javascript; charset=utf-8", headers)

    def _policy(self) -> str:
        # Some browsers do not count ws: as 'self', so the socket is named by its own scheme as well.
        socket = "ws" + self._origin.removeprefix("http")
        ancestors = " ".join(("'self'", *self._options.allowed_origins))
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; "
            f"img-src 'self' {self._origin} blob:; media-src 'self' {self._origin} blob:; "
            f"connect-src 'self' {socket}; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )

    def _language(self, call: WebhookCall) -> str:
        """Return the language that the page is asked in, else the browser's, else the channel's first."""
        asked = call.query.get("lang", "") + "," + call.headers.get("Accept-Language", "")
        for part in asked.split(","):
            language = part.strip()[:2].lower()
            if language in self._options.languages:
                return language
        return str(self._options.languages[0])

    def _say(self, words: Mapping[Any, str], language: str) -> str:
        return words.get(language) or next(iter(words.values()), "")


@functools.cache
def _files() -> tuple[Mapping[str, bytes], str]:
    """Return the shipped files by name, and a version that changes with any of them."""
    folder = resources.files("connectors") / "pages"
    files = {name: (folder / name).read_bytes() for name in ("chat.html", "widget.js", *FILES)}
    return files, hashlib.sha256(b"\0".join(files.values())).hexdigest()[:12]


def theme(color: str) -> str:
    """Return the style sheet that gives the page its *color* ("#rrggbb"), by day and by night."""
    light = contrasting(color, "#ffffff", toward="#000000")
    dark = contrasting(color, "#1d1f1e", toward="#ffffff")
    return (
        f":root {{ --accent: {color}; --ink: {ink(color)}; --link: {light}; }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ --link: {dark}; }} }}\n"
    )


def ink(color: str) -> str:
    """Return the colour, black or white, that is easier to read on *color*."""
    return "#ffffff" if contrast(color, "#ffffff") >= contrast(color, "#000000") else "#000000"


def contrasting(color: str, ground: str, *, toward: str) -> str:
    """Return *color*, moved *toward* another one until it stands out from *ground* as WCAG 2.2 asks of text (4.5:1)."""
    for step in range(11):
        mixed = tuple(round(a + (b - a) * step / 10) for a, b in zip(_rgb(color), _rgb(toward), strict=True))
        candidate = "#{:02x}{:02x}{:02x}".format(*mixed)
        if contrast(candidate, ground) >= 4.5:
            return candidate
    return toward


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, 1.4.3)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in _rgb(color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
