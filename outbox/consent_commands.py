"""The commands about consent and about words that may not leave: clients of the running hub's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from inbox.commands import NO, AsJson, Connect, attempt, dump, table
from inbox.printing import heads


def contact(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands about a contact."""
    app = typer.Typer(no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """Contacts. / 客户。"""

    @app.command()
    def consent(
        name: Annotated[str, typer.Argument(metavar="ID")],
        state: Annotated[
            str, typer.Option(help="record: consented, opted_out or unknown / 登记：同意、退订或未知")
        ] = "",
        address: Annotated[str, typer.Option(help="for which address / 哪个地址")] = "",
        reason: Annotated[str, typer.Option(help="why / 依据")] = "",
        channel: Annotated[str, typer.Option(help="only this channel / 仅此渠道")] = "*",
        lane: Annotated[str, typer.Option(help="only survey or campaign / 仅问卷或推广")] = "*",
        as_json: AsJson = False,
    ) -> None:
        """Show who may be written to, and why; or record it. / 查看或登记接收意愿。"""

        def work() -> None:
            path = f"/contacts/{name}/consent"
            if state:
                body = {"address": address, "state": state, "reason": reason, "channel": channel, "lane": lane}
                found = connect().put(path, body)
            else:
                found = connect().get(path)
            if as_json:
                dump(found)
                return
            names = ("address", "channel", "lane", "state", "at", "how", "evidence", "by", "reason")
            table(heads(names, locale()), [[one[name] for name in names] for one in found["items"]])

        attempt(work)

    return app


def guarding(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands about words that may not leave."""
    app = typer.Typer(no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """What may not leave in words. / 外发文字检查。"""

    @app.command()
    def test(
        text: str,
        channel: Annotated[str, typer.Option(help="as on this channel / 按此渠道")] = "",
        lane: Annotated[str, typer.Option(help="reply, notice, survey or campaign / 回复、通知、问卷或推广")] = "reply",
        conversation: Annotated[str, typer.Option(help="as in this conversation / 按此会话")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Say what the policy finds in a text; exit 1 if it would not leave. / 检查一段文字。"""

        def work() -> None:
            body = {"text": text, "channel": channel, "lane": lane, "conversation": conversation}
            found = connect().post("/guard/test", body)
            if as_json:
                dump(found)
            else:
                names = ("rule", "weight", "offset", "length", "replace", "why")
                table(heads(names, locale()), [[one.get(name) for name in names] for one in found["items"]])
            if any(one["weight"] == "block" for one in found["items"]):
                raise typer.Exit(NO)

        attempt(work)

    return app
