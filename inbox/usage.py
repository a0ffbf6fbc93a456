"""What is wrong with a command as it was typed, in Chinese: the parser of the command line speaks English only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from config import chinese

INVALID = "Invalid value"
SENTENCES = {
    "No such command {}. Did you mean {}?": "没有命令 {}；是不是 {}？",
    "No such command {}.": "没有命令 {}",
    "No such option: {} (Possible options: {})": "没有选项 {}（可用：{}）",
    "No such option: {}": "没有选项 {}",
    "Missing argument {}.": "缺少参数 {}",
    "Missing option {}.": "缺少选项 {}",
    "Missing command.": "缺少命令",
    "Got unexpected extra argument(s) ({})": "多余的参数：{}",
    "Option {} requires an argument.": "选项 {} 需要一个值",
    "Option {} requires {} arguments.": "选项 {} 需要 {} 个值",
    "Option {} does not take a value.": "选项 {} 不带值",
    "Argument {} takes {} values.": "参数 {} 需要 {} 个值",
    f"{INVALID} for {{}}": "{} 的值不对",
    INVALID: "值不对",
}
EXPECTATIONS = {
    "Input should be a valid integer, unable to parse string as an integer": "应为整数",
    "Input should be a valid number, unable to parse string as a number": "应为数字",
    "Input should be less than or equal to {}": "至多 {}",
    "Input should be greater than or equal to {}": "至少 {}",
    "expected a time like {}": "应为 {} 这样的时间",
    "expected {}": "应为 {}",
}


def speaking(locale: Callable[[], str]) -> type[TyperGroup]:
    """Return the group of all commands, whose complaints are in the language of *locale*."""

    class Speaking(TyperGroup):
        def make_context(self, *args: Any, **more: Any) -> Any:
            with spoken(locale):
                return super().make_context(*args, **more)

        def invoke(self, ctx: Any) -> Any:
            with spoken(locale):
                return super().invoke(ctx)

    return Speaking


@contextmanager
def spoken(locale: Callable[[], str]) -> Iterator[None]:
    """Say what the parser says in the language of *locale*; what has no translation is left to the parser."""
    try:
        yield
    except TyperException as error:
        text = told(error.format_message()) if locale().startswith("zh") else ""
        if not text:
            raise
        typer.echo(text, err=True)
        context: typer.Context | None = getattr(error, "ctx", None)
        if context is not None:
            typer.echo(f"用法见 {context.command_path} --help", err=True)
        raise typer.Exit(error.exit_code) from None


def told(text: str) -> str:
    """Return in Chinese what the parser says, "" if that is not known."""
    if not text.startswith(INVALID):
        return chinese.matched(text, tuple(SENTENCES.items()))
    what, _, why = text.partition(": ")
    reason = chinese.matched(why, tuple(EXPECTATIONS.items())) or why
    return f"{chinese.matched(what, tuple(SENTENCES.items()))}：{reason}"
