"""What lint says: each finding in the very words that an admin reads, in both languages, with its place."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from config import chinese, starting
from config.faults import Fault
from config.loading import attempt
from config.values import DURATIONS
from connectors.base import Capabilities
from router.hours import is_open
from router.lint import RULES, lint
from router.trial import prove
from tests.routing import WEDNESDAY

LINTS = Path(__file__).parent / "lints"
DOCS = Path(__file__).parents[1] / "docs"
CASES = sorted(LINTS.glob("*.yaml"))
# What is true of almost every small example, and is looked at only where it is the point.
QUIET = ("untested-route", "unused-team", "unused-agent", "unused-hours", "unused-sla", "unused-template")


ABLE = {
    "aliyun-sms": Capabilities(text_limit=5, templates=True),
    "twilio-sms": Capabilities(text_limit=60),
    "wechat": Capabilities(text_limit=90, text_unit="bytes"),
}


class Anything(BaseModel):
    """The options of a channel, which lint does not look at."""


def kinds(_: str) -> type[BaseModel]:
    """Accept every kind of channel."""
    return Anything


def found(tmp_path: Path, case: Path) -> list[Fault]:
    """Return what is found in a shop of which *case* replaces one file."""
    for part in (LINTS / "parts").iterdir():
        shutil.copy(part, tmp_path / part.name)
    text = case.read_text(encoding="utf-8")
    keys = [line.partition(":")[0] for line in text.splitlines() if line[:1].isalpha()]
    name = "routes.yaml" if "default" in keys else "huiliu.yaml" if "teams" in keys else "templates.yaml"
    (tmp_path / name).write_text(text, encoding="utf-8")
    result = attempt(tmp_path / "huiliu.yaml", kinds, environ={}, prove=prove)
    faults = list(result.faults) if result.loaded is None else lint(result.loaded, WEDNESDAY, ABLE)
    return [fault for fault in faults if fault.rule not in QUIET or fault.rule == case.stem]


def said(tmp_path: Path, case: Path) -> list[tuple[str, str]]:
    """Return each finding in English and in Chinese, with the bare names of the files."""
    folder = f"{tmp_path}/"
    return [
        (str(fault).removeprefix(folder), chinese.said(fault).removeprefix(folder)) for fault in found(tmp_path, case)
    ]


def wanted(case: Path) -> list[tuple[str, str]]:
    """Return what the comments at the top of *case* say that is found: English and Chinese in turn."""
    lines = case.read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("# ") for line in itertools.takewhile(lambda line: line.startswith("# "), lines)]
    return list(zip(comments[::2], comments[1::2], strict=True))


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_case(tmp_path: Path, case: Path) -> None:
    """Every finding is named with its place, in both languages, and nothing else is found."""
    assert wanted(case) == said(tmp_path, case)
    assert wanted(case)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_a_case(rule: str) -> None:
    """No rule without an example that it finds, and no example that is named after no rule."""
    named = [case for case in CASES if case.stem.startswith(rule)]

    assert named
    assert all(any(f"[{rule}]" in english for english, _ in wanted(case)) for case in named)
    assert all(any(case.stem.startswith(each) for each in RULES) for case in CASES)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("page", ["routing.md", "routing.zh-CN.md"])
def test_every_rule_is_documented(rule: str, page: str) -> None:
    """An admin can look up every rule by its name, in both languages."""
    assert f"| `{rule}` |" in (DOCS / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["routing.md", "routing.zh-CN.md"])
def test_the_finding_on_the_page_is_real(page: str) -> None:
    """The sample on the page is what the case of that name says."""
    (line, _), *_ = wanted(LINTS / "hidden-route.yaml")

    assert f"```text\n{line}\n```" in (DOCS / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("preset", starting.PRESETS)
def test_the_first_files_are_clean(tmp_path: Path, preset: str) -> None:
    """What `huiliu init` writes has nothing that lint would find."""
    starting.init(tmp_path / "huiliu.yaml", preset)
    result = attempt(tmp_path / "huiliu.yaml", kinds, environ={}, prove=prove)

    assert result.loaded is not None
    assert lint(result.loaded, WEDNESDAY) == []


def test_only_what_never_holds_refuses_a_file(tmp_path: Path) -> None:
    """A contradiction is an error, everything else a warning."""
    severities = {(fault.rule, fault.severity) for case in CASES for fault in found(tmp_path, case)}

    assert {("never-holds", "error")} == {each for each in severities if each[1] == "error"}
    assert set(RULES) == {rule for rule, _ in severities}


HALF = 30 * DURATIONS["m"]
SPANS = st.lists(st.integers(0, 48), max_size=6, unique=True).map(
    lambda marks: [f"{clock(begin)}-{clock(end)}" for begin, end in zip(*[iter(sorted(marks))] * 2, strict=False)]
)
WEEKS = st.fixed_dictionaries(dict.fromkeys(("mon-thu", "fri", "sat,sun"), SPANS))


def clock(halves: int) -> str:
    """Return a time of day, given in half hours."""
    return f"{halves // 2:02}:{halves % 2 * 30:02}"


@settings(max_examples=40, deadline=None)
@given(weeks=st.tuples(WEEKS, WEEKS, WEEKS), now=st.integers(0, 7 * 48))
def test_who_is_missing_when_is_found_as_by_looking_at_the_clock(
    tmp_path_factory: pytest.TempPathFactory, weeks: tuple[dict[str, list[str]], ...], now: int
) -> None:
    """The first time when a team is open and nobody on shift is the one that a walk through the week finds."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "huiliu.yaml").write_text(
        json.dumps(
            {
                "hours": {name: {"week": week} for name, week in zip(("open", "early", "late"), weeks, strict=True)},
                "teams": {"desk": {"name": "Desk", "members": ["a", "b"], "hours": "open"}},
                "agents": {"a": {"name": "A", "shifts": "early"}, "b": {"name": "B", "shifts": ["late", "early"]}},
                "routes": "routes.yaml",
            }
        )
    )
    (folder / "routes.yaml").write_text("default: {team: desk}\n")
    loaded = attempt(folder / "huiliu.yaml", kinds, environ={}).loaded
    assert loaded is not None
    hours, begin = loaded.settings.hours, WEDNESDAY + now * HALF

    def missing(at: int) -> bool:
        return is_open(hours["open"], at) and not any(is_open(hours[name], at) for name in ("early", "late"))

    first = next((at for at in range(begin, begin + 8 * DURATIONS["d"], HALF) if missing(at)), None)
    said = [fault.what for fault in lint(loaded, begin) if fault.rule == "unattended-team"]

    if first is None:
        assert said == []
    else:
        while missing(first - HALF) and first > begin - DURATIONS["d"]:
            first -= HALF  # it is told with its beginning
        [what] = said
        since = dt.datetime.fromtimestamp(first // 1000, loaded.settings.timezone)
        assert f"from {since:%Y-%m-%d %H:%M} to " in what
