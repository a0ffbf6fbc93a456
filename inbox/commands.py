"""The commands of an agent at a terminal, and of whoever looks after channels: clients of the running hub's API."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from inbox.client import Client, NoHub, Refused
from inbox.refusals import said

FINE, NO, CANNOT_TELL = 0, 1, 2
Connect = Callable[[], Client]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON / 输出 JSON")]

WORDS = {
    "en": {
        "conversations": ("id", "status", "channel", "contact", "team", "agent", "priority", "last message", "subject"),
        "channels": ("channel", "kind", "state", "last event", "lag", "received", "shunted", "reason"),
        "shunted": ("id", "channel", "at", "bytes", "error"),
        "seconds": "{:.1f} s",
        "faults": "the files as they are now are not in use:",
    },
    "zh": {
        "conversations": ("编号", "状态", "渠道", "客户", "团队", "客服", "优先级", "最近消息", "主题"),
        "channels": ("渠道", "类型", "状态", "最近事件", "滞后", "收到", "无法解析", "原因"),
        "shunted": ("编号", "渠道", "时间", "字节", "错误"),
        "seconds": "{:.1f} 秒",
        "faults": "文件有错误，没有启用：",
    },
}


def attempt(work: Callable[[], None]) -> None:
    """Do *work* and end the program with the right code: 1 when the hub says no, 2 when there is no hub."""
    try:
        work()
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        raise typer.Exit(NO) from None
    except NoHub as missing:
        print(missing, file=sys.stderr)
        raise typer.Exit(CANNOT_TELL) from None


def dump(value: Any) -> None:
    """Print *value* as JSON."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def outcome(done: dict[str, Any], text: str = "", *, as_json: bool) -> None:
    """Print what was *done*: all of it as JSON, else *text*, by default its state."""
    if as_json:
        dump(done)
    else:
        print(text or done["state"])


def width(text: str) -> int:
    """Return how many columns *text* takes in a terminal; Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table whose columns line up."""
    texts = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(width(row[column]) for row in [list(heads), *texts]) for column in range(len(heads))]
    for row in [list(heads), *texts]:
        print("  ".join(cell + " " * (size - width(cell)) for cell, size in zip(row, widths, strict=True)).rstrip())


def harmless(text: str) -> str:
    """Return *text* without what a terminal would obey: a customer wrote it."""
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def one_line(value: Any, limit: int = 60) -> str:
    """Print a cell on one line, without control characters."""
    text = "" if value is None else str(value)
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def commands(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands; *connect* finds the hub, *locale* is the language of tables."""
    app = typer.Typer()

    def words() -> dict[str, Any]:
        return WORDS["zh" if locale().startswith("zh") else "en"]

    @app.command()
    def conversations(
        team: str = "", agent: str = "", status: str = "", channel: str = "", limit: int = 50, as_json: AsJson = False
    ) -> None:
        """List conversations, newest activity first. / 列出会话。"""

        def work() -> None:
            found = connect().get("/conversations", team=team, agent=agent, status=status, channel=channel, limit=limit)
            if as_json:
                dump(found)
                return
            table(
                words()["conversations"],
                [
                    (
                        one["id"],
                        one["status"],
                        one["channel"],
                        one["contact"]["name"] or next(iter(one["contact"]["addresses"]), ""),
                        one["team"],
                        one["agent"],
                        one["priority"],
                        one["last_message_at"],
                        one["subject"],
                    )
                    for one in found["items"]
                ],
            )

        attempt(work)

    @app.command()
    def show(conversation: str, as_json: AsJson = False) -> None:
        """Show one conversation with its messages. / 显示一个会话。"""

        def work() -> None:
            client = connect()
            one = client.get(f"/conversations/{conversation}")
            messages = client.get(f"/conversations/{conversation}/messages", limit=200)["items"]
            if as_json:
                dump({"conversation": one, "messages": messages})
                return
            print(f"{one['id']}  {one['status']}  {one['channel']}  {one['team'] or '-'}/{one['agent'] or '-'}")
            for message in reversed(messages):
                author = message["author"]
                what = message["text"] or (message.get("event") or {}).get("name", "")
                delivery = f"  [{message['delivery']['state']}]" if message.get("delivery") else ""
                files = "".join(f" [{one_line(file['name'] or file['type'])}]" for file in message["attachments"])
                name = author["name"] or author["kind"]
                words = harmless(what)
                print(f"{message['at']}  {message['direction']:<8}  {one_line(name, 20)}: {words}{files}{delivery}")

        attempt(work)

    @app.command()
    def channels(as_json: AsJson = False) -> None:
        """Show the state of each channel, and why. / 各渠道状态。"""

        def work() -> None:
            client = connect()
            found, rules = client.get("/channels"), client.get("/routes/status")
            if as_json:
                dump({**found, "routes": rules})
            else:
                table(
                    words()["channels"],
                    [
                        (
                            one["id"],
                            one["kind"],
                            one["state"],
                            one["last_event_at"],
                            "" if one["lag"] is None else words()["seconds"].format(one["lag"]),
                            one["counts"].get("received", 0),
                            one["counts"].get("shunted", 0),
                            one["reason"],
                        )
                        for one in found["items"]
                    ],
                )
            if rules["faults"]:
                print(words()["faults"], file=sys.stderr)
            for fault in rules["faults"]:
                print(harmless(said(fault, locale())), file=sys.stderr)
            if any(one["state"] == "down" for one in found["items"]):
                raise typer.Exit(NO)

        attempt(work)

    app.add_typer(shunted(connect, words), name="shunted", help="What nobody could parse. / 无法解析的数据。")
    return app


def shunted(connect: Connect, words: Callable[[], dict[str, Any]]) -> typer.Typer:
    """Return the commands for shunted payloads; *words* are those of the tables."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """List shunted payloads, newest first. / 列出。"""

        def work() -> None:
            found = connect().get("/shunted")
            if as_json:
                dump(found)
            else:
                keys = ("id", "channel", "at", "size", "error")
                table(words()["shunted"], [[one[key] for key in keys] for one in found["items"]])

        attempt(work)

    @app.command("show")
    def show_one(
        name: str,
        as_json: AsJson = False,  # noqa: ARG001  # it prints nothing else
    ) -> None:
        """Show one payload as it came. / 显示原文。"""
        attempt(lambda: dump(connect().get(f"/shunted/{name}")))

    @app.command()
    def replay(name: str, as_json: AsJson = False) -> None:
        """Try to understand it again. / 重新处理。"""
        attempt(lambda: outcome(connect().post(f"/shunted/{name}/replay"), as_json=as_json))

    @app.command()
    def drop(name: str, as_json: AsJson = False) -> None:
        """Forget it. / 丢弃。"""
        attempt(lambda: outcome(connect().post(f"/shunted/{name}/drop"), as_json=as_json))

    return app
