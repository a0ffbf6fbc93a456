"""The commands for bulk sends: clients of the running hub's API. A bulk send is a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from config import documents
from config.campaigns import CampaignFile
from config.faults import ConfigError
from inbox.commands import CANNOT_TELL, AsJson, Connect, attempt, dump, harmless, table
from inbox.printing import fail, heads, refuse, trouble

File = Annotated[Path, typer.Argument(metavar="FILE", help="the bulk send / 群发文件")]
Name = Annotated[str, typer.Argument(metavar="ID")]


def read(path: Path, locale: str) -> dict[str, Any]:
    """Return a bulk send out of a file, with the list that it names; exits with every fault of it.

    The code is 1, or 2 if a file cannot be read.
    """
    document = documents.parse(path)
    if document.flaws:
        refuse(document.flaws, [document], locale)
    try:
        documents.validate(document, CampaignFile)
    except ConfigError as error:
        refuse(error.faults, [document], locale)
    written: dict[str, Any] = document.data
    if "list" in written:
        try:
            written["list"] = (path.parent / written["list"]).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{written['list']}: {trouble(error, locale)}", CANNOT_TELL)
    return written


def named(names: tuple[str, ...], locale: str) -> list[tuple[str, str]]:
    """Return each of *names* behind its word in the language of *locale*."""
    return list(zip(heads(names, locale), names, strict=True))


def show(one: dict[str, Any], locale: str) -> None:
    """Print how far a bulk send is."""
    print(f"{one['id']}  {one['state']}  {one['done']}/{one['total']}  {one['name']}")
    if one["why"]:
        print(one["why"])
    for head, name in named(("counts", "left_out"), locale):
        if one[name]:
            print(f"{head}: " + "  ".join(f"{key} {count}" for key, count in one[name].items()))


def commands(connect: Connect, locale: Any) -> typer.Typer:
    """Return the commands; *connect* finds the hub, *locale* tells the language of faults."""
    app = typer.Typer(no_args_is_help=True)

    def turned(name: str, action: str, *, as_json: bool) -> None:
        done = connect().post(f"/campaigns/{name}/{action}")
        dump(done) if as_json else show(done, locale())

    @app.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """List bulk sends, newest first. / 列出。"""

        def work() -> None:
            found = connect().get("/campaigns")
            if as_json:
                dump(found)
                return
            names = ("id", "state", "done", "total", "created_at", "name")
            table(heads(names, locale()), [[one[name] for name in names] for one in found["items"]])

        attempt(work)

    @app.command()
    def preview(file: File, as_json: AsJson = False) -> None:
        """Say who would get it, who not and why. / 预览。"""

        def work() -> None:
            found = connect().post("/campaign-preview", read(file, locale()))
            if as_json:
                dump(found)
                return
            print("  ".join(f"{head} {found[name]}" for head, name in named(("total", "minutes"), locale())))
            for name in ("channels", "left_out"):
                table(heads((name, "count"), locale()), list(found[name].items()))
            for one in found["obstacles"]:
                print(f"[{one['weight']}] {one['why']}")
            for one in found["samples"]:
                print(f"--- {one['channel']} {one['address']}")
                print(harmless(one["text"]))

        attempt(work)

    @app.command()
    def start(
        what: Annotated[str, typer.Argument(metavar="FILE|ID")],
        anyway: Annotated[bool, typer.Option("--anyway", help="whatever it warns of / 忽略提醒")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Start it, or go on with it. / 开始或继续。"""

        def work() -> None:
            client = connect()
            name = what if not Path(what).exists() else client.post("/campaigns", read(Path(what), locale()))["id"]
            done = client.post(f"/campaigns/{name}/start", {"anyway": anyway})
            dump(done) if as_json else show(done, locale())

        attempt(work)

    @app.command()
    def pause(name: Name, as_json: AsJson = False) -> None:
        """Pause it: nothing more leaves. / 暂停。"""
        attempt(lambda: turned(name, "pause", as_json=as_json))

    @app.command()
    def stop(name: Name, as_json: AsJson = False) -> None:
        """Stop it for good. / 停止，不再继续。"""
        attempt(lambda: turned(name, "stop", as_json=as_json))

    @app.command("show")
    def show_one(name: Name, as_json: AsJson = False) -> None:
        """Show how far it is. / 查看进度。"""

        def work() -> None:
            found = connect().get(f"/campaigns/{name}")
            dump(found) if as_json else show(found, locale())

        attempt(work)

    return app
