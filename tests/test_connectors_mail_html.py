"""HTML mail: what is shown can do nothing, what is read is complete, and deep nesting is not built."""

from __future__ import annotations

import re
import time

import nh3
import pytest

from connectors.mail_html import sanitise, to_text, tokens
from tests.mail_attacks import ATTACKS

DANGEROUS = re.compile(
    r"<\s*(?:script|svg|math|iframe|object|embed|form|input|link|meta|base|style|video|audio|template)\b"
    r"|\son\w+\s*=|javascript:|vbscript:|data:text|data:image/svg|track\.example|position\s*:|expression|url\("
    r"|\b(?:srcset|background|srcdoc|id|class|name)=",
    re.IGNORECASE,
)


PIECE = re.compile(r'[\w-]+="[^"]*"|<[^\s>]+|[^<>\s]+')
"""Attributes, tags and words: the sanitiser writes attributes in any order."""


def clean(source: str) -> str:
    """Return sanitised HTML that must be there."""
    cleaned = sanitise(source, tokens(source))
    assert cleaned is not None
    return cleaned


@pytest.mark.parametrize("source", ATTACKS)
def test_attack_is_disarmed(source: str) -> None:
    """Nothing that acts, loads or covers the page is left, and cleaning again changes nothing."""
    cleaned = clean(source)
    tags = re.sub(r">[^<]*<", "><", f">{cleaned}<")

    assert not DANGEROUS.search(tags), cleaned
    assert sorted(PIECE.findall(cleaned)) == sorted(PIECE.findall(clean(cleaned)))


def test_harmless_mail_stays() -> None:
    """Layout, colours, links, pictures of the mail itself and small embedded pictures stay."""
    source = (
        '<div style="color:red;font-weight:bold">字</div><table><tr><td align="center">1</td></tr></table>'
        '<a href="https://example.org/?a=1&amp;b=2">x</a><a href="mailto:a@b.cn">y</a><a href="tel:+8612345">z</a>'
        '<img src="cid:1@x" alt="图" width="3"><img src="data:image/png;base64,AAAA">'
    )
    cleaned = clean(source)

    for piece in (
        "color:red",
        "font-weight:bold",
        'align="center"',
        'href="https://example.org/?a=1&amp;b=2"',
        'href="mailto:a@b.cn"',
        'href="tel:+8612345"',
        'src="cid:1@x"',
        'alt="图"',
        'src="data:image/png;base64,AAAA"',
        "noopener noreferrer",
    ):
        assert piece in cleaned


def test_invisible_stays_invisible() -> None:
    """What the sender hid is not shown, and not read."""
    source = "<p>看得见</p><div style='display:none'>看不见<br><b>也看不见</b></div><p hidden>藏</p><p>还在</p>"

    assert "display:none" in clean(source).replace(" ", "")
    assert to_text(tokens(source)).split() == ["看得见", "还在"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>一</p><p>二</p>", "一\n\n二"),
        ("<div>一</div><div>二</div>", "一\n二"),
        ("<div><div>一</div></div><div><br></div><div>二</div>", "一\n\n二"),
        ("一<br>二<br/>三", "一\n二\n三"),
        ("<b>粗</b><i>斜</i> 体", "粗斜 体"),
        ("  多\n  个\t空&nbsp;&nbsp;格 ", "多 个 空 格"),
        ("<ul><li>甲</li><li>乙</li></ul>", "- 甲\n- 乙"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<pre>x\n  y</pre>z", "x\n  y\nz"),
        ("前<blockquote>引<br>用<blockquote>里</blockquote></blockquote>后", "前\n> 引\n> 用\n> > 里\n后"),
        ("<style>a{}</style><script>b()</script><title>t</title>字<!-- c -->", "字"),
        ("&lt;b&gt; &amp; &#22823; &#x5927;&unknown;", "<b> & 大 大&unknown;"),
        ("1 < 2 > 0 <3", "1 < 2 > 0 <3"),
        ('<a title="a > b">链接</a>', "链接"),
        ("<a title='unclosed>x", "x"),
        ("<img alt='笑脸' src=x>好", "[笑脸]好"),
        ("<p>未闭合<p>的段落", "未闭合\n的段落"),
        ("<!DOCTYPE html><?xml version='1'?><html><body>x</body></html>", "x"),
        ('<!--[if mso]>x<![endif]--><a href="https://x" style="color:#fff;mso-hide:all">查看订单</a>', "查看订单"),
        ("<div style='mso-hide:all;display:none'>预览</div>正文", "正文"),
        ("<!-- never closed <b>x</b>", ""),
        ("&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";"),
        ("", ""),
    ],
)
def test_text_of_html(source: str, text: str) -> None:
    """The text reads as the page does."""
    assert text == to_text(tokens(source))


def test_deep_text_is_not_lost() -> None:
    """Text nested deeper than any sanitiser goes is still read, though not shown as HTML."""
    source = "<div>" * 5_000 + "深处的字" + "</div>" * 5_000

    assert to_text(tokens(source)) == "深处的字"
    assert sanitise(source, tokens(source)) is None


@pytest.mark.parametrize(
    "source",
    [
        "".join(f"<b {n}>" for n in range(900)) + "".join(f"<i {n}>" for n in range(900)) + "x" + "</b>" * 99,
        "<div>" * 300 + "x",
        "<font>" * 60 + "x",
        "<table><tr><td>" * 250 + "x",
    ],
)
def test_what_would_take_minutes_is_not_cleaned(source: str) -> None:
    """Nesting for which the sanitiser needs super-quadratic time is recognised before."""
    begin = time.process_time()

    assert sanitise(source, tokens(source)) is None
    assert time.process_time() - begin < 0.5


def test_long_flat_mail_is_cleaned() -> None:
    """A long newsletter with sloppy tags is no attack: unclosed paragraphs, cells and items do not count as depth."""
    source = "<p>段落<td>格<li>项" * 5_000

    assert "段落" in clean(source)


def test_cleaner_knows_no_dangerous_tags() -> None:
    """The allow-list that the library ships has not grown into what we never want."""
    assert not {"script", "svg", "math", "iframe", "style", "form", "object", "embed"} & nh3.ALLOWED_TAGS
