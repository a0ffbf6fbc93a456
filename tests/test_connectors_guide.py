"""The guide for authors and the page of twilio-sms say what is so: their code is the plugin's, their names exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from connectors import base, testing
from connectors.twilio import CODES, STATUSES, TwilioOptions

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "tests" / "plugin"
GUIDE = (ROOT / "docs" / "adding-a-connector.md").read_text()
PAGE = (ROOT / "docs" / "channels" / "twilio-sms.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a page in *language*."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", [*blocks(GUIDE, "python"), *blocks(GUIDE, "toml")])
def test_code_of_the_guide_is_the_plugins(block: str) -> None:
    """Every block names its file in the first line and stands in it, letter by letter."""
    named, _, code = block.partition("\n")
    source = (PLUGIN / named.removeprefix("# ")).read_text()

    assert code in source


def test_guide_has_its_blocks() -> None:
    """The test above has something to test."""
    assert len(blocks(GUIDE, "python")) >= 6
    assert len(blocks(GUIDE, "toml")) == 1


def test_plugin_is_offered_as_the_guide_says() -> None:
    """The YAML of the guide uses the kind of the entry point and options that exist."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    (channel,) = yaml.safe_load(blocks(GUIDE, "yaml")[0])["channels"].values()
    source = (PLUGIN / "huiliu_line" / "__init__.py").read_text()

    assert project["entry-points"]["huiliu.connectors"] == {channel.pop("kind"): "huiliu_line:Line"}
    assert all(re.search(rf"^    {option}: SecretStr$", source, re.MULTILINE) for option in channel)


@pytest.mark.parametrize("name", testing.__all__)
def test_guide_names_every_part_of_the_suite(name: str) -> None:
    """Whatever `connectors.testing` offers is in the guide, but for constants."""
    assert name.isupper() or f"`{name}`" in GUIDE


def test_guide_names_only_what_exists() -> None:
    """Classes in code style are names of the contract, of the suite, or of the example."""
    words = {word for word in re.findall(r"`([A-Z][A-Za-z]+)(?:\(.*?\))?`", GUIDE) if not word.isupper()}
    known = {*base.__all__, *testing.__all__}

    assert words - known == set()


def test_guide_names_every_error_and_event() -> None:
    """An author finds every error and event of the contract."""
    errors = {
        name
        for name in base.__all__
        if isinstance(getattr(base, name), type) and issubclass(getattr(base, name), base.ConnectorError)
    }
    wanted = (errors - {"ConnectorError", "SendError"}) | {"Message", "Notice", "Receipt", "Echo", "Ignored"}

    assert {name for name in wanted if not re.search(rf"`{name}[`(]", GUIDE)} == set()


@pytest.mark.parametrize("option", TwilioOptions.model_fields)
def test_page_names_every_option_in_both_languages(option: str) -> None:
    """Each option stands in the English and in the Chinese table."""
    english, chinese = PAGE.split("## 中文")

    assert f"`{option}`" in english
    assert f"`{option}`" in chinese


def test_page_names_every_status_and_only_known_codes() -> None:
    """The tables of the page are the tables of the code."""
    assert {status for status in STATUSES if status not in PAGE} == set()
    assert {code for code in re.findall(r"(?<!tel:)\b[1-6]\d{4}\b", PAGE) if code not in CODES} == set()


def test_page_example_loads() -> None:
    """The YAML of the page names options that exist; with values it is valid."""
    (channel,) = yaml.safe_load(blocks(PAGE, "yaml")[0])["channels"].values()
    channel.pop("kind")
    channel |= {"account_sid": "AC" + "0" * 32, "auth_token": "a-token"}

    assert TwilioOptions.model_validate(channel).from_number == "+15005550006"
