"""HTML mail: made safe to show, and turned into text. Both walk one flat list of tags; neither renders anything.

The sanitiser (ammonia, an HTML5 tree builder) takes super-quadratic time for deeply nested or
unclosed formatting tags: 39 kB of them cost 7 s. So the nesting is measured first, and what is too
deep is not sanitised at all: the caller shows the text.
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

import nh3

MAX_DEPTH = 200
MAX_FORMATTING = 50
MAX_TAGS = 100_000

VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
})  # fmt: skip
OPTIONAL_END = frozenset({
    "p", "li", "td", "th", "tr", "dt", "dd", "option", "thead", "tbody", "tfoot", "colgroup",
})  # fmt: skip
FORMATTING = frozenset({
    "a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u",
})  # fmt: skip
RAW = frozenset({
    "script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript", "template",
})  # fmt: skip
BLOCKS = frozenset({
    "address", "article", "aside", "center", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre",
    "section", "table", "tbody", "tfoot", "thead", "tr", "ul", "caption", "blockquote", "body", "html",
})  # fmt: skip

STYLES = frozenset({
    "color", "background-color", "font-weight", "font-style", "font-size", "font-family", "text-align",
    "text-decoration", "display", "white-space", "vertical-align",
})  # fmt: skip

MARK = re.compile(r"</?([a-zA-Z][a-zA-Z0-9:-]*)|<[!?/]")
WHOLE = re.compile(r"""(?>[^"'>=]+|=\s*"[^"]*"|=\s*'[^']*'|=|"|')*+>""")  # possessive: never tries twice
HIDDEN = re.compile(r"""display\s*:\s*none|visibility\s*:\s*hidden|\shidden(?=[\s>=/])""", re.IGNORECASE)
"""What every mail program hides. mso-hide hides from Outlook alone, which gets the same button in another form."""
ALT = re.compile(r"""\salt\s*=\s*(?:"([^"]{1,100})"|'([^']{1,100})')""", re.IGNORECASE)
SPACES = re.compile(r"[ \t\r\n\f]+")
ODD_SPACES = str.maketrans({"\xa0": " ", "\u200b": None, "\ufeff": None, "\xad": None})
MANY_BLANKS = re.compile(r"\n{3,}")
IMAGE_DATA = re.compile(r"data:image/(?:png|gif|jpe?g|webp|bmp);base64,[A-Za-z0-9+/=\s]*")
LINK = re.compile(r"(?:https?|mailto|tel):", re.IGNORECASE)


class Tag(NamedTuple):
    """An opening or closing tag: its lower-case *name*, and its *source* as written."""

    name: str
    closing: bool
    source: str


Tokens = list[str | Tag]


def sanitise(source: str, parts: Tokens) -> str | None:
    """Return *source* safe to show in a page of ours, or None if it is nested too deep to be cleaned in time.

    *parts* are its `tokens`. Scripts, forms, SVG, event handlers and foreign URL schemes are
    removed, remote images are blanked (they tell the sender that and where a mail was read),
    `cid:` images and links stay.
    """
    return None if _too_deep(parts) else CLEANER.clean(source)


def to_text(parts: Tokens) -> str:
    """Return what a reader of the HTML sees, as plain text; quoted blocks get "> " as in text mail."""
    page = _Page()
    hidden: list[str] = []  # open tags inside something invisible
    for token in parts:
        if isinstance(token, str):
            if not hidden:
                page.write(_unescape(token).translate(ODD_SPACES))
        elif hidden or _hides(token):
            _follow(hidden, token)
        elif token.name == "img":
            alt = ALT.search(token.source)
            page.write(f"[{_unescape(alt[1] or alt[2])}]" if alt else "")
        else:
            page.tag(token)
    return page.text()


def tokens(source: str) -> Tokens:
    """Cut *source* into texts and tags; comments, declarations and the inside of scripts and styles are left out.

    Linear: a search that found nothing once is not repeated.
    """
    found: Tokens = []
    position = 0
    quotes = True  # attribute values may hold ">" as long as their quotes end somewhere
    while position < len(source):
        mark = MARK.search(source, position)
        if mark is None:
            found.append(source[position:])
            break
        start = mark.start()
        if start > position:
            found.append(source[position:start])
        name = mark[1]
        if name is None:  # a comment, a declaration, a stray closing mark
            last = "-->" if source.startswith("<!--", start) else ">"
            end = source.find(last, mark.end())
            position = end + len(last) if end >= 0 else len(source)
            continue
        whole = WHOLE.match(source, mark.end()) if quotes else None
        quotes = quotes and whole is not None
        position = whole.end() if whole else source.find(">", mark.end()) + 1
        if position <= 0:
            break  # a tag that never ends hides the rest, as in a browser
        closing = source[start + 1] == "/"
        name = name.lower()
        found.append(Tag(name, closing, source[start:position]))
        if name in RAW and not closing:
            close = re.compile(f"</{re.escape(name)}", re.IGNORECASE).search(source, position)
            position = close.start() if close else len(source)
    return found


def _too_deep(parts: Tokens) -> bool:
    if len(parts) > 2 * MAX_TAGS:
        return True
    stack: list[str] = []
    formatting = 0
    for token in parts:
        if isinstance(token, str) or token.name in VOID or token.name in OPTIONAL_END:
            continue
        name = token.name
        if not token.closing:
            stack.append(name)
            formatting += name in FORMATTING
            if len(stack) > MAX_DEPTH or formatting > MAX_FORMATTING:
                return True
        elif name in stack:  # at most MAX_DEPTH comparisons
            while stack:
                last = stack.pop()
                formatting -= last in FORMATTING
                if last == name:
                    break
    return False


def _hides(tag: Tag) -> bool:
    return not tag.closing and tag.name not in VOID and tag.name != "body" and bool(HIDDEN.search(tag.source))


def _follow(hidden: list[str], tag: Tag) -> None:
    """Follow the tags inside an invisible element until it closes; more than 200 levels are not followed."""
    if tag.name in VOID:
        return
    if not tag.closing:
        if len(hidden) < MAX_DEPTH:
            hidden.append(tag.name)
    elif tag.name in hidden:
        while hidden.pop() != tag.name:
            pass


class _Page:
    """Text laid out in lines while the tags go by."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line: list[str] = []
        self._filled = False  # the line shows something
        self._spaced = True  # the line ends with a space: the next one adds nothing
        self._quotes = 0
        self._verbatim = 0

    def write(self, text: str) -> None:
        if self._verbatim:
            for number, row in enumerate(text.split("\n")):
                if number:
                    self._end()
                self._put(row)
            return
        text = SPACES.sub(" ", text)
        if self._spaced:
            text = text.removeprefix(" ")
        self._put(text)

    def tag(self, tag: Tag) -> None:
        name = tag.name
        if name == "br":
            self._end()
        elif name in ("td", "th"):
            self.write(" ")
        elif name in BLOCKS:
            if self._filled:
                self._end()
            if name == "p" and tag.closing:
                self._end()
            elif name == "li" and not tag.closing:
                self._put("- ")
            elif name == "blockquote":
                self._quotes = max(0, self._quotes - 1) if tag.closing else min(self._quotes + 1, 20)
            elif name == "pre":
                self._verbatim = max(0, self._verbatim - 1) if tag.closing else self._verbatim + 1

    def text(self) -> str:
        self._end()
        return MANY_BLANKS.sub("\n\n", "\n".join(self._lines)).strip()

    def _put(self, text: str) -> None:
        if text:
            self._line.append(text)
            self._filled = True
            self._spaced = text.endswith(" ")

    def _end(self) -> None:
        self._lines.append(("> " * self._quotes + "".join(self._line)).rstrip())
        self._line = []
        self._filled = False
        self._spaced = True


def _unescape(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a numeric reference of more than 4300 digits
        return text


def _filter(tag: str, name: str, value: str) -> str | None:
    """Keep an attribute, or drop it: images come from the mail itself, links lead to the web or to a person."""
    if name == "src":
        return value if tag == "img" and (value[:4].lower() == "cid:" or IMAGE_DATA.fullmatch(value)) else None
    if name == "href":
        return value if LINK.match(value.strip()) else None
    return None if name in ("cite", "background") else value


CLEANER = nh3.Cleaner(
    tags=(nh3.ALLOWED_TAGS | {"font", "big", "tfoot"}) - {"area", "map", "details", "summary"},
    attributes={**nh3.ALLOWED_ATTRIBUTES, "*": {"style", "dir", "lang", "title", "align"}, "font": {"color", "size"}},
    clean_content_tags=set(RAW) - {"textarea"} | {"svg", "math", "object", "select"},
    url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
    attribute_filter=_filter,
    filter_style_properties=set(STYLES),
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
)
