"""The commands `huiliu report …` and `huiliu survey report|export`: clients of the running hub's API."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console
from typer.core import TyperGroup

from inbox.commands import CANNOT_TELL, AsJson, Connect, attempt, dump, table
from inbox.printing import fail, trouble, written
from inbox.report import Report
from inbox.report_print import printed

SAID = {
    "en": {
        "progress": "report: {:3.0f} %",
        "wrote": "{} is written",
        "there": "{} is there already; name another file, or say --force",
        "cannot write": "cannot write {}: {}",
        "scheduled": ("name", "what", "to", "last due", "next due", "sent until"),
        "sent": "{name}: {sent} of {count} letters are new ({to})",
        "to where": "a {} file goes into a file: add --output FILE",
        "which": "say which survey: {}",
        "no survey": "there is no survey",
    },
    "zh": {
        "progress": "报告：{:3.0f} %",
        "wrote": "已写入 {}",
        "there": "{} 已存在；请换一个文件名，或加 --force",
        "cannot write": "无法写入 {}：{}",
        "scheduled": ("名称", "内容", "收件人", "上次应发", "下次应发", "已发至"),
        "sent": "{name}：{count} 封邮件中 {sent} 封为新发（{to}）",
        "to where": "{} 文件须写入文件：请加 --output 文件名",
        "which": "请指明问卷：{}",
        "no survey": "没有问卷",
    },
}
BESIDE = {"codebook": ".codebook.json", "codebook-md": ".codebook.md"}

Since = Annotated[str, typer.Option(help="a date, a time, or how long ago, such as 28d / 日期、时间或多久以前")]
Until = Annotated[str, typer.Option(help="a date (that day included) or a time / 日期（含当天）或时间")]
By = Annotated[str, typer.Option(help="groups, separated by commas / 分组，逗号分隔")]
Language = Annotated[str, typer.Option(help="zh or en / 语言")]
Output = Annotated[str, typer.Option("--output", "-o", help="file to write / 输出文件")]
Force = Annotated[bool, typer.Option("--force", help="overwrite the file / 覆盖文件")]
Survey = Annotated[str, typer.Argument(metavar="[SURVEY]", help="needed if there are several / 有多个时必填")]


class ServiceFirst(TyperGroup):
    """The group `huiliu report`: without the name of a report, `service` is meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name in where there are options only, but for those of the group itself."""
        own = any(word.partition("=")[0] in ("--send", "--help") for word in args)
        if not own and (not args or args[0].startswith("-")):
            args = ["service", *args]
        return super().parse_args(ctx, args)


def with_reports(app: typer.Typer, connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Add the service report and the scheduled ones to `huiliu report`, and return it."""

    @app.callback(cls=ServiceFirst, invoke_without_command=True)
    def group(
        send: Annotated[
            str, typer.Option("--send", metavar="NAME", help="send a scheduled report now / 立即发送")
        ] = "",
        as_json: AsJson = False,
    ) -> None:
        """Show figures, those of `service` if no other are named; or send a report. / 报表，默认为服务指标。"""
        if send:
            attempt(lambda: _send(send, as_json=as_json))

    def _send(name: str, *, as_json: bool) -> None:
        done = connect().post(f"/reports/scheduled/{quote(name, safe='')}/send")
        if as_json:
            dump(done)
            return
        words = _said(locale())["sent"]
        print(words.format(name=name, sent=done["sent"], count=len(done["to"]), to=", ".join(done["to"])))

    @app.command("service")
    def service(
        team: str = "",
        agent: str = "",
        channel: str = "",
        tag: str = "",
        since: Since = "",
        until: Until = "",
        by: By = "",
        form: Annotated[str, typer.Option("--format", help="html, csv or xlsx")] = "",
        output: Output = "",
        force: Force = False,
        language: Language = "",
        as_json: AsJson = False,
    ) -> None:
        """Volumes, times, promises kept, backlog, deliveries. / 会话量、时长、承诺达成、积压、发送结果。"""
        query = {"team": team, "agent": agent, "channel": channel, "tag": tag, "since": since, "until": until, "by": by}
        where = _Where("/reports/service", {**query, "language": language or locale()}, form, output, force=force)
        attempt(lambda: _report(connect, where, locale(), as_json=as_json))

    @app.command("scheduled")
    def scheduled(as_json: AsJson = False) -> None:
        """List the reports that are sent by mail. / 列出定期发送的报告。"""

        def work() -> None:
            found = connect().get("/reports/scheduled")
            if as_json:
                dump(found)
                return
            rows = [
                (
                    one["name"],
                    one["survey"] or one["what"],
                    ", ".join(one["to"]),
                    one["last_due_at"],
                    one["next_due_at"],
                    one["sent_until"],
                )
                for one in found["items"]
            ]
            table(_said(locale())["scheduled"], rows)

        attempt(work)

    return app


def with_surveys(app: typer.Typer, connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Add the report and the export to `huiliu survey`, and return it."""

    @app.command("report")
    def report(
        survey: Survey = "",
        team: str = "",
        agent: str = "",
        channel: str = "",
        tag: str = "",
        since: Since = "",
        until: Until = "",
        by: By = "",
        texts: Annotated[bool, typer.Option("--texts", help="with examples of open answers / 附文字回答示例")] = False,
        form: Annotated[str, typer.Option("--format", help="html, csv or xlsx")] = "",
        output: Output = "",
        force: Force = False,
        language: Language = "",
        as_json: AsJson = False,
    ) -> None:
        """Response rate, scores and words of a survey. / 问卷的回复率、得分与关键词。"""
        query = {"team": team, "agent": agent, "channel": channel, "tag": tag, "since": since, "until": until, "by": by}
        query |= {"texts": "true" if texts else "", "language": language or locale()}

        def work() -> None:
            name = survey or _only(connect, locale())
            where = _Where(f"/reports/surveys/{quote(name, safe='')}", query, form, output, force=force)
            _report(connect, where, locale(), as_json=as_json)

        attempt(work)

    @app.command("export")
    def export(
        survey: Survey = "",
        output: Output = "",
        form: Annotated[str, typer.Option("--format", help="csv, xlsx or sav; by the file's name if not given")] = "",
        since: Since = "",
        until: Until = "",
        contacts: Annotated[
            bool, typer.Option("--with-contacts", help="who answered, and unmasked texts / 包含联系人和未遮盖的文字")
        ] = False,
        force: Force = False,
        language: Language = "",
        as_json: AsJson = False,
    ) -> None:
        """Write single responses with their codebook. / 导出逐条回复与编码表。"""
        wanted = form or Path(output).suffix.removeprefix(".") or "csv"
        query = {
            "since": since,
            "until": until,
            "contacts": "true" if contacts else "",
            "language": language or locale(),
        }

        def work() -> None:
            name = survey or _only(connect, locale())
            path = Path(output or f"{name}.{wanted}")
            files = {wanted: path} | {beside: path.with_suffix(ending) for beside, ending in BESIDE.items()}
            base = f"/reports/surveys/{quote(name, safe='')}/responses"
            for each, file in files.items():
                _write(connect, base, {**query, "format": each}, file, locale(), force=force)
                if not as_json:
                    print(_said(locale())["wrote"].format(file))
            if as_json:
                written(list(files.values()))

        attempt(work)

    return app


class _Where:
    """What is asked for and where it goes."""

    def __init__(self, path: str, query: dict[str, str], form: str, output: str, *, force: bool) -> None:
        self.path = path
        self.query = query
        self.form = form or Path(output).suffix.removeprefix(".")
        self.output = output
        self.force = force


def _report(connect: Connect, where: _Where, locale: str, *, as_json: bool) -> None:
    if where.output:
        form = where.form or "html"
        path = Path(where.output)
        _write(connect, where.path, {**where.query, "format": form}, path, locale, force=where.force)
        written([path]) if as_json else print(_said(locale)["wrote"].format(path))
    elif where.form in ("html", "xlsx"):
        fail(_said(locale)["to where"].format(where.form), CANNOT_TELL)
    elif where.form == "csv":
        sys.stdout.buffer.write(_fetched(connect, where.path, {**where.query, "format": "csv"}, locale))
    else:
        data = _fetched(connect, where.path, {**where.query, "format": "json"}, locale)
        if as_json:
            dump(json.loads(data))
        else:
            printed(msgspec.json.decode(data, type=Report), Console(highlight=False))


def _only(connect: Connect, locale: str) -> str:
    """Return the name of the only survey; exits 2 if there are several, or none."""
    names = [one["id"] for one in connect().get("/surveys", limit=200)["items"]]
    if len(names) != 1:
        words = _said(locale)
        fail(words["which"].format(", ".join(names)) if names else words["no survey"], CANNOT_TELL)
    return str(names[0])


def _fetched(connect: Connect, path: str, query: dict[str, str], locale: str) -> bytes:
    return b"".join(connect().download(path, _teller(locale), **_plain(query)))


def _write(connect: Connect, path: str, query: dict[str, str], out: Path, locale: str, *, force: bool) -> None:
    """Write what the hub makes into a file; a file is there whole or not at all."""
    words = _said(locale)
    if out.exists() and not force:
        fail(words["there"].format(out), CANNOT_TELL)
    try:
        with tempfile.NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}.", delete=False) as file:
            draft = Path(file.name)
            try:
                for piece in connect().download(path, _teller(locale), **_plain(query)):
                    file.write(piece)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        draft.replace(out)
    except OSError as error:
        fail(words["cannot write"].format(out, trouble(error, locale)), CANNOT_TELL)


def _plain(query: dict[str, str]) -> dict[str, str]:
    language = query.get("language", "")
    return {**query, "language": "zh" if language.startswith("zh") else language}


def _teller(locale: str) -> Callable[[float], None]:
    """Return what shows progress on a terminal, and nowhere else."""
    words = _said(locale)["progress"]
    shown = sys.stderr.isatty()

    def tell(share: float) -> None:
        if shown:
            end = "\r\x1b[K" if share >= 1 else "\r"
            print(f"\r{words.format(share * 100)}", end=end, file=sys.stderr, flush=True)

    return tell


def _said(locale: str) -> dict[str, Any]:
    return SAID["zh" if locale.startswith("zh") else "en"]
