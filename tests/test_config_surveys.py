"""Surveys are read strictly: whatever is wrong is said with its place, and the usual questions need not be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loading import attempt
from config.surveys import Survey, codes
from tests.config_kinds import kinds

MAIN = """\
channels: {shop-wechat: {kind: wechat, app_id: x, app_secret: y, token: z}}
sla: {complaint: {first_reply: 10m}}
teams: {aftersales: {name: A, members: [lilei]}}
agents: {lilei: {name: Li Lei}}
routes: routes.yaml
surveys: surveys.yaml
"""
HEAD = "csat: {title: T, purpose: P, owner: O, trigger: {on: resolved}"


def faults(folder: Path, text: str, routes: str = "default: {team: aftersales}\n") -> list[str]:
    """Return the faults of a file of surveys, without its path."""
    (folder / "huiliu.yaml").write_text(MAIN, encoding="utf-8")
    (folder / "routes.yaml").write_text(routes, encoding="utf-8")
    (folder / "surveys.yaml").write_text(text, encoding="utf-8")
    found = attempt(folder / "huiliu.yaml", kinds, environ={}).faults
    return [str(each).replace(f"{folder}/", "") for each in found]


def survey(folder: Path, text: str) -> Survey:
    """Return the survey csat of a file of surveys that is fine."""
    assert faults(folder, text) == []
    loaded = attempt(folder / "huiliu.yaml", kinds, environ={}).loaded
    assert loaded is not None
    return loaded.surveys["csat"]


WRONG = [
    (", triger: 1}", "1:65: csat.triger: unknown key"),
    (", kind: cast}", '1:71: csat.kind: "cast" is not known; expected csat, nps, ces or custom; did you mean csat?'),
    (", sampling: {rate: 0%}}", '1:82: csat.sampling.rate: "0%" is not a percentage; expected 1% to 100%'),
    (
        ", sampling: {strata: {by: chanel}}}",
        "1:76: csat.sampling.strata: there is no such group; expected channel, kind, team, agent, stage, language",
    ),
    (
        ", audience: {teams: [aftersale]}}",
        '1:84: csat.audience.teams[0]: there is no team "aftersale"; expected aftersales; did you mean aftersales?',
    ),
    (
        ", follow_up: {below: 3, sla: complain}}",
        '1:92: csat.follow_up.sla: there is no service level "complain"; expected complaint; did you mean complaint?',
    ),
    (", channels: {shop: {}}}", '1:76: csat.channels.shop: there is no channel "shop"; expected shop-wechat'),
    (
        ", since: 2026-02-02, until: 2026-02-01}",
        "1:1: csat: the survey ends before it begins; expected until after since",
    ),
    (", remind: 8d}", "1:1: csat: the reminder comes after the end; expected remind before expires"),
    (
        ", kind: nps, questions: [{id: score, max: 5}]}",
        "1:1: csat: a net promoter score is asked from 0 to 10; expected min: 0 and max: 10",
    ),
    (
        ", questions: [{id: score, branch: [{below: 3, to: wy}]}, {id: why, kind: text, text: W}]}",
        '1:113: csat.questions[0].branch[0].to: "wy" is no later question; expected why or end; did you mean why?',
    ),
    (
        ", questions: [{id: score}, {id: score, kind: text, text: W}]}",
        '1:95: csat.questions[1].id: another question is called "score"; expected each name once',
    ),
    (", kind: custom}", "1:1: csat: nothing is asked; expected questions"),
    (", thanks: {zh: 谢谢}}", "1:65: csat.thanks: there is no text in en; expected a text for each of `languages`"),
    (", incentive: {text: Code}}", "1:65: csat.incentive: codes come from one place; expected file or webhook"),
    (
        ", kind: custom, questions: [{id: a, kind: choice, text: A}]}",
        "1:91: csat.questions[0]: there is nothing to choose from; expected labels for 2 to 30 values",
    ),
    (
        ", kind: custom, questions: [{id: a, kind: text, text: A}], promoters: {above: 8, invite: 'https://a.cn'}}",
        "1:1: csat: without a score there is no low or high one; expected a question of kind score",
    ),
]


@pytest.mark.parametrize(("more", "fault"), WRONG)
def test_refuses(tmp_path: Path, more: str, fault: str) -> None:
    """Every fault is one line that names the file, the place, what is wrong and what would be right."""
    found = faults(tmp_path, HEAD + more)

    assert len(found) == 1, found
    assert found[0].startswith(f"surveys.yaml:{fault}")


@pytest.mark.parametrize(("kind", "scale"), [("csat", (1, 5)), ("nps", (0, 10)), ("ces", (1, 7))])
def test_usual_questions_need_not_be_written(tmp_path: Path, kind: str, scale: tuple[int, int]) -> None:
    """A survey of a known kind asks for its score in both languages, and for the reason."""
    found = survey(tmp_path, f"{HEAD}, kind: {kind}}}")

    assert ["score", "text"] == [each.kind for each in found.questions]
    assert found.main is not None
    assert scale == (found.main.min, found.main.max)
    assert {"zh", "en"} == found.main.text.texts.keys()


def test_a_version_follows_the_questions(tmp_path: Path) -> None:
    """Other questions are another version; other words around them are not."""
    first = survey(tmp_path, f"{HEAD}}}").version()

    assert first == survey(tmp_path, f"{HEAD}, thanks: Danke, cool_down: 5d}}").version()
    assert first != survey(tmp_path, f"{HEAD}, questions: [{{id: score, max: 7}}]}}").version()


def test_routes_know_the_surveys(tmp_path: Path) -> None:
    """A route that asks for a survey that is not there is refused."""
    found = faults(tmp_path, f"{HEAD}}}", "default: {team: aftersales, survey: cast}\n")

    assert found == ['routes.yaml:1:37: default.survey: there is no survey "cast"; expected csat; did you mean csat?']


def test_a_code_is_listed_once(tmp_path: Path) -> None:
    """A file of codes may hold blank lines, repeats and a byte order mark."""
    (tmp_path / "codes.txt").write_text("\ufeffA1\n\n B2 \nA1\n", encoding="utf-8")

    assert codes(tmp_path / "codes.txt") == ["A1", "B2"]
