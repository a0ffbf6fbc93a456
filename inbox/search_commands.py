"""`huiliu search …`: find messages, see how the index stands, build it anew. A client of the API."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, TextIO

import typer

from inbox.commands import CANNOT_TELL, AsJson, Connect, attempt, dump, harmless, one_line, table

ENGLISH = {
    "none": "there is no index yet",
    "heads": "machine,state,messages,built,behind,on disk",
    "begun": "the index is being built anew; searches are answered meanwhile",
    "done": "{}: built, {} messages",
    "part": "the index is still being built: there may be more",
    "slow": "no word of the index for a while; see the hub's log",
    "seconds": "{:.0f} s",
}
CHINESE = {
    "none": "还没有索引",
    "heads": "机器,状态,消息数,已建,滞后,磁盘",
    "begun": "正在重建索引，期间照常可以搜索",
    "done": "{}：已建好，共 {} 条消息",
    "part": "索引尚未建完，结果可能不全",
    "slow": "很久没有索引的消息，请查看服务日志",
    "seconds": "{:.0f} 秒",
}
LOOK = 0.5
PATIENCE = 60.0


def commands(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands."""
    app = typer.Typer(no_args_is_help=True)

    def words() -> dict[str, str]:
        return CHINESE if locale().startswith("zh") else ENGLISH

    @app.command()
    def find(
        text: str,
        team: str = "",
        agent: str = "",
        channel: str = "",
        status: str = "",
        tag: str = "",
        limit: int = 20,
        as_json: AsJson = False,
    ) -> None:
        """Find messages, the latest first. / 搜索消息，最新的在前。"""

        def work() -> None:
            found = connect().get(
                "/search", q=text, team=team, agent=agent, channel=channel, status=status, tag=tag, limit=limit
            )
            if as_json:
                dump(found)
                return
            for one in found["items"]:
                message, conversation = one["message"], one["conversation"]
                name = conversation["contact"]["name"] or next(iter(conversation["contact"]["addresses"]), "")
                shown = "".join(f"[{piece['text']}]" if piece["hit"] else piece["text"] for piece in one["snippet"])
                print(f"{message['at']}  {conversation['id']}  {one_line(name, 20)}: {one_line(harmless(shown), 200)}")
            if not found["complete"]:
                print(words()["part"], file=sys.stderr)

        attempt(work)

    @app.command()
    def status(as_json: AsJson = False) -> None:
        """Show how the index of each machine stands. / 查看各机器的搜索索引状态。"""

        def work() -> None:
            found = connect().get("/search/index")
            if as_json:
                dump(found)
            elif not found["items"]:
                print(words()["none"])
            else:
                table(words()["heads"].split(","), [_row(one, words()) for one in found["items"]])

        attempt(work)

    @app.command()
    def rebuild(
        wait: Annotated[bool, typer.Option("--wait/--no-wait", help="until it is built / 等到建好")] = True,
        as_json: AsJson = False,
    ) -> None:
        """Build the index anew while searches go on. / 在线重建搜索索引。"""

        def work() -> None:
            client = connect()
            began = client.get("/search/index")["items"]
            client.post("/search/rebuild")
            course = sys.stderr if as_json else sys.stdout
            print(words()["begun"], file=course)
            if wait and not _watched(lambda: client.get("/search/index")["items"], began, words(), course):
                print(words()["slow"], file=sys.stderr)
                raise typer.Exit(CANNOT_TELL)
            if as_json:
                dump(client.get("/search/index"))

        attempt(work)

    return app


def _row(one: dict[str, Any], words: dict[str, str]) -> tuple[str, ...]:
    return (
        one["machine"],
        one["state"],
        str(one["messages"]),
        f"{one['progress']:.0%}",
        words["seconds"].format(one["behind_seconds"]),
        f"{one['bytes'] / 2**20:.1f} MiB",
    )


def _watched(
    look: Callable[[], list[dict[str, Any]]], began: list[dict[str, Any]], words: dict[str, str], course: TextIO
) -> bool:
    """Print to *course* how far each machine is until all that live have a younger index than in the beginning."""
    built = {one["machine"]: one["built_at"] for one in began}
    heard, said = time.monotonic(), ""
    done: set[str] = set()
    while time.monotonic() < heard + PATIENCE:
        living = [one for one in look() if one["state"] != "unkept"]
        for one in living:
            if one["machine"] not in done and one["built_at"] and one["built_at"] != built.get(one["machine"]):
                done.add(one["machine"])
                print(words["done"].format(one["machine"], one["messages"]), file=course, flush=True)
        if living and all(one["machine"] in done for one in living):
            return True
        told = "  ".join(f"{one['machine']}: {one['progress']:.0%}" for one in living if one["machine"] not in done)
        if told != said:
            heard, said = time.monotonic(), told
            print(told, file=course, flush=True)
        time.sleep(LOOK)
    return False
