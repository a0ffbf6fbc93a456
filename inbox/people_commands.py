"""The commands `huiliu people …`: who may sign in."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from inbox.client import Client
from inbox.commands import AsJson, Connect, attempt, dump, outcome, table

WORDS = {
    "en": {
        "heads": ("person", "role", "name", "login", "state", "second factor", "sessions"),
        "states": {"ready": "ready", "new": "no password yet", "disabled": "disabled"},
        "sessions": ("session", "since", "used", "until", "from", "way", "browser"),
        "link": "This link sets the password, once, until {until}:",
        "secret": "or its token: {token}",
        "password": "New password: ",
        "again": "Once more: ",
        "differ": "these two differ",
        "done": "{id}: {what}",
        "ended": "{ended} sessions ended",
        "yes": "on",
        "no": "off",
    },
    "zh": {
        "heads": ("人员", "角色", "姓名", "登录名", "状态", "两步验证", "会话数"),
        "states": {"ready": "可登录", "new": "尚未设置密码", "disabled": "已停用"},
        "sessions": ("会话", "开始", "最近使用", "有效至", "来自", "方式", "浏览器"),
        "link": "用此链接设置密码，只能用一次，{until} 前有效：",
        "secret": "或用其令牌：{token}",
        "password": "新密码：",
        "again": "再输一次：",
        "differ": "两次输入不一致",
        "done": "{id}：{what}",
        "ended": "已结束 {ended} 个会话",
        "yes": "开",
        "no": "关",
    },
}
ROLE = typer.Option("--role", help="readonly, agent, supervisor or admin / 角色")
TYPED = typer.Option("--type", help="type the password here instead of making a link / 在此输入密码，不生成链接")


def commands(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands; *connect* finds the hub."""
    app = typer.Typer(no_args_is_help=True)

    def words() -> dict[str, Any]:
        return WORDS["zh" if locale().startswith("zh") else "en"]

    @app.command("list")
    def list_all(as_json: AsJson = False) -> None:
        """List who may sign in. / 列出可登录的人员。"""

        def work() -> None:
            found = connect().get("/people")
            if as_json:
                dump(found)
            else:
                table(words()["heads"], [row(one, words()) for one in found["items"]])

        attempt(work)

    @app.command()
    def add(
        name: Annotated[str, typer.Argument(help="an agent's id, or any other name / 客服 id 或其他名称")],
        role: Annotated[str, ROLE] = "agent",
        label: Annotated[str, typer.Option("--name", help="display name / 显示名")] = "",
        login: Annotated[str, typer.Option("--login", help="what a provider calls them / 在登录提供方的名称")] = "",
        typed: Annotated[bool, TYPED] = False,
        as_json: AsJson = False,
    ) -> None:
        """Add somebody. / 添加人员。"""

        def work() -> None:
            client = connect()
            body = {"id": name, "role": role, "name": label, "login": login}
            welcome(client, name, client.post("/people", body), words(), typed=typed, as_json=as_json)

        attempt(work)

    @app.command()
    def password(name: str, typed: Annotated[bool, TYPED] = False, as_json: AsJson = False) -> None:
        """Make a link with which somebody sets a new password. / 生成重设密码的链接。"""

        def work() -> None:
            client = connect()
            made = client.post(f"/people/{name}/invitation")
            welcome(client, name, made, words(), typed=typed, as_json=as_json)

        attempt(work)

    @app.command()
    def change(
        name: str,
        role: Annotated[str, ROLE] = "",
        login: Annotated[str, typer.Option("--login", help="what a provider calls them / 在登录提供方的名称")] = "",
        forget: Annotated[
            bool, typer.Option("--forget-totp", help="take the second factor away / 取消两步验证")
        ] = False,
        as_json: AsJson = False,  # noqa: ARG001  # it prints nothing else
    ) -> None:
        """Change somebody's role, login or second factor. / 修改人员。"""

        def work() -> None:
            client = connect()
            if forget:
                client.delete(f"/people/{name}/totp")
            body = {key: value for key, value in (("role", role), ("login", login)) if value}
            dump(client.put(f"/people/{name}", body))

        attempt(work)

    @app.command()
    def disable(
        name: str,
        enable: Annotated[bool, typer.Option("--undo", help="let them in again / 恢复")] = False,
        as_json: AsJson = False,
    ) -> None:
        """Lock somebody out at once. / 立即停用。"""

        def work() -> None:
            done = connect().put(f"/people/{name}", {"disabled": not enable})
            outcome(done, words()["done"].format(id=name, what=state(done, words())), as_json=as_json)

        attempt(work)

    @app.command()
    def remove(name: str, as_json: AsJson = False) -> None:
        """Forget somebody; what they did keeps their name. / 删除人员。"""
        attempt(lambda: outcome(connect().delete(f"/people/{name}"), as_json=as_json))

    @app.command()
    def sessions(name: str, as_json: AsJson = False) -> None:
        """List somebody's sessions. / 列出登录会话。"""

        def work() -> None:
            found = connect().get(f"/people/{name}/sessions")
            if as_json:
                dump(found)
                return
            keys = ("id", "created_at", "seen_at", "until", "remote", "way", "browser")
            table(words()["sessions"], [[one[key] for key in keys] for one in found["items"]])

        attempt(work)

    @app.command()
    def revoke(name: str, as_json: AsJson = False) -> None:
        """End all sessions of somebody. / 结束所有登录会话。"""

        def work() -> None:
            done = connect().delete(f"/people/{name}/sessions")
            outcome(done, words()["ended"].format(**done), as_json=as_json)

        attempt(work)

    return app


def welcome(
    client: Client, name: str, made: dict[str, Any], said: dict[str, Any], *, typed: bool, as_json: bool
) -> None:
    """Print the link with which a password is set, or set it here."""
    if typed:
        client.post("/session/password", {"token": made["token"], "password": asked(said)})
        done = said["done"].format(id=name, what=said["states"]["ready"])
        outcome({"id": name, "state": "ready"}, done, as_json=as_json)
    elif as_json:
        dump(made)
    else:
        print(said["link"].format(until=made["until"]))
        print(made["link"])
        print(said["secret"].format(token=made["token"]))


def asked(said: dict[str, Any]) -> str:
    """Return a password that somebody types, or that comes by a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first, second = getpass.getpass(said["password"]), getpass.getpass(said["again"])
    if first != second:
        print(said["differ"], file=sys.stderr)
        raise typer.Exit(1)
    return first


def state(one: dict[str, Any], said: dict[str, Any]) -> str:
    """Say whether somebody can sign in."""
    if one["disabled"]:
        return str(said["states"]["disabled"])
    return str(said["states"]["ready" if one["password"] else "new"])


def row(one: dict[str, Any], said: dict[str, Any]) -> tuple[Any, ...]:
    """Return somebody's line of the list."""
    second = said["yes"] if one["totp"] else said["no"]
    return one["id"], one["role"], one["name"], one["login"], state(one, said), second, one["sessions"]
