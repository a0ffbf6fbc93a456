"""Texts are checked when they are read, and rendered without surprises."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.documents import parse, read, validate
from config.faults import ConfigError
from config.templates import VARIABLES, Template, TemplateFile, render

FILE = """\
plain: 您好，{{ contact.name }}！
both:
  zh: 编号 {{conversation.id}}，{{ hours.next_open }} 后回复
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
        ("both", "zh-CN", "编号 7， 后回复"),
        ("both", "en", "No. 7"),
        ("both", "fr", "编号 7， 后回复"),
    ],
)
def test_renders(tmp_path: Path, name: str, language: str, text: str) -> None:
    """The nearest language is used, a missing value leaves nothing, and a value is never read as a template."""
    rendered = render(
        template(tmp_path, name),
        {"contact.name": "{{ agent.name }}", "agent.name": "x", "conversation.id": "7"},
        language,
    )

    assert text == rendered


def test_every_documented_variable_works(tmp_path: Path) -> None:
    """The list of variables is the list that is accepted."""
    text = "all: '" + " ".join(f"{{{{ {name} }}}}" for name in VARIABLES) + "'"

    assert " ".join(VARIABLES) == render(template(tmp_path, "all", text), {name: name for name in VARIABLES}, "zh")


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
