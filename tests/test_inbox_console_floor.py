"""The words of the supervisor's and admin's views: the same in both languages, all there, and those of the reports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from inbox import report_words
from inbox.console_page import FOLDER

VIEWS = (
    "audit", "board", "campaign", "campaigns", "channels", "people", "reports", "routes", "scheduled", "survey",
    "surveys", "teams", "templates", "trouble", "webhooks",
)  # fmt: skip
MODULES = sorted([*(FOLDER / "floor").glob("*.js"), *(FOLDER / "views" / f"{name}.js" for name in VIEWS)])
HOLES = re.compile(r"\{(\w+)(?:\|[^}]*)?\}")
SPOKEN = re.compile(r'\bt\("([^"]+)"')
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(.style"
)


def words(bundle: str, language: str) -> dict[str, str]:
    """Return a bundle of words."""
    found: dict[str, str] = json.loads((FOLDER / "words" / f"{bundle}.{language}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("bundle", ["floor", "reports", "failures"])
def test_both_languages_say_the_same(bundle: str) -> None:
    """Equal keys, no text is empty, and what is put in stands in both."""
    chinese, english = words(bundle, "zh-CN"), words(bundle, "en")

    assert chinese.keys() == english.keys()
    assert [] == [key for table in (chinese, english) for key, text in table.items() if not text]
    assert [] == [key for key in chinese if {*HOLES.findall(chinese[key])} != {*HOLES.findall(english[key])} - {""}]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_a_view_says_is_there(module: Path) -> None:
    """Each key that a module names has words; and no module turns text into markup, code or styles."""
    source = module.read_text(encoding="utf-8")
    known = words("core", "en").keys() | words("floor", "en").keys() | words("reports", "en").keys()

    assert [] == sorted({key for key in SPOKEN.findall(source) if key not in known})
    assert [] == MARKUP.findall(source)


def test_known_failures_are_what_connectors_say() -> None:
    """A sentence that is worded anew in a connector is told in English for ever, unless it is so here, too."""
    sources = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("connectors", "outbox")
        for path in (FOLDER.parents[1] / folder).glob("*.py")
    )
    known = words("failures", "en")

    assert {f"failure.{sentence}": sentence for sentence in known.values()} == known
    assert [] == [sentence for sentence in known.values() if sentence not in sources]


def test_reports_are_worded_alike_everywhere() -> None:
    """A figure is called the same in the console, on the page, in files and mails."""
    tables = {"name": report_words.NAMES, "said": report_words.SAID}
    tables |= {"defined": report_words.DEFINED, "noted": report_words.NOTED}
    for number, language in enumerate(("en", "zh-CN")):
        meant = {f"report.{part}.{key}": pair[number] for part, table in tables.items() for key, pair in table.items()}

        assert meant == words("reports", language)
