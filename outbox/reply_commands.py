"""The commands by which an agent answers, and looks at texts, from a terminal: clients of the running hub's API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any

import typer

from inbox.commands import CANNOT_TELL, NO, AsJson, Connect, attempt, dump, harmless, table
from inbox.printing import fail, heads

SAID = {
    "en": {
        "pair": "--var {}: expected NAME=VALUE",
        "moment": "--at {}: expected a time like 2026-11-21T09:30",
        "no value": "no value for {}",
        "no variable": "no variable {}",
        "and": "; ",
    },
    "zh": {
        "pair": "--var {}：应为 名称=值",
        "moment": "--at {}：应为 2026-11-21T09:30 这样的时间",
        "no value": "变量没有值：{}",
        "no variable": "没有变量：{}",
        "and": "；",
    },
}
Values = Annotated[list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="variable / 变量")]


def variables(given: list[str] | None, locale: str = "en") -> dict[str, str]:
    """Take NAME=VALUE apart; what is none ends the program."""
    found = {}
    for word in given or []:
        name, equals, value = word.partition("=")
        if not equals:
            fail(words(locale)["pair"].format(word), CANNOT_TELL)
        found[name.strip()] = value
    return found


def moment(text: str, locale: str = "en") -> str:
    """Return *text* with a zone: a time without one is of this machine's. What is no time ends the program."""
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        fail(words(locale)["moment"].format(text), CANNOT_TELL)
    return (at if at.tzinfo is not None else at.astimezone()).isoformat()


def show_plan(plan: dict[str, Any]) -> None:
    """Print what would become of an answer."""
    print(plan["will"])
    for part in plan["parts"]:
        files = "".join(f" [{harmless(name)}]" for name in part["attachments"])
        print(f"  {harmless(part['text'])}{files}")
    for one in plan["obstacles"]:
        print(f"{one['weight']}  {one['code']}  {harmless(one['why'])}")


def words(locale: str) -> dict[str, str]:
    """Return what is said in the language of *locale*."""
    return SAID["zh" if locale.startswith("zh") else "en"]


def reply(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the command that answers."""
    app = typer.Typer()

    @app.command()
    def reply(  # each option is one
        conversation: str,
        text: Annotated[str, typer.Argument()] = "",
        agent: Annotated[str, typer.Option(help="who writes / 以哪位客服的名义")] = "",
        client_id: Annotated[str, typer.Option(help="makes it safe to repeat / 防止重复发送")] = "",
        template: Annotated[str, typer.Option(help="a text before it / 使用模板")] = "",
        var: Values = None,
        at: Annotated[str, typer.Option("--at", help="when it leaves / 定时发送")] = "",
        unless_customer_writes: Annotated[
            bool, typer.Option("--unless-customer-writes", help="call it back then / 客户先来信则取消")
        ] = False,
        insist: Annotated[bool, typer.Option("--insist", help="leave it to the platform / 由平台决定")] = False,
        preview: Annotated[bool, typer.Option("--preview", help="only look / 只预览")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Answer on the customer's channel. / 在客户的渠道上回复。"""
        body: dict[str, Any] = {"text": text, "agent": agent, "client_id": client_id, "template": template}
        body |= {
            "variables": variables(var, locale()),
            "unless_customer_writes": unless_customer_writes,
            "insist": insist,
        }
        if at:
            body["send_at"] = moment(at, locale())

        def work() -> None:
            path = f"/conversations/{conversation}/replies"
            done = connect().post(f"{path}/preview" if preview else path, body)
            if as_json:
                dump(done)
            elif preview:
                show_plan(done)
            else:
                print(f"{done['delivery']['id']}  {done['delivery']['state']}")
                if done["plan"] is not None and (done["plan"]["because"] or done["plan"]["obstacles"]):
                    show_plan({**done["plan"], "parts": []})

        attempt(work)

    return app


def templates(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands for texts."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """List the texts there are. / 列出模板。"""

        def work() -> None:
            found = connect().get("/templates")
            if as_json:
                dump(found)
                return
            rows = [
                (
                    one["id"],
                    " ".join(one["languages"]),
                    " ".join([*one["kinds"], *one["channels"]]),
                    " ".join(one["platforms"]),
                    " ".join(one["needs"]),
                )
                for one in found["items"]
            ]
            table(heads(("name", "languages", "channels", "platforms", "needs"), locale()), rows)

        attempt(work)

    @app.command()
    def preview(
        name: str,
        conversation: Annotated[str, typer.Option(help="for whom / 哪个会话")] = "",
        channel: Annotated[str, typer.Option(help="on which channel / 哪个渠道")] = "",
        language: Annotated[str, typer.Option(help="in which language / 哪种语言")] = "",
        var: Values = None,
        as_json: AsJson = False,
    ) -> None:
        """Show how a text reads. / 预览模板。"""
        body: dict[str, Any] = {"conversation": conversation, "channel": channel, "language": language}
        body |= {"variables": variables(var, locale())}

        def work() -> None:
            shown = connect().post(f"/templates/{name}/preview", body)
            if as_json:
                dump(shown)
            else:
                print(harmless(shown["text"]))
            if shown["missing"] or shown["unknown"]:
                said = words(locale())
                faults = [(shown["missing"], said["no value"]), (shown["unknown"], said["no variable"])]
                fail(said["and"].join(text.format(", ".join(names)) for names, text in faults if names), NO)

        attempt(work)

    return app
