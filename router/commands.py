"""The commands `huiliu routes …`: what the engine sees, whether the examples hold, and why a message goes where."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from config.conditions import moment
from config.faults import nearest
from config.loading import Loaded
from inbox.commands import CANNOT_TELL, NO, AsJson, Connect, attempt, dump
from inbox.printing import fail
from router import proof_commands, rendering
from router.compilation import instant
from router.language import language
from router.rules import ConversationFacts, Explanation, Facts, OrderFacts, Tree, explain
from router.trial import prove, run_tests
from router.versions import grow, snapshot

_SAID = {
    "en": {
        "which": "say by which channel: --channel NAME (or --message ID)",
        "no channel": "no channel {!r}; channels are {}",
        "nearest": " (did you mean {}?)",
        "moment": "{!r} is no moment; expected one like 2026-11-11 or 2026-11-11T20:00, with or without +08:00",
        "ignored": "ignored: {}",
        "undecided": "nothing to decide",
    },
    "zh-CN": {
        "which": "请指明渠道：--channel 名称（或 --message 编号）",
        "no channel": "没有渠道 {!r}；现有渠道：{}",
        "nearest": "（是不是 {}？）",
        "moment": "{!r} 不是时间；应为 2026-11-11 或 2026-11-11T20:00，可带 +08:00",
        "ignored": "已忽略：{}",
        "undecided": "无需决定",
        "the message is not there any more": "消息已不在",
        "nothing was decided": "没有作过决定",
        "what was known then was not stored": "没有保存当时的情况",
    },
}


def compiled(loaded: Loaded) -> Tree:
    """Compile the routes of a configuration."""
    return grow(snapshot(loaded))


def commands(
    load: Callable[[], Loaded],
    connect: Connect,
    locale: Callable[[], str],
    imagine: Callable[[], tuple[Path, proof_commands.Imagine]],
) -> typer.Typer:
    """Return the commands; *load* reads the configuration, *connect* finds the running hub.

    *imagine* returns the configuration's path, and what loads it with other contents of route files.
    """
    app = typer.Typer(no_args_is_help=True)
    proof_commands.add(app, proof_commands.Tools(load, connect, locale, prove, imagine))

    @app.command()
    def show(as_json: AsJson = False) -> None:
        """Draw the routes as the engine sees them. / 显示路由树。"""
        loaded = load()
        if as_json:
            dump(rendering.listing(loaded.routes))
        else:
            print(rendering.show(loaded.routes, locale=locale()))

    @app.command()
    def test(as_json: AsJson = False) -> None:
        """Run the tests: blocks of the route files. / 运行路由文件中的测试。"""
        loaded = load()
        kinds = {name: channel.kind for name, channel in loaded.settings.channels.items()}
        results = run_tests(compiled(loaded), loaded.routes, kinds=kinds, timezone=loaded.settings.timezone)
        if as_json:
            dump(
                [
                    {
                        "name": one.name,
                        "passed": one.passed,
                        "differences": [
                            {"field": each.field, "expected": str(each.expected), "got": str(each.got)}
                            for each in one.differences
                        ],
                    }
                    for one in results
                ]
            )
        else:
            print(rendering.report(results, locale=locale()))
        if not all(one.passed for one in results):
            raise typer.Exit(NO)

    def words() -> dict[str, str]:
        return _SAID["zh-CN" if locale().startswith("zh") else "en"]

    def say(key: str, *values: object) -> str:
        return words()[key].format(*values)

    def stored(message: str, *, as_json: bool) -> None:
        found = connect().get(f"/messages/{message}/trail")
        if as_json:
            dump(found)
            return
        for one in found["items"]:
            if one["explanation"] is None:
                what = say("ignored", one["ignored"]) if one["ignored"] else one["route"] or say("undecided")
                why = words().get(one["unexplained"], one["unexplained"])
                print(f"{one['at']}  {what}  {one['set']}  ({(one['hash'] or '-')[:12]}): {why}")
                continue
            at = int(dt.datetime.fromisoformat(one["explanation"]["at"]).timestamp() * 1000)
            explanation = msgspec.convert({**one["explanation"], "at": at}, Explanation)
            print(rendering.narrate(explanation, load().settings.timezone, locale=locale()))
            print(rendering.effect(one["set"], one["ignored"], locale=locale()))

    @app.command("explain")
    def why(  # each is an option of the command
        channel: Annotated[str, typer.Option(help="the channel it comes by / 渠道")] = "",
        text: Annotated[str, typer.Option(help="what the customer writes / 内容")] = "",
        sender: Annotated[str, typer.Option("--from", help="the customer's address / 客户地址")] = "",
        subject: Annotated[str, typer.Option(help="subject of a mail / 主题")] = "",
        at: Annotated[str, typer.Option(help="when, such as 2026-11-21T22:00 / 时间")] = "",
        order: Annotated[
            list[str] | None, typer.Option(help="what is known of the order, such as status=shipped / 订单字段")
        ] = None,
        message: Annotated[str, typer.Option(help="id of a message that is stored / 已有消息的 id")] = "",
        as_json: AsJson = False,
    ) -> None:
        """Say which way a message takes, and why. / 解释一条消息的路由。"""
        if message:
            attempt(lambda: stored(message, as_json=as_json))
            return
        if not channel:
            fail(say("which"), CANNOT_TELL)
        loaded = load()
        settings = loaded.settings
        if channel not in settings.channels:
            hint = nearest(channel, settings.channels)
            text = say("no channel", channel, ", ".join(settings.channels))
            fail(text + (say("nearest", hint) if hint else ""), CANNOT_TELL)
        try:
            when = instant(moment(at).isoformat(), settings.timezone) if at else time.time_ns() // 1_000_000
        except ValueError:
            fail(f"--at: {say('moment', at)}", CANNOT_TELL)
        facts = Facts(
            channel=channel,
            kind=settings.channels[channel].kind,
            at=when,
            text=text,
            subject=subject,
            sender=sender,
            language=language(text or subject),
            conversation=ConversationFacts(),
            order=told(order or ()),
        )
        explanation = explain(compiled(loaded), facts)
        if as_json:
            dump(plain(dataclasses.asdict(explanation)))
        else:
            print(rendering.narrate(explanation, settings.timezone, locale=locale()))

    return app


def told(fields: Sequence[str]) -> OrderFacts:
    """Return what is known of an order out of words like status=shipped; no words, no order."""
    pairs = [each.partition("=") for each in fields]
    return OrderFacts({name.strip(): value.strip() for name, _, value in pairs}, "found" if pairs else "none")


def plain(value: object) -> object:
    """Turn sets and other values into what JSON has."""
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
