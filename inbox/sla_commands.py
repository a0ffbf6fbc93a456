"""`huiliu sla …`: how the promises to a customer stand, and each span of time that counted. A client of the API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import typer

from inbox.commands import AsJson, Connect, attempt, dump

ENGLISH = {
    "none": "nothing is promised for this conversation",
    "always": "time always runs",
    "hours": "hours {}",
    "first_reply": "first reply",
    "next_reply": "next reply",
    "resolution": "resolution",
    "open": "in time so far",
    "warned": "warned",
    "breached": "breached",
    "met": "met",
    "running": "running",
    "paused": "paused",
    "answered": "answered",
    "resolved": "resolved",
    "waiting": "waiting for the customer",
    "snoozed": "snoozed",
    "closed": "closed",
    "warn": "warning",
    "due": "due",
    "used": "{} of {} used",
    "left": "{} left",
    "over": "{} too long",
}
CHINESE = {
    "none": "此会话没有服务承诺",
    "always": "全天计时",
    "hours": "工作时间 {}",
    "first_reply": "首次回复",
    "next_reply": "后续回复",
    "resolution": "解决",
    "open": "未超时",
    "warned": "已预警",
    "breached": "已超时",
    "met": "达标",
    "running": "计时中",
    "paused": "暂停",
    "answered": "已回复",
    "resolved": "已解决",
    "waiting": "等待顾客",
    "snoozed": "已搁置",
    "closed": "非工作时间",
    "warn": "预警",
    "due": "到期",
    "used": "已用 {}，时限 {}",
    "left": "剩余 {}",
    "over": "超出 {}",
}


def commands(connect: Connect, locale: Callable[[], str]) -> typer.Typer:
    """Return the commands; *connect* finds the hub."""
    app = typer.Typer(no_args_is_help=True)

    @app.callback()
    def group() -> None:
        """Promises and their clocks. / 服务承诺与计时。"""

    @app.command()
    def explain(conversation: str, as_json: AsJson = False) -> None:
        """Print each interval that a conversation's clocks counted. / 逐段列出计时。"""

        def work() -> None:
            found = connect().get(f"/conversations/{conversation}/sla")
            if as_json:
                dump(found)
            else:
                print("\n".join(lines(found, locale())))

        attempt(work)

    return app


def lines(found: Mapping[str, Any], locale: str) -> list[str]:
    """Return the account that the API gave as text; times are those of the hours' zone, else of this machine."""
    said = CHINESE if locale.startswith("zh") else ENGLISH
    zone = ZoneInfo(found["timezone"]) if found["timezone"] else None
    if found["policy"] is None:
        return [f"{found['conversation']}  {said['none']}"]
    hours = said["hours"].format(f"{found['hours']} ({found['timezone']})") if found["hours"] else said["always"]
    text = [f"{found['conversation']}  {found['status']}  {found['policy']}  {hours}"]
    for one in found["clocks"]:
        text += ["", *_clock(one, said, zone)]
    return text


def _clock(one: Mapping[str, Any], said: Mapping[str, str], zone: ZoneInfo | None) -> list[str]:
    times = "  ".join(
        f"{said[name]} {_moment(one[key], zone)}" for name, key in (("warn", "warn_at"), ("due", "due")) if one[key]
    )
    text = [f"{said[one['clock']]}  {said[one['state']]}  {said[one['outcome']]}  {times}".rstrip()]
    spans = [(span["from"], "+", span) for span in one["counted"]] + [
        (span["from"], "-", span) for span in one["left_out"]
    ]
    for _, sign, span in sorted(spans, key=lambda each: each[0]):
        why = f"  {said[span['why']]}" if "why" in span else ""
        when = f"{_moment(span['from'], zone)} … {_moment(span['to'], zone)}"
        text.append(f"  {sign} {when}  {_length(span['seconds']):>12}{why}")
    used = said["used"].format(_length(one["used_seconds"]), _length(one["limit_seconds"]))
    left = one["left_seconds"]
    return [*text, f"  = {used}  {said['left' if left >= 0 else 'over'].format(_length(abs(left)))}"]


def _moment(text: str, zone: ZoneInfo | None) -> str:
    return dt.datetime.fromisoformat(text).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def _length(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
