"""What the command line says to who types something that is no command of ours."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import hub

TYPED = [
    (("nonsense",), "没有命令 'nonsense'", "huiliu"),
    (("channel",), "没有命令 'channel'；是不是 'channels'？", "huiliu"),
    (("shunted", "lst"), "没有命令 'lst'；是不是 'list'？", "huiliu shunted"),
    (("--jsn",), "没有选项 --jsn", "huiliu"),
    (("channels", "--jso"), "没有选项 --jso（可用：--json）", "huiliu channels"),
    (("show",), "缺少参数 'conversation'", "huiliu show"),
    (("channels", "x", "y"), "多余的参数：x y", "huiliu channels"),
    (("routes", "explain", "--channel"), "选项 '--channel' 需要一个值", ""),
    (("conversations", "--limit", "x"), "'--limit' 的值不对：应为整数", "huiliu conversations"),
    (("run", "--workers", "99"), "'--workers' 的值不对：至多 64", "huiliu run"),
]


@pytest.mark.parametrize(("arguments", "complaint", "command"), TYPED, ids=[" ".join(one) for one, *_ in TYPED])
def test_wrong_usage_in_chinese(arguments: tuple[str, ...], complaint: str, command: str) -> None:
    """The complaint and where help is found are in Chinese throughout, and the exit code is the parser's."""
    done = CliRunner().invoke(hub.command_line(), arguments, prog_name="huiliu", env={"LC_ALL": "zh_CN.UTF-8"})

    hint = [f"用法见 {command} --help"] if command else []
    assert (2, "", [complaint, *hint]) == (done.exit_code, done.stdout, done.stderr.splitlines())


def test_wrong_usage_in_english() -> None:
    """In English the parser speaks for itself."""
    done = CliRunner().invoke(hub.command_line(), ["channel"], env={"LC_ALL": "en_US.UTF-8"})

    assert 2 == done.exit_code
    assert "No such command 'channel'. Did you mean 'channels'?" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("shunted",)], ids=str)
def test_no_command_is_help(arguments: tuple[str, ...]) -> None:
    """Who types no command is shown those there are."""
    done = CliRunner().invoke(hub.command_line(), arguments, prog_name="huiliu", env={"LC_ALL": "zh_CN.UTF-8"})

    assert 2 == done.exit_code
    assert "列出" in done.output


def test_an_unreadable_language_is_no_trouble() -> None:
    """Without a language in the environment, a configuration that is not there does not hide the complaint."""
    environ = {"LC_ALL": "", "LC_MESSAGES": "", "LANG": ""}
    done = CliRunner().invoke(hub.command_line(), ["-c", "nope.yaml", "channel"], env=environ)

    assert 2 == done.exit_code
    assert "No such command" in done.stderr
