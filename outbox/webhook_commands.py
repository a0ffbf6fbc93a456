"""The commands for outgoing webhooks: clients of the running hub's API."""

from __future__ import annotations

import base64
import datetime as dt
import secrets
from collections.abc import Callable
from typing import Annotated, Any

import typer

from config.faults import Wrong
from config.values import duration
from config.webhooks import SECRET_PREFIX
from inbox.commands import AsJson, Connect, attempt, dump, outcome, table
from inbox.printing import heads

HEADS = ("name", "state", "waiting", "last status", "last attempt", "reason", "url")
LOG_HEADS = ("delivery", "state", "attempts", "status", "ms", "type", "event", "at", "error")


def since_time(text: str) -> str:
    """Return a time given as such, or as how long ago (2h, 7d), in RFC 3339."""
    try:
        ago = duration(text)
    except Wrong:
        return text
    return (dt.datetime.now(dt.UTC) - dt.timedelta(milliseconds=ago)).isoformat()


def commands(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands; *connect* finds the hub, *locale* tells the language of words."""
    app = typer.Typer(no_args_is_help=True)

    @app.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """List endpoints and how they fare. / 列出。"""

        def work() -> None:
            found = connect().get("/webhooks")
            dump(found) if as_json else table(heads(HEADS, locale()), [endpoint_row(one) for one in found["items"]])

        attempt(work)

    @app.command("log")
    def show_log(name: str, limit: int = 50, as_json: AsJson = False) -> None:
        """List what an endpoint was sent, newest first. / 投递记录。"""

        def work() -> None:
            found = connect().get(f"/webhooks/{name}/deliveries", limit=limit)
            dump(found) if as_json else table(heads(LOG_HEADS, locale()), [log_row(one) for one in found["items"]])

        attempt(work)

    @app.command()
    def redeliver(name: str, delivery: str, as_json: AsJson = False) -> None:
        """Send an event once more. / 重新投递。"""
        path = f"/webhooks/{name}/deliveries/{delivery}/redeliver"
        attempt(lambda: printed(connect().post(path), "id", as_json=as_json))

    @app.command()
    def test(name: str, as_json: AsJson = False) -> None:
        """Send an event that means nothing. / 发送测试事件。"""
        attempt(lambda: printed(connect().post(f"/webhooks/{name}/test"), "id", as_json=as_json))

    @app.command()
    def replay(
        name: str,
        since: Annotated[str, typer.Option("--since", help="a time, or how long ago: 2h / 时间或多久以前")],
        everything: Annotated[bool, typer.Option("--all", help="also what arrived / 包括已送达的")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Send what was missed since a time. / 补发。"""
        body = {"since": since_time(since), "all": everything}
        attempt(lambda: printed(connect().post(f"/webhooks/{name}/replay", body), "since", as_json=as_json))

    @app.command()
    def enable(name: str, as_json: AsJson = False) -> None:
        """Tell a disabled endpoint again. / 重新启用。"""
        attempt(lambda: printed(connect().post(f"/webhooks/{name}/enable"), "state", as_json=as_json))

    @app.command()
    def secret(as_json: AsJson = False) -> None:
        """Print a new signing secret. / 生成签名密钥。"""
        made = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
        printed({"secret": made}, "secret", as_json=as_json)

    return app


def printed(done: dict[str, Any], key: str, *, as_json: bool) -> None:
    """Print one value of what was *done*, or all of it as JSON."""
    outcome(done, done[key], as_json=as_json)


def endpoint_row(one: dict[str, Any]) -> tuple[Any, ...]:
    """Return an endpoint as a row of a table."""
    last = one["last_attempt"] or {}
    return (
        *(one["name"], one["state"], one["waiting"], last.get("status"), last.get("at")),
        *(one["reason"] or last.get("error"), one["url"]),
    )


def log_row(one: dict[str, Any]) -> tuple[Any, ...]:
    """Return a delivery as a row of a table."""
    names = ("id", "state", "attempts", "status", "duration_ms", "type", "event", "created_at", "error")
    return tuple(one[name] for name in names)
