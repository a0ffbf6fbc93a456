"""The command `huiliu survey`: send, list, show and enter by hand. Clients of the running hub's API."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from inbox.commands import CANNOT_TELL, NO, AsJson, Connect, attempt, dump, table
from inbox.printing import fail, heads

CHUNK = 200
SAID = {
    "en": {
        "unreadable": "{}: cannot be read",
        "columns": "{}:{}: expected channel,address or channel,address,language",
        "channel": "{}:{}: no channel; write channel,address or give --channel",
        "nobody": "nobody is named: give --list or --conversation",
        "pair": "{}: expected question=value",
        "asked": "{} asked, {} left alone",
        "kept": "kept as {}",
        "True": "on",
        "False": "off",
    },
    "zh-CN": {
        "unreadable": "{}：无法读取",
        "columns": "{}:{}：应为 渠道,地址 或 渠道,地址,语言",
        "channel": "{}:{}：没有渠道；请写 渠道,地址 或使用 --channel",
        "nobody": "没有指定对象：请使用 --list 或 --conversation",
        "pair": "{}：应为 题目=答案",
        "asked": "已邀请 {} 人，未打扰 {} 人",
        "kept": "已保存为 {}",
        "True": "开",
        "False": "关",
    },
}


class BadList(ValueError):
    """A list of people cannot be used; the text says where and why."""


class NoList(BadList):
    """The file with the list cannot be read."""


def recipients(file: Path, channel: str, locale: str) -> Iterator[dict[str, str]]:
    """Yield the people of a list: lines of channel,address[,language], or addresses alone with *channel*.

    A first line of column names is left out. Raises `BadList`.
    """
    said = SAID[locale]
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise NoList(said["unreadable"].format(file)) from None
    for number, row in enumerate(csv.reader(text.splitlines()), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#") or (number == 1 and cells[-1] in ("address", "language")):
            continue
        if len(cells) == 1 or (channel and ":" in cells[0]):
            if not channel:
                raise BadList(said["channel"].format(file, number))
            cells = [channel, *cells]
        if not 2 <= len(cells) <= 3 or ":" not in cells[1]:
            raise BadList(said["columns"].format(file, number))
        yield dict(zip(("channel", "address", "language"), cells, strict=False))


def survey(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands; *connect* finds the hub."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """List surveys. / 列出问卷。"""

        def work() -> None:
            found = connect().get("/surveys")
            if as_json:
                dump(found)
                return
            names = ("id", "kind", "trigger", "enabled", "owner", "purpose")
            said = SAID[locale()]
            rows = [
                [said[str(one[name])] if name == "enabled" else one[name] for name in names] for one in found["items"]
            ]
            table(heads(names, locale()), rows)

        attempt(work)

    @app.command()
    def preview(
        name: str,
        language: Annotated[str, typer.Option(help="one language only / 只看一种语言")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Show how the invitation reads on every channel. / 预览各渠道的邀请。"""

        def work() -> None:
            found = connect().get(f"/surveys/{name}/preview", language=language)
            if as_json:
                dump(found)
                return
            for one in found["items"]:
                print(f"== {one['channel']} ({one['kind']}) {one['language']} · {one['length']}")
                print(one["text"])
                for label in one["choices"]:
                    print(f"  [{label}]")
                print()

        attempt(work)

    @app.command()
    def send(  # each option is one way to say whom
        name: str,
        file: Annotated[
            Path | None, typer.Option("--list", help="file: channel,address[,language] / 名单：渠道,地址[,语言]")
        ] = None,
        conversation: Annotated[list[str] | None, typer.Option(help="of whom / 哪个会话")] = None,
        channel: Annotated[str, typer.Option(help="channel of bare addresses / 只有地址时用的渠道")] = "",
        key: Annotated[str, typer.Option(help="once under one key / 同一 key 只问一次")] = "",
        sample: Annotated[bool, typer.Option("--sample", help="audience and sampling count / 按范围和抽样")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Ask people on a list, or in conversations. / 按名单或会话发送问卷。"""
        said = SAID[locale()]
        try:
            people = list(recipients(file, channel, locale())) if file is not None else []
        except BadList as error:
            fail(error, CANNOT_TELL if isinstance(error, NoList) else NO)
        if not people and not conversation:
            fail(said["nobody"], NO)
        # The same list sent again under no key of its own asks nobody twice.
        content = file.read_bytes() if file is not None else b""
        own = key or hashlib.sha256(content + "\n".join(conversation or []).encode()).hexdigest()[:16]

        def work() -> None:
            found: list[dict[str, Any]] = []
            for start in range(0, max(len(people), 1), CHUNK):
                body: dict[str, Any] = {"recipients": people[start : start + CHUNK], "key": own, "sample": sample}
                if start == 0:
                    body["conversations"] = conversation or []
                found += connect().post(f"/surveys/{name}/invitations", body)["items"]
            if as_json:
                dump({"items": found})
                return
            left = [one for one in found if one["state"] in (None, "suppressed")]
            rows = [(o["address"], o["channel"], o["reason"]) for o in left]
            table(heads(("address", "channel", "reason"), locale()), rows)
            print(said["asked"].format(len(found) - len(left), len(left)))

        attempt(work)

    _records(app, connect, locale)
    _entering(app, connect, locale)
    return app


def given_choices(connect: Connect, name: str) -> frozenset[str]:
    """Return the questions of a survey to which several values may be given."""
    found: frozenset[str] = frozenset()

    def work() -> None:
        nonlocal found
        questions = connect().get(f"/surveys/{name}")["questions"]
        found = frozenset(one["id"] for one in questions if one["kind"] == "choices")

    attempt(work)
    return found


def _records(app: typer.Typer, connect: Connect, locale: Callable[[], str]) -> None:
    """Add the commands that list what a survey has kept."""

    @app.command()
    def invitations(
        name: str,
        state: Annotated[str, typer.Option(help="waiting, sent, answered, expired or suppressed / 状态")] = "",
        limit: int = 50,
        as_json: AsJson = False,
    ) -> None:
        """List who was invited, and why others were not. / 列出邀请。"""

        def work() -> None:
            found = connect().get(f"/surveys/{name}/invitations", state=state, limit=limit)
            if as_json:
                dump(found)
                return
            names = ("id", "state", "reason", "channel", "address", "conversation")
            rows = [[*(one[name] for name in names), one["sent_at"]] for one in found["items"]]
            table(heads((*names, "sent"), locale()), rows)

        attempt(work)

    @app.command()
    def responses(name: str, limit: int = 50, as_json: AsJson = False) -> None:
        """List responses, newest first. / 列出答卷。"""

        def work() -> None:
            found = connect().get(f"/surveys/{name}/responses", limit=limit)
            if as_json:
                dump(found)
                return
            rows = [
                (
                    one["id"],
                    one["at"],
                    one["via"],
                    one.get("team"),
                    "; ".join(f"{each['question']}={each['value']}" for each in one["answers"]),
                    ",".join(one["flags"]),
                )
                for one in found["items"]
            ]
            table(heads(("id", "at", "via", "team", "answers", "flags"), locale()), rows)

        attempt(work)


def _entering(app: typer.Typer, connect: Connect, locale: Callable[[], str]) -> None:
    """Add the command that keeps what was answered elsewhere."""

    @app.command()
    def enter(  # each option is one fact about the interview
        name: str,
        answers: Annotated[list[str], typer.Argument(help="question=value … / 题目=答案 …")],
        conversation: Annotated[str, typer.Option(help="whose answer / 哪个会话的顾客")] = "",
        invitation: Annotated[str, typer.Option(help="or to which invitation / 或哪份邀请")] = "",
        channel: Annotated[str, typer.Option(help="or a channel … / 或渠道 …")] = "",
        address: Annotated[str, typer.Option(help="… and an address / … 和地址")] = "",
        mode: Annotated[str, typer.Option(help="phone, in_person or other / 方式")] = "phone",
        interviewer: Annotated[str, typer.Option(help="who asked / 访问员")] = "",
        key: Annotated[str, typer.Option(help="once under one key / 同一 key 只记一次")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Keep what a customer answered by telephone or in person. / 录入电话或当面的回答。"""
        given: dict[str, Any] = {}
        for pair in answers:
            question, equals, value = pair.partition("=")
            if not equals:
                fail(SAID[locale()]["pair"].format(pair), NO)
            given[question] = value.split(",") if "," in value and question in given_choices(connect, name) else value

        def work() -> None:
            body = {"answers": given, "mode": mode, "interviewer": interviewer, "key": key}
            body |= {"conversation": conversation, "invitation": invitation, "channel": channel, "address": address}
            done = connect().post(f"/surveys/{name}/responses", body)
            dump(done) if as_json else print(SAID[locale()]["kept"].format(done["response"]["id"]))

        attempt(work)
