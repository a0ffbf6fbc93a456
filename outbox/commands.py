"""The commands for what is owed and for what failed for good: clients of the running hub's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from inbox.commands import AsJson, Connect, attempt, dump, outcome, table
from inbox.printing import heads
from outbox.reply_commands import reply, templates

HEADS = ("id", "state", "channel", "attempts", "due", "error")


def rows(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return deliveries as rows of a table."""
    return [(o["id"], o["state"], o["channel"], o["attempts"], o["due_at"], o["error"]) for o in found]


def commands(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands; *connect* finds the hub, *locale* tells the language of words."""
    app = typer.Typer()
    app.add_typer(outbox(connect, locale), name="outbox", help="What is owed. / 待发送。")
    app.add_typer(reply(connect, locale))
    app.add_typer(templates(connect, locale), name="templates", help="Texts. / 模板。")
    app.add_typer(dead(connect, locale), name="dead", help="What failed for good. / 发送失败。")
    return app


def outbox(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands for deliveries."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list")
    def list_all(state: str = "due", as_json: AsJson = False) -> None:
        """List deliveries that are due, scheduled or uncertain. / 列出。"""

        def work() -> None:
            found = connect().get("/deliveries", state=state)
            dump(found) if as_json else table(heads(HEADS, locale()), rows(found["items"]))

        attempt(work)

    @app.command()
    def show(name: str, as_json: AsJson = False) -> None:  # noqa: ARG001  # it is JSON in any case
        """Show one delivery, as JSON. / 以 JSON 显示。"""
        attempt(lambda: dump(connect().get(f"/deliveries/{name}")))

    @app.command()
    def retry(name: str, as_json: AsJson = False) -> None:
        """Send it again. / 重发。"""
        attempt(lambda: outcome(connect().post(f"/deliveries/{name}/retry"), as_json=as_json))

    @app.command()
    def confirm(name: str, as_json: AsJson = False) -> None:
        """Say that an uncertain one arrived. / 确认已送达。"""
        attempt(lambda: outcome(connect().post(f"/deliveries/{name}/confirm"), as_json=as_json))

    @app.command()
    def cancel(name: str, as_json: AsJson = False) -> None:
        """Call back what has not left yet. / 撤回。"""
        attempt(lambda: outcome(connect().post(f"/deliveries/{name}/cancel"), as_json=as_json))

    return app


def dead(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands for dead letters."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """List dead letters, newest first. / 列出。"""

        def work() -> None:
            found = connect().get("/dead")
            dump(found) if as_json else table(heads(HEADS, locale()), rows(found["items"]))

        attempt(work)

    @app.command()
    def retry(name: str, as_json: AsJson = False) -> None:
        """Send it again. / 重发。"""
        attempt(lambda: outcome(connect().post(f"/dead/{name}/retry"), as_json=as_json))

    @app.command()
    def drop(name: str, as_json: AsJson = False) -> None:
        """Give it up. / 放弃。"""
        attempt(lambda: outcome(connect().post(f"/dead/{name}/drop"), as_json=as_json))

    return app
