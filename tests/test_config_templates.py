"""Texts are checked when they are read, and rendered without surprises."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.documents import parse, read, validate
from config.faults import ConfigError
from config.templates import VARIABLES, Template, TemplateFile, needed, render

FILE = """\
plain: 您好，{{ contact.name }}！
both:
  zh: 编号 {{conversation.id}}，{{ hours.next_open || 明天 }} 后回复
  en: No. {{conversation.id}}
"""


def template(tmp_path: Path, name: str, text: str = FILE) -> Template:
    """Return the template *name* of a file."""
    file = tmp_path / "templates.yaml"
    file.write_text(text)
    return validate(read(file), TemplateFile).root[name]


@pytest.mark.parametrize(
    ("name", "language", "text"),
    [
        ("plain", "zh-CN", "您好，{{ agent.name }}！"),
        ("plain", "fr", "您好，{{ agent.name }}！"),
        ("both", "zh-CN", "编号 7，明天 后回复"),
        ("both", "en", "No. 7"),
        ("both", "fr", "编号 7，明天 后回复"),
    ],
)
def test_renders(tmp_path: Path, name: str, language: str, text: str) -> None:
    """The nearest language is used, a default fills what is not known, and a value is never read as a template."""
    rendered = render(
        template(tmp_path, name),
        {"contact.name": "{{ agent.name }}", "agent.name": "x", "conversation.id": "7"},
        language,
    )

    assert (text, ()) == (rendered.text, rendered.missing)


def test_every_documented_variable_works(tmp_path: Path) -> None:
    """The list of variables is the list that is accepted."""
    text = "all: '" + " ".join(f"{{{{ {name} }}}}" for name in VARIABLES) + "'"

    rendered = render(template(tmp_path, "all", text), {name: name for name in VARIABLES}, "zh")

    assert " ".join(VARIABLES) == rendered.text


@pytest.mark.parametrize(
    "text",
    [
        "a: '{{ contact.phone }}'",
        "a: '{{ contact.name'",
        "a: 'contact.name }}'",
        "a: '{{ contact.name | upper }}'",
        "a: '{{ contact.__class__ }}'",
        "a: ''",
        "a: '  '",
        "a: {}",
        "a: {zh: ''}",
        "a: {zh_CN: text}",
        "a: [text]",
        "a: 5",
        "A b: text",
    ],
)
def test_refuses(tmp_path: Path, text: str) -> None:
    """An unknown variable, an odd brace or an empty text is one fault."""
    file = tmp_path / "templates.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        validate(parse(file), TemplateFile)

    assert len(caught.value.faults) == 1


LONG = """\
parcel:
  variables: [tracking]
  text: {zh: "{{ contact.name || 您 }}，{{ tracking }}", en: "{{ tracking }}, {{ order.status }}"}
  by_kind: {twilio-sms: "SMS {{ tracking }}"}
  by_channel: {vip-sms: {en: VIP}}
  subject: {zh: 包裹, en: Parcel}
  platform: {wechat: {template_id: t-1, data: {thing1: "{{ reply.text || 请看 }}"}, url: "https://x/{{ tracking }}"}}
"""


@pytest.mark.parametrize(
    ("place", "languages", "text", "missing"),
    [
        ({}, ("zh-CN",), "您，SF1", ()),
        ({}, ("fr", "en"), "SF1, ", ("order.status",)),
        ({"kind": "twilio-sms"}, ("en",), "SMS SF1", ()),
        ({"kind": "twilio-sms", "channel": "vip-sms"}, ("zh",), "VIP", ()),
    ],
)
def test_the_long_form_fits_its_channel(
    tmp_path: Path, place: dict[str, str], languages: tuple[str, ...], text: str, missing: tuple[str, ...]
) -> None:
    """The channel's own text goes before that of its kind, which goes before the common one; what lacks is named."""
    filled = render(template(tmp_path, "parcel", LONG), {}, *languages, own={"tracking": "SF1"}, **place)

    assert (text, missing) == (filled.text, filled.missing)


def test_what_a_platform_has_approved_stands_beside_the_text(tmp_path: Path) -> None:
    """Its id, its places and its page are filled for channels of its kind, and for no other."""
    parcel = template(tmp_path, "parcel", LONG)
    filled = render(parcel, {}, "zh", kind="wechat", own={"tracking": "SF1", "more": "x"})

    assert ("t-1", {"thing1": "请看"}, "https://x/SF1") == filled.approved
    assert (("more",), "包裹") == (filled.unknown, filled.subject)
    assert render(parcel, {}, "zh", kind="email", own={"tracking": "SF1"}).approved is None
    assert ("tracking", "order.status") == needed(parcel)
