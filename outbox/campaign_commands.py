"""The commands for bulk sends: clients of the running hub's API. A bulk send is a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from config import documents
from config.campaigns import CampaignFile
from config.chinese import said
from config.faults import ConfigError
from inbox.commands import NO, AsJson, Connect, attempt, dump, harmless, table

File = Annotated[Path, typer.Argument(metavar="FILE", help="the bulk send / 群发文件")]
Name = Annotated[str, typer.Argument(metavar="ID")]


def read(path: Path, locale: str) -> dict[str, Any]:
    """Return a bulk send out of a file, with the list that it names; exits 1 with every fault of it."""
    try:
        document = documents.read(path)
        documents.validate(document, CampaignFile)
    except ConfigError as error:
        for fault in error.faults:
            print(said(fault) if locale.startswith("zh") else fault, file=sys.stderr)
        raise typer.Exit(NO) from None
    written: dict[str, Any] = document.data
    if "list" in written:
        try:
            written["list"] = (path.parent / written["list"]).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            print(f"{written['list']}: {getattr(error, 'strerror', None) or 'not UTF-8'}", file=sys.stderr)
            raise typer.Exit(NO) from None
    return written


def show(one: dict[str, Any]) -> None:
    """Print how far a bulk send is."""
    print(f"{one['id']}  {one['state']}  {one['done']}/{one['total']}  {one['name']}")
    if one["why"]:
        print(one["why"])
    for name in ("counts", "left_out"):
        if one[name]:
            print(f"{name}: " + "  ".join(f"{key} {count}" for key, count in one[name].items()))


def commands(connect: Connect, locale: Any) -> typer.Typer:
    """Return the commands; *connect* finds the hub, *locale* tells the language of faults."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """List bulk sends, newest first. / 列出。"""

        def work() -> None:
            found = connect().get("/campaigns")
            if as_json:
                dump(found)
                return
            heads = ("id", "state", "done", "total", "created_at", "name")
            table(heads, [[one[head] for head in heads] for one in found["items"]])

        attempt(work)

    @app.command()
    def preview(file: File, as_json: AsJson = False) -> None:
        """Say who would get it, who not and why. / 预览。"""

        def work() -> None:
            found = connect().post("/campaign-preview", read(file, locale()))
            if as_json:
                dump(found)
                return
            print(f"total {found['total']}  minutes {found['minutes']}")
            for name in ("channels", "left_out"):
                table((name, "count"), list(found[name].items()))
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
            dump(done) if as_json else show(done)

        attempt(work)

    @app.command()
    def pause(name: Name) -> None:
        """Pause it: nothing more leaves. / 暂停。"""
        attempt(lambda: show(connect().post(f"/campaigns/{name}/pause")))

    @app.command()
    def stop(name: Name) -> None:
        """Stop it for good. / 停止，不再继续。"""
        attempt(lambda: show(connect().post(f"/campaigns/{name}/stop")))

    @app.command("show")
    def show_one(name: Name, as_json: AsJson = False) -> None:
        """Show how far it is. / 查看进度。"""

        def work() -> None:
            found = connect().get(f"/campaigns/{name}")
            dump(found) if as_json else show(found)

        attempt(work)

    return app
