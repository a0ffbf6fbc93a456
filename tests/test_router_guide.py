"""docs/routing.md is true in both languages: every block loads, its tests pass, and no key is missing from it."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import get_args

import pytest

from config.conditions import (
    AttachmentCondition,
    Condition,
    ContactCondition,
    ConversationCondition,
    MomentCondition,
    SenderCondition,
    SentimentCondition,
    TextCondition,
)
from config.routes import EVENTS, Fields, Priority, Route, RouteFile, Stage, TrialConversation, TrialMessage
from config.values import Section
from router.rendering import narrate, report
from router.rules import compile_routes, explain
from router.trial import run_tests
from tests.routing import OFFICE, SHANGHAI, Names, found, load, message

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [(DOCS / name).read_text(encoding="utf-8") for name in ("routing.md", "routing.zh-CN.md")]
ENGLISH, CHINESE = PAGES
BLOCKS = [
    block for block in re.findall(r"```yaml\n(.*?)```", ENGLISH, re.DOTALL) if not block.startswith("# huiliu.yaml")
]
in_both = pytest.mark.parametrize("page", PAGES, ids=["en", "zh-CN"])
KINDS = {name: channel.kind for name, channel in Names().channels.items()}


def whole(block: str) -> str:
    """Return *block* as a route file: those that begin with `when:` or `set:` are parts of a route."""
    if not block.startswith(("when:", "set:")):
        return block
    rest = "set: {team: frontdesk}" if block.startswith("when:") else "when: {text: x}"
    return f"default: {{team: frontdesk}}\nroutes:\n  - name: shown\n    {rest}\n{textwrap.indent(block, '    ')}"


@pytest.mark.parametrize("block", BLOCKS)
def test_block(tmp_path: Path, block: str) -> None:
    """Every block is free of faults, and the tests in it pass."""
    for name in re.findall(r"file: ([\w./-]+)", block):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("投诉\n", encoding="utf-8")
    file = load(tmp_path, whole(block))
    results = run_tests(compile_routes([file], {"office": OFFICE}), [file], kinds=KINDS)

    assert found(file) == []
    assert report(results).splitlines()[-1] == f"{len(file.tests)} of {len(file.tests)} tests passed"


def test_both_pages_have_the_same_blocks() -> None:
    """What can be copied is the same in both languages."""
    blocks = re.compile(r"```.*?```", re.DOTALL)

    assert blocks.findall(ENGLISH) == blocks.findall(CHINESE)


@in_both
def test_every_inline_condition(tmp_path: Path, page: str) -> None:
    """The conditions in the tables load too."""
    rows = re.findall(r"^\| `([a-z_]+: .*?)` \|", page, re.MULTILINE)
    inner = {"any_of", "all_of", "none_of", "regex", "equals", "starts_with"}
    for row in rows:
        key = row.partition(":")[0]
        if key == "exact":
            continue
        condition = f"text: {{{row}}}" if key in inner else row
        file = load(tmp_path, whole(f"when: {{{condition}}}"))
        assert found(file) == [], row

    assert len(rows) > 25


@in_both
@pytest.mark.parametrize(
    "section",
    [
        *(Condition, TextCondition, SenderCondition, AttachmentCondition, ContactCondition, ConversationCondition),
        *(SentimentCondition, MomentCondition, Fields, Route, RouteFile, TrialMessage, TrialConversation),
    ],
)
def test_every_key_is_documented(section: type[Section], page: str) -> None:
    """Each key that can stand in a route file is on the page."""
    keys = [info.alias or name for name, info in section.model_fields.items()]

    assert [key for key in keys if not re.search(rf"(?a:\b{key}\b)", page)] == []


@in_both
def test_every_word_is_documented(page: str) -> None:
    """Each event, priority and stage is on the page."""
    words = [*EVENTS, *get_args(Priority), *get_args(Stage)]

    assert [word for word in words if f"`{word}`" not in page] == []


def test_the_explanation_on_the_page_is_real(tmp_path: Path) -> None:
    """The sample of an explanation is what the first example really says."""
    shown = re.search(r"```text\n(├.*?)```", ENGLISH, re.DOTALL)
    tree = compile_routes([load(tmp_path, BLOCKS[0])], {})
    told = narrate(explain(tree, message("我要退款")), SHANGHAI)

    assert shown is not None
    assert told.startswith(shown[1])


@in_both
def test_links_lead_somewhere(page: str) -> None:
    """Every link inside the page has its heading, and every link to another page its file."""
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in page.splitlines() if line.startswith("#")}
    links = set(re.findall(r"\]\(([^)]*)\)", page))

    assert {link[1:] for link in links if link.startswith("#")} <= headings
    assert [link for link in links if link.endswith(".md") and not (DOCS / link).exists()] == []
