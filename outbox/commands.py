"""The commands for what is owed and for what failed for good: clients of the running hub's API."""

from __future__ import annotations

from typing import Any

import typer

from inbox.commands import AsJson, Connect, attempt, dump, table
from outbox.reply_commands import reply, templates

HEADS = ("id", "state", "channel", "attempts", "due", "error")


def rows(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return deliveries as rows of a table."""
    return [(o["id"], o["state"], o["channel"], o["attempts"], o["due_at"], o["error"]) for o in found]


def commands(connect: Connect) -> typer.Typer:
    """Return the commands; *connect* finds the hub."""
    app = typer.Typer()
    app.add_typer(outbox(connect), name="outbox", help="What is owed. / 待发送。")
    app.add_typer(reply(connect))
    app.add_typer(templates(connect), name="templates", help="Texts. / 模板。")
    app.add_typer(dead(connect), name="dead", help="What failed for good. / 发送失败。")
    return app


def outbox(connect: Connect) -> typer.Typer:
    """Return the commands for deliveries."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list")
    def list_all(state: str = "due", as_json: AsJson = False) -> None:
        """List deliveries that are due, scheduled or uncertain. / 列出。"""

        def work() -> None:
            found = connect().get("/deliveries", state=state)
            dump(found) if as_json else table(HEADS, rows(found["items"]))

        attempt(work)

    @app.command()
    def show(name: str) -> None:
        """Show one delivery. / 显示。"""
        attempt(lambda: dump(connect().get(f"/deliveries/{name}")))

    @app.command()
    def retry(name: str) -> None:
        """Send it again. / 重发。"""
        attempt(lambda: print(connect().post(f"/deliveries/{name}/retry")["state"]))

    @app.command()
    def confirm(name: str) -> None:
        """Say that an uncertain one arrived. / 确认已送达。"""
        attempt(lambda: print(connect().post(f"/deliveries/{name}/confirm")["state"]))

    @app.command()
    def cancel(name: str) -> None:
        """Call back what has not left yet. / 撤回。"""
        attempt(lambda: print(connect().post(f"/deliveries/{name}/cancel")["state"]))

    return app


def dead(connect: Connect) -> typer.Typer:
    """Return the commands for dead letters."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """List dead letters, newest first. / 列出。"""

        def work() -> None:
            found = connect().get("/dead")
            dump(found) if as_json else table(HEADS, rows(found["items"]))

        attempt(work)

    @app.command()
    def retry(name: str) -> None:
        """Send it again. / 重发。"""
        attempt(lambda: print(connect().post(f"/dead/{name}/retry")["state"]))

    @app.command()
    def drop(name: str) -> None:
        """Give it up. / 放弃。"""
        attempt(lambda: print(connect().post(f"/dead/{name}/drop")["state"]))

    return app
