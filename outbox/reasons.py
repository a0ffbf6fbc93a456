"""What stands in a message's way, in words for people, Chinese and English."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

REASONS = {
    "window_closed": (
        "{channel} 的回复窗口已关闭，客户再次来信后才能回复",
        "the reply window of {channel} is closed until the customer writes again",
    ),
    "quota_used": (
        "这条回复需要 {count} 条消息，而 {channel} 的回复额度只剩 {left} 条，客户再次来信后恢复",
        "this needs {count} messages and the window of {channel} has {left} left until the customer writes again",
    ),
    "too_long": (
        "内容太长：{channel} 需要拆成 {count} 条，最多 {most} 条",
        "this is too long: {channel} needs {count} messages for it, and {most} are the most",
    ),
    "family": ("{channel} 不能发送 {type} 文件", "{channel} cannot carry {type}"),
    "size": (
        "文件有 {size} MB，{channel} 最多 {most} MB",
        "the file has {size} MB, and {channel} carries at most {most} MB",
    ),
    "no_template": ("{channel} 不能发送平台模板", "{channel} sends no templates of its platform"),
    "template_only": (
        "{channel} 只能发送平台批准的模板：请选用有平台模板的文本，或在渠道中配置承载回复的模板",
        "{channel} sends what its platform has approved only: answer with a template, or let one carry free text",
    ),
    "empty": ("没有可以看到的内容", "there is nothing to read in it"),
    "html_left_out": ("{channel} 只发送纯文本", "{channel} sends the plain text only"),
    "channel_down": (
        "{channel} 目前不可用，恢复后发送",
        "{channel} is down now; it goes when the channel is up again",
    ),
    "channel_gone": ("渠道 {channel} 已不在配置中", "the channel {channel} is not configured any more"),
    "quiet_hours": ("现在是免打扰时间", "these are quiet hours"),
    "missing_variables": ("模板变量没有值：{names}", "the template has no value for {names}"),
    "customer_wrote": ("客户在此之前来信了", "the customer wrote before"),
    "restored": (
        "数据由备份恢复，这条可能在备份之后已经发出",
        "the store comes out of a backup: this may have gone out after it was made",
    ),
    "cancelled": ("发出前被撤回", "called back before it left"),
}

COURSES = {
    "send": ("立即发送", "it goes as it is"),
    "split": ("拆成 {count} 条发送", "it goes in {count} messages"),
    "template": ("改用模板 {template} 发送", "the template {template} goes instead"),
    "channel": ("改由 {channel} 发往 {address}", "it goes by {channel} to {address}"),
    "other": (
        "改用模板 {template}，由 {channel} 发往 {address}",
        "the template {template} goes by {channel} to {address}",
    ),
    "hold": ("等客户来信后发送", "it waits for the customer to write"),
    "until": ("等到 {until} 再发送", "it waits until {until}"),
    "refuse": ("不能发送", "it does not go"),
}
"""What becomes of a message."""


_TONGUE: ContextVar[str] = ContextVar("tongue", default="")


@contextmanager
def telling(language: str) -> Iterator[None]:
    """Tell reasons in *language* meanwhile, if there is one: to who only asks. What is kept is in the hub's own."""
    token = _TONGUE.set(language)
    try:
        yield
    finally:
        _TONGUE.reset(token)


def spoken(locale: str) -> str:
    """Return the language in which reasons are told now; *locale* is the hub's own."""
    return _TONGUE.get() or locale


def course(name: str, locale: str, **words: str) -> str:
    """Say what becomes of a message in the language of *locale*."""
    chinese, english = COURSES[name]
    return (chinese if locale.startswith("zh") else english).format(**words)


def reason(code: str, locale: str, **words: str) -> str:
    """Say what *code* means in the language of *locale*."""
    chinese, english = REASONS[code]
    return (chinese if locale.startswith("zh") else english).format(**words)
