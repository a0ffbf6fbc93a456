"""The pages say what is so: every channel, option, command and metric has its place, and what is shown works."""

from __future__ import annotations

import contextlib
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import typer
import typer.main
import yaml
from pydantic import BaseModel
from typer.core import TyperGroup

from config import shapes
from config.loading import attempt
from config.settings import Settings
from connectors import registry
from hub import command_line, kinds
from tests.hubs import configuration, running, write

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
TESTED_ELSEWHERE = {"configuration.md", "routing.md", "routing.zh-CN.md"}  # test_config_docs, test_router_guide
PAIRS = [
    (ROOT / "README.md", ROOT / "README.zh-CN.md"),
    (DOCS / "operating.md", DOCS / "operating.zh-CN.md"),
    (DOCS / "routing.md", DOCS / "routing.zh-CN.md"),
    (DOCS / "sla.md", DOCS / "sla.zh-CN.md"),
    (DOCS / "assignment.md", DOCS / "assignment.zh-CN.md"),
    (DOCS / "delivery.md", DOCS / "delivery.zh-CN.md"),
    (DOCS / "consent.md", DOCS / "consent.zh-CN.md"),
    (DOCS / "guard.md", DOCS / "guard.zh-CN.md"),
    (DOCS / "campaigns.md", DOCS / "campaigns.zh-CN.md"),
    (DOCS / "agents.md", DOCS / "agents.zh-CN.md"),
    (DOCS / "surveys.md", DOCS / "surveys.zh-CN.md"),
    (DOCS / "reports.md", DOCS / "reports.zh-CN.md"),
    (DOCS / "events.md", DOCS / "events.zh-CN.md"),
    (DOCS / "people.md", DOCS / "people.zh-CN.md"),
    (DOCS / "search.md", DOCS / "search.zh-CN.md"),
]
GROUP = typer.main.get_command(command_line())
SECRET = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"  # fits an EncodingAESKey, too
VALUES = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "CRM_WEBHOOK_SECRET": "whsec_" + "c2VjcmV0" * 6}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
in_both = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].name)


class Everything(Mapping[str, str]):
    """An environment in which every variable is set."""

    def __getitem__(self, name: str) -> str:
        return VALUES.get(name, SECRET)

    def __iter__(self) -> Iterator[str]:
        return iter(VALUES)

    def __len__(self) -> int:
        return len(VALUES)


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the code blocks of a page in any of *languages*."""
    return [code for language, code in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


def headings(page: Path) -> list[str]:
    """Return the anchors of a page: its headings as GitHub names them."""
    lines = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines]


def option_names(model: type[BaseModel]) -> set[str]:
    """Return every key that may stand in the options of a channel, nested ones too."""
    names: set[str] = set()
    for name, info in shapes.keys(model).items():
        names.add(name)
        for inner in shapes.inner_models(info.annotation):
            names |= option_names(inner)
    return names


def commands(group: Any, path: str = "huiliu") -> Iterator[tuple[str, Any]]:
    """Yield every command below *group* with its full name; hidden ones are nobody's business."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}", command


def parse(words: list[str]) -> None:
    """Parse a command line as the program does, without running it. Raises what the program would print."""
    command: Any = GROUP
    context = command.make_context("huiliu", words)
    while isinstance(command, TyperGroup):
        rest = [*context._protected_args, *context.args]  # where click keeps them
        if not rest and command.invoke_without_command:
            return
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)


def programs(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each call of ours in a line of shell, unless it only says how commands look."""
    if not re.search(r"COMMAND|\[|…$|--help", line):
        for part in re.split(r"&&|;|\||>", line.replace("…", "x")):
            name, *words = shlex.split(part, comments=True) or [""]
            if name == "huiliu":
                yield words


@pytest.mark.parametrize("kind", sorted(registry.BUILT_IN))
def test_every_channel_has_its_page(kind: str) -> None:
    """Whoever configures a channel finds each of its options on its page, which has a Chinese part."""
    page = (DOCS / "channels" / f"{kind}.md").read_text(encoding="utf-8")
    english, chinese_begins, _ = page.partition("# 中文")
    names = option_names(registry.find(kind).Options)

    assert chinese_begins
    assert [name for name in sorted(names) if not re.search(rf"[`.{{ ]{name}[`:]", english)] == []


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_readme_names_every_channel(readme: str) -> None:
    """The front page has a row for every built-in kind and for no other."""
    rows = re.findall(r"^\| \[`([a-z-]+)`\]\(docs/channels/([a-z-]+)\.md\)", prose(ROOT / readme), re.MULTILINE)

    assert sorted(rows) == [(kind, kind) for kind in sorted(registry.BUILT_IN)]


@pytest.mark.parametrize(
    ("name", "command"), list(commands(GROUP)), ids=lambda one: one if isinstance(one, str) else ""
)
def test_every_command_has_its_section(name: str, command: Any) -> None:
    """Each command has a heading of its own on the page, and each of its options stands below it."""
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    found = re.search(rf"^### `{name}(?: [^`]*)?`$(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE)
    options = [option for one in command.params if one.param_type_name == "option" for option in one.opts]

    assert found
    assert [option for option in options if f"`{option}" not in found[1]] == []


def test_no_command_is_invented() -> None:
    """Every heading of the page is a command that exists."""
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    shown = {re.sub(r" \W?[A-Z[].*", "", name) for name in re.findall(r"^### `([^`]+)`$", page, re.MULTILINE)}

    assert shown == {name for name, _ in commands(GROUP)}


@by_name
def test_command_lines_are_understood(page: Path) -> None:
    """Every command line that a page shows is one that the program takes; one in a sentence may lack its arguments."""
    fenced = [line for block in blocks(page, "sh", "text") for line in block.splitlines()]
    for line in (line.removeprefix("$ ") for line in fenced if re.match(r"(\$ )?huiliu ", line)):
        for words in programs(line):
            parse(words)
    for line in re.findall(r"(?<!`)`(huiliu [^`]+)`(?!`)", prose(page)):
        for words in programs(line):
            with contextlib.suppress(typer.BadParameter):
                parse(words)


def test_the_service_is_understood() -> None:
    """The systemd unit starts the program with a command line that it takes."""
    unit = (ROOT / "deploy" / "huiliu.service").read_text(encoding="utf-8")
    lines = re.findall(r"^ExecStart(?:Pre)?=\S+/huiliu (.+)$", unit, re.MULTILINE)

    assert len(lines) == 2
    for line in lines:
        parse(shlex.split(line))


async def test_every_metric_is_explained(store_url: str, tmp_path: Path) -> None:
    """Both guides have a row for every metric that a running hub exports, and for no other."""
    async with (
        running(store_url, write(tmp_path, configuration(""))) as stage,
        stage.http.get(f"{stage.base}/metrics") as answer,
    ):
        exported = set(re.findall(r"^# TYPE (\S+)", await answer.text(), re.MULTILINE))

    for guide in PAIRS[1]:
        assert set(re.findall(r"^\| `(huiliu_\w+)` \|", prose(guide), re.MULTILINE)) == exported


@in_both
def test_both_languages_say_the_same(pair: tuple[Path, Path]) -> None:
    """A page and its translation have the same headings, tables, and what can be copied."""

    def outline(page: Path) -> list[str]:
        return re.findall(r"^(#+) ", prose(page), re.MULTILINE)

    def table(page: Path) -> list[int]:
        return [row.replace("\\|", "").count("|") for row in re.findall(r"^\|.*$", prose(page), re.MULTILINE)]

    english, chinese = pair

    assert outline(english) == outline(chinese)
    assert table(english) == table(chinese)
    assert [code.split() for code in uncommented(english)] == [code.split() for code in uncommented(chinese)]


def uncommented(page: Path) -> list[str]:
    """Return the code blocks of a page without what is said in them to people."""
    return [re.sub(r"#.*", "", code) for _, code in FENCE.findall(page.read_text(encoding="utf-8"))]


def test_both_readmes_name_the_same_commands() -> None:
    """What may be typed is the same in both front pages."""
    english, chinese = (set(re.findall(r"`((?:make|huiliu) [^`]+)`", prose(page))) for page in PAIRS[0])

    assert {text.replace("Hello", "…") for text in english} == {text.replace("您好", "…") for text in chinese}
    assert {"make demo", "make test"} <= english


@by_name
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of ours leads to one, and every anchor to a heading."""
    targets = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", prose(page))
    broken = []
    for target in (first or second for first, second in targets):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in headings(file)):
            broken.append(target)

    assert broken == []


def test_every_page_is_in_the_index() -> None:
    """Nothing is written that nobody can find."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = [str(page.relative_to(DOCS)) for page in PAGES if DOCS in page.parents and page.name != "index.md"]

    assert [page for page in pages if f"]({page})" not in index] == []


def test_decisions_are_numbered() -> None:
    """Each decision has the number of its file, once, without a gap."""
    files = sorted((DOCS / "decisions").glob("*.md"))
    titles = [re.match(r"# (\d+)\. ", file.read_text(encoding="utf-8")) for file in files]

    assert [int(file.name[:4]) for file in files] == list(range(1, len(files) + 1))
    assert [int(title[1]) if title else 0 for title in titles] == list(range(1, len(files) + 1))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in TESTED_ELSEWHERE], ids=lambda page: str(page.relative_to(ROOT))
)
def test_examples_of_configuration_load(tmp_path: Path, page: Path) -> None:
    """Whoever copies a piece of huiliu.yaml from a page gets no fault."""
    for block in blocks(page, "yaml"):
        data = yaml.safe_load(block)
        if not isinstance(data, dict) or not data.keys() <= Settings.model_fields.keys():
            continue
        if {channel["kind"] for channel in data.get("channels", {}).values()} - set(registry.BUILT_IN):
            continue
        for name in re.findall(r"_file: ([\w./-]+)", block):
            secret = tmp_path / name.removeprefix("/")
            secret.parent.mkdir(parents=True, exist_ok=True)
            secret.touch(mode=0o600)
            secret.write_text(SECRET, encoding="utf-8")
            block = block.replace(f"_file: {name}", f"_file: {secret}")  # noqa: PLW2901  # absolute paths of another machine
        for name in re.findall(r"[\w-]+\.ics", block):
            (tmp_path / name).write_text("BEGIN:VCALENDAR\nEND:VCALENDAR\n", encoding="utf-8")
        file = tmp_path / "huiliu.yaml"
        file.write_text(block, encoding="utf-8")

        assert [str(fault) for fault in attempt(file, kinds, environ=Everything()).faults] == []


def test_the_changes_tell_of_this_version() -> None:
    """The version that is built has its section, with a date, or there is one for what is not released yet."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert "## [Unreleased]" in changes
    assert re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE)


def test_the_picture_needs_nobody() -> None:
    """The picture is well-formed, says in words what it shows, and fetches nothing."""
    text = (DOCS / "picture.svg").read_text(encoding="utf-8")
    names = {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()}

    assert {"title", "desc"} <= names
    assert not names & {"image", "script", "foreignObject", "style"}
    assert "href" not in text
