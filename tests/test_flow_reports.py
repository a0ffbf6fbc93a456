"""Reports through the real doors: API, command line, and the mail that teams get on Monday."""

from __future__ import annotations

import asyncio
import datetime as dt
import email
import email.policy
import io
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pyreadstat
import pytest
from typer.testing import CliRunner

from config.hours import DAYS
from config.loading import attempt
from config.reporting import every
from connectors.simulators.mail import MailSimulator
from hub import command_line, kinds, now_ms
from inbox.conversations import load
from inbox.work import Actor
from outbox.deliveries import Author, Reply
from outbox.schedule import key
from tests import filing
from tests.hubs import TOKEN, Stage, configuration, running, write

pytestmark = pytest.mark.once

READER = "test-token-of-a-reader"
SURVEYS = """
csat:
  title: {zh: 服务满意度, en: How was our service?}
  purpose: 了解顾客对每次服务的满意度
  owner: 客服主管
  trigger: {on: manual}
"""
SHOP = """
teams:
  frontdesk: {name: 前台, members: [wangfang], sla: standard}
  aftersales: {name: 售后组, members: [lilei, hanmeimei], sla: standard}
  complaints: {name: 投诉组, members: [lilei], sla: standard}
agents:
  lilei: {name: 李雷, email: lilei@example.org}
  hanmeimei: {name: 韩梅梅, email: hanmeimei@example.org}
  wangfang: {name: 王芳}
sla:
  standard: {first_reply: 30m, next_reply: 30m, resolution: 24h}
surveys: surveys.yaml
"""
MAILED = """
reports:
  weekly:
    {what: survey, survey: csat, every: weekly DAY 09:00, to: [aftersales, boss@example.net], format: [html, xlsx]}
"""


WEEKDAY = DAYS[(dt.datetime.now(ZoneInfo("Asia/Shanghai")).weekday() - 3) % 7]
"""Three days ago: whatever is due then is late now, and nothing else is due."""


def shop(folder: Path, channels: str = "", more: str = "") -> Path:
    """Write the configuration of a shop with a survey."""
    path = write(folder, configuration(channels, more=SHOP + more), routes="default: {team: frontdesk}\n")
    (folder / "surveys.yaml").write_text(SURVEYS, encoding="utf-8")
    return path


async def filled(stage: Stage, days: int = 20) -> None:
    """Keep answers and conversations of the last days."""
    begin = now_ms() - days * filing.DAY
    await filing.file(stage.hub.store, filing.answers(filing.Shop(), begin, days - 1))
    await filing.tell(stage.hub.store, filing.conversations(150, begin, days - 1))


async def fetched(stage: Stage, path: str, token: str = TOKEN) -> tuple[int, bytes, dict[str, str]]:
    headers = {"Authorization": f"Bearer {token}"}
    async with stage.http.get(f"{stage.base}/api/v1{path}", headers=headers) as response:
        return response.status, await response.read(), dict(response.headers)


async def test_figures_come_out_of_what_was_kept(store_url: str, tmp_path: Path) -> None:
    """The survey's report counts every invitation and answer; a filter leaves its part, and the parts add up."""
    async with running(store_url, shop(tmp_path)) as stage:
        made = filing.answers(filing.Shop(), now_ms() - 20 * filing.DAY, 19)
        await filing.file(stage.hub.store, made)
        whole = await stage.api("GET", "/reports/surveys/csat?since=21d")
        teams = [await stage.api("GET", f"/reports/surveys/csat?since=21d&team={team}") for team in filing.TEAMS]

        def n(report: dict[str, Any], wanted: str) -> int:
            return next(int(one["estimate"]["n"]) for one in report["figures"] if one["key"] == wanted)

        asked = [given for invitation, given in made if invitation.state != "suppressed"]
        assert (len(asked), sum(one is not None for one in asked)) == (n(whole, "invited"), n(whole, "valid"))
        assert n(whole, "valid") == sum(n(team, "valid") for team in teams)
        satisfied = [one.answers[0].value in (4, 5) for one in asked if one is not None]
        score = next(one["estimate"] for one in whole["figures"] if one["key"] == "score_csat")
        assert score["value"] == pytest.approx(sum(satisfied) / len(satisfied))
        assert {"team", "agent", "channel", "tag", "week", "answers"} == {one["key"] for one in whole["tables"]}


async def test_service_figures_come_out_of_conversations(store_url: str, tmp_path: Path) -> None:
    """What agents did counts at once: a conversation, its answer, its end, and the delivery's outcome."""
    async with running(store_url, shop(tmp_path)) as stage:
        await filled(stage)
        before = await stage.api("GET", "/reports/service?since=30d")
        told = filing.Told(
            "abc", {**filing.conversations(1, now_ms(), 1)[0].values, "course": f"W{now_ms()}", "status": "open"}, 3
        )
        await filing.tell(stage.hub.store, [told])
        conversation = await load(stage.hub.store, "c3-abc")
        await stage.hub.deliveries.enqueue(conversation, Reply(Author("agent", "lilei", "李雷"), "您好"), now_ms())
        await stage.hub.desk.resolve("c3-abc", Actor("agent", "lilei", "李雷"))
        after = await stage.api("GET", "/reports/service?since=30d")

        def figures(report: dict[str, Any]) -> dict[str, int]:
            return {one["key"]: one["estimate"]["n"] for one in report["figures"] if one["unit"] == "count"}

        one, other = figures(before), figures(after)
        gained = {name: other[name] - one[name] for name in ("opened", "turns", "resolved", "messages_out")}
        assert {"opened": 1, "turns": 1, "resolved": 1, "messages_out": 1} == gained
        assert 150 == one["opened"]
        assert [24] == [len(table["rows"]) for table in after["tables"] if table["key"] == "hour"]


@pytest.mark.parametrize(
    ("path", "token", "status", "words"),
    [
        ("/reports/surveys/csat?format=pdf", TOKEN, 400, "json, html, csv, xlsx"),
        ("/reports/surveys/csat?since=tomorrow", TOKEN, 400, "expected a date"),
        ("/reports/surveys/csat?by=colour", TOKEN, 400, "team, agent"),
        ("/reports/surveys/csat?team=nobody", TOKEN, 400, "aftersales"),
        ("/reports/surveys/csat?texts=yes", TOKEN, 400, "true or false"),
        ("/reports/surveys/csat?limit=3", TOKEN, 400, "no parameter limit"),
        ("/reports/surveys/unknown", TOKEN, 404, "csat"),
        ("/reports/surveys/csat/responses", READER, 403, "supervisor"),
        ("/reports/surveys/csat?format=sav", READER, 403, "supervisor"),
        ("/reports/surveys/csat?texts=true", READER, 403, "supervisor"),
        ("/reports/service?since=2026-11-09&until=2026-11-02", READER, 400, "begins"),
        ("/reports/surveys/csat", READER, 200, "response_rate"),
        ("/reports/service?format=html", READER, 200, "<svg"),
    ],
)
async def test_who_may_ask_for_what(  # one store for all would be quicker, and each would see the others
    store_url: str, tmp_path: Path, path: str, token: str, status: int, words: str
) -> None:
    """Figures are for readers, single answers and quotes for supervisors; a mistake is told what was expected."""
    async with running(store_url, shop(tmp_path)) as stage:
        found, body, _ = await fetched(stage, path, token)

        assert (status, True) == (found, words in body.decode())


async def test_files_open_in_their_programs(store_url: str, tmp_path: Path) -> None:
    """The downloads are what their names say, also behind the lines that tell how far the hub is."""
    async with running(store_url, shop(tmp_path)) as stage:
        await filled(stage)
        _, book, headers = await fetched(stage, "/reports/surveys/csat/responses?format=xlsx")
        _, told, _ = await fetched(stage, "/reports/surveys/csat/responses?format=sav&progress=true")
        lines, _, data = told.partition(b'"size":')
        (tmp_path / "x.sav").write_bytes(data.partition(b"\n")[2])
        frame, _ = pyreadstat.read_sav(tmp_path / "x.sav")
        pages = openpyxl.load_workbook(io.BytesIO(book)).sheetnames

        assert 'attachment; filename="csat-responses-' in headers["Content-Disposition"]
        assert ["概要", "分组", "周", "回复明细", "编码表"] == pages
        assert b'{"progress":' in lines
        assert len(frame) > 50


def terminal(
    stage: Stage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Return what runs a command in *folder* beside the hub, in Chinese, and gives its code and what it printed."""
    path = folder / "cli.yaml"
    text = (folder / "huiliu.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("port: 0}", f"port: {stage.base.rpartition(':')[2]}}}"), encoding="utf-8")
    monkeypatch.chdir(folder)
    for name, value in {"HUILIU_API_TOKEN": TOKEN, "LANG": "zh_CN.UTF-8", "LC_ALL": "", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)

    async def huiliu(*words: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(CliRunner().invoke, command_line(), ["-c", str(path), *words])
        return done.exit_code, done.stdout, done.stderr

    return huiliu


async def test_a_report_without_a_name_is_that_of_the_service(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`huiliu report` takes the options of `huiliu report service` and does the same; others keep their names."""
    async with running(store_url, shop(tmp_path)) as stage:
        huiliu = terminal(stage, tmp_path, monkeypatch)
        options = ("--since", "2026-11-02", "--until", "2026-11-08", "--by", "team", "--json")
        bare, named = [
            json.loads((await huiliu(*words, *options))[1]) for words in [("report",), ("report", "service")]
        ]
        assert named | {"made_at": ""} == bare | {"made_at": ""}
        assert "service" == bare["kind"]
        code, text, _ = await huiliu("report", "-o", "week.html", "--json")
        assert (0, {"written": ["week.html"]}) == (code, json.loads(text))
        assert "<html" in await asyncio.to_thread((tmp_path / "week.html").read_text, encoding="utf-8")
        assert "已存在" in (await huiliu("report", "-o", "week.html"))[2]
        assert 0 == (await huiliu("report", "assignment", "--json"))[0]
        assert "service" in (await huiliu("report", "--help"))[1]
        assert 2 == (await huiliu("report", "nothing"))[0]
        assert 1 == (await huiliu("report", "--send", "nothing", "--json"))[0]


async def test_the_only_survey_needs_no_name(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is one survey, it is meant; the export says for scripts what it wrote."""
    async with running(store_url, shop(tmp_path)) as stage:
        huiliu = terminal(stage, tmp_path, monkeypatch)
        code, text, _ = await huiliu("survey", "report", "--json")
        assert (0, "csat") == (code, json.loads(text)["name"])
        code, text, _ = await huiliu("survey", "export", "--json")
        assert (0, ["csat.csv", "csat.codebook.json", "csat.codebook.md"]) == (code, json.loads(text)["written"])


async def test_one_of_several_surveys_is_named(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are several, or none, nobody can tell which is meant: exit 2 with their names."""
    path = shop(tmp_path)
    (tmp_path / "surveys.yaml").write_text(SURVEYS + SURVEYS.replace("csat:", "visit:", 1), encoding="utf-8")
    async with running(store_url, path) as stage:
        huiliu = terminal(stage, tmp_path, monkeypatch)
        assert re.search(r"csat +csat +manual +开", (await huiliu("survey", "list"))[1])
        for command in ("report", "export"):
            assert (2, "", "请指明问卷：csat, visit\n") == await huiliu("survey", command)
    (tmp_path / "surveys.yaml").write_text("{}\n", encoding="utf-8")
    async with running(store_url, path) as stage:
        huiliu = terminal(stage, tmp_path, monkeypatch)
        assert (2, "没有问卷\n") == (await huiliu("survey", "report"))[::2]


async def test_the_command_line_prints_and_writes(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal gets tables; a file is written with its codebook beside it, and not overwritten by accident."""
    async with running(store_url, shop(tmp_path)) as stage:
        await filled(stage)
        huiliu = terminal(stage, tmp_path, monkeypatch)
        code, text, _ = await huiliu("survey", "report", "csat", "--since", "21d")
        assert (0, True, True) == (code, "回复率" in text, "售后组" in text)
        code, text, _ = await huiliu("report")
        assert (0, True, True) == (code, "首次回复" in text, "承诺达成率" in text)
        code, text, _ = await huiliu("report", "service", "--json", "--by", "team")
        assert (0, "service") == (code, json.loads(text)["kind"])
        assert 0 == (await huiliu("survey", "export", "csat", "-o", "out.sav"))[0]
        assert {"out.sav", "out.codebook.json", "out.codebook.md"} <= set(
            await asyncio.to_thread(os.listdir, tmp_path)
        )  # names
        assert 2 == (await huiliu("survey", "export", "csat", "-o", "out.sav"))[0]
        code, _, error = await huiliu("survey", "report", "nothing")
        assert (1, True) == (code, "csat" in error)


def letters(provider: MailSimulator) -> list[EmailMessage]:
    return [email.message_from_bytes(one.raw, policy=email.policy.default) for one in provider.delivered]


@asynccontextmanager
async def mailing(store_url: str, folder: Path) -> AsyncIterator[tuple[list[Stage], MailSimulator]]:
    """Run two hubs on one store that send their reports through one provider."""
    async with MailSimulator("service@example.com", "password-1") as provider:
        options = json.dumps({"kind": "email", **provider.options()})
        more = (
            f"{MAILED.replace('DAY', WEEKDAY)}attachments: {{path: {folder / 'files'}}}\n"  # which all processes share
        )
        paths = [shop(folder / str(number), f"  service-mail: {options}", more) for number in range(2)]
        async with running(store_url, paths[0]) as one, running(store_url, paths[1], index=1) as other:
            yield [one, other], provider


async def test_a_missed_report_is_sent_late_and_once(store_url: str, tmp_path: Path) -> None:
    """Two processes find the same report due: each address gets one mail, marked as late, whatever happens."""
    async with mailing(store_url, tmp_path) as (stages, provider):
        await filled(stages[0])
        store, settings = stages[0].hub.store, stages[0].hub.live.current.settings
        assert [0, 0] == [await stage.hub.schedule.turn() for stage in stages]  # new: its next time is its first
        weekly = every(f"weekly {WEEKDAY} 09:00")
        earlier = weekly.latest(weekly.latest(now_ms(), settings.timezone) - 1, settings.timezone)
        await store.do("reports", "HSET", key("sent"), "weekly", earlier)

        done = await asyncio.gather(*(stage.hub.schedule.turn() for stage in stages))
        assert 1 <= sum(done)
        await provider.wait_delivered(3)
        await store.do("reports", "HSET", key("sent"), "weekly", earlier)  # as if it had died before it wrote that down
        await stages[1].hub.schedule.turn()
        again = await stages[0].api("POST", "/reports/scheduled/weekly/send", {}, status=202)

        assert 0 == again["sent"]
        mails = letters(provider)
        assert ["boss@example.net", "hanmeimei@example.org", "lilei@example.org"] == sorted(
            str(one["To"]) for one in mails
        )
        assert {True} == {"补发" in str(one["Subject"]) for one in mails}
        attached = [part.get_filename() for part in mails[0].iter_attachments()]
        assert ["html", "xlsx"] == [str(name).rpartition(".")[2] for name in attached]
        body = mails[0].get_body(("plain",))
        assert body is not None
        assert "回复率" in body.get_content()
        [shown] = (await stages[1].api("GET", "/reports/scheduled"))["items"]
        assert ("weekly", "csat") == (shown["name"], shown["survey"])


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("{every: hourly, to: lilei}", "daily 09:00"),
        ("{every: weekly mon 25:00, to: lilei}", "weekly mon 09:00"),
        ("{every: daily 09:00, to: [lilie]}", "did you mean lilei"),
        ("{every: daily 09:00, to: lilei, survey: csat}", "what: survey"),
        ("{what: survey, survey: csta, every: daily 09:00, to: lilei}", "did you mean csat"),
        ("{every: daily 09:00, to: lilei, channel: shop}", "sends no mail"),
        ("{every: daily 09:00, to: lilei, only: {team: aftersale}}", "did you mean aftersales"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, written: str, fault: str) -> None:
    """Whoever orders a report that nobody could send is told where, and what was expected."""
    imap = "imap: {host: h.example, user: u, password: p}"
    path = shop(tmp_path, f"  mail: {{kind: email, address: a@example.com, {imap}}}", f"reports:\n  r: {written}\n")
    faults = [str(one) for one in attempt(path, kinds).faults]

    assert 1 == len(faults)
    assert fault in faults[0]
    assert "huiliu.yaml:" in faults[0]
