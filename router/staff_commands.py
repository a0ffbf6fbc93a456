"""The commands `huiliu agents …` and `huiliu report assignment`: who is there, and who was given how much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from inbox.commands import AsJson, Connect, attempt, dump, table

WORDS = {
    "en": {
        "agents": ("agent", "name", "teams", "state", "until", "conversations"),
        "report": ("date", "team", "shift", "agent", "given", "taken", "spread", "fairness", "median wait", "longest"),
        "waiting": "{team}: {count} waiting, the oldest since {since}",
    },
    "zh": {
        "agents": ("客服", "姓名", "团队", "状态", "至", "会话数"),
        "report": ("日期", "团队", "班次", "客服", "分配", "自取", "差距", "公平度", "等待中位数", "最长等待"),
        "waiting": "{team}：{count} 个等待中，最早始于 {since}",
    },
}


def agents(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands about agents; *connect* finds the hub."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """List agents, whether they are there and what they have. / 列出客服及在线状态。"""

        def work() -> None:
            found = connect().get("/agents")
            if as_json:
                dump(found)
                return
            heads = _words(locale())["agents"]
            table(heads, [_agent(one) for one in found["items"]])

        attempt(work)

    @app.command("set")
    def set_one(
        agent: str,
        state: Annotated[str, typer.Argument(help="online, away, offline or auto / 在线、暂离、离线或 auto")],
        lasting: Annotated[str, typer.Option("--for", help="for how long, such as 30m / 持续多久")] = "",
        release: Annotated[
            bool | None,
            typer.Option("--release/--keep", help="give back what is unanswered, or not / 是否交还未回复的会话"),
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Say whether an agent is there; auto leaves it to the shifts. / 设置客服在线状态。"""

        def work() -> None:
            body = {"state": None if state == "auto" else state, "for": lasting, "release": release}
            done = connect().put(f"/agents/{agent}/presence", body)
            if as_json:
                dump(done)
            else:
                print(f"{done['id']}  {done['presence']['state']}  {done['presence']['until'] or ''}".rstrip())

        attempt(work)

    return app


def reports(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands that report; *connect* finds the hub."""
    app = typer.Typer()

    @app.command("assignment")
    def assignment(team: str = "", since: str = "7d", as_json: AsJson = False) -> None:
        """Show who was given how much, and who waited how long. / 分配是否公平、等待多久。"""

        def work() -> None:
            found = connect().get("/reports/assignment", team=team, since=since)
            if as_json:
                dump(found)
                return
            words = _words(locale())
            table(words["report"], [_share(row, one) for row in found["items"] for one in row["agents"]])
            for one in found["waiting"]:
                if one["count"]:
                    print(words["waiting"].format(team=one["team"], count=one["count"], since=one["oldest_since"]))

        attempt(work)

    return app


def _words(locale: str) -> dict[str, Any]:
    return WORDS["zh" if locale.startswith("zh") else "en"]


def _agent(one: dict[str, Any]) -> tuple[Any, ...]:
    there = one["presence"]
    return one["id"], one["name"], " ".join(one["teams"]), there["state"], there["until"], one["conversations"]


def _share(row: dict[str, Any], one: dict[str, Any]) -> tuple[Any, ...]:
    waits = row["waiting"]
    numbers = (one["given"], one["taken"], row["spread"], row["fairness"], waits["median"], waits["longest"])
    return row["date"], row["team"], row["shift"] or "-", one["agent"], *numbers
